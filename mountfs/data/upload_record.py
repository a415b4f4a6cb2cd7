"""Which multipart uploads we have begun, so that a crash leaves none of ours in the bucket.

Parts of an unfinished upload cost money and are seen in no listing. Other programs upload into the
same bucket, so what may be aborted is only what stands in a record whose mount is dead.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mountfs.errors import ObjectNotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)

RECORD_NAME = "uploads"

COMPACT_BYTES = 256 * 1024
"""About 1,000 uploads. A smaller file is not worth the work of making it smaller."""


class BegunUpload(NamedTuple):
    """An upload that was begun and neither completed nor aborted, as far as the record says."""

    key: str
    upload_id: str


class UploadRecord:
    """The record of this mount; see `open_upload_record`.

    What is noted survives the death of the process, since the kernel has it when the call returns.
    It is not synced: after a loss of power the last uploads may be missing. They stay in the bucket
    then, which costs money and nothing else, and a sync for each upload would cost everybody time.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._size_bytes = 0
        self._live: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._live)

    def note_begun(self, key: str, upload_id: str) -> None:
        """Note that *upload_id* was begun.

        Never raises: the upload itself is more important. What could not be noted is logged.
        """
        self._live[upload_id] = key
        self._append(["begun", key, upload_id])

    def note_ended(self, upload_id: str) -> None:
        """Note that *upload_id* was completed or aborted. Never raises."""
        if self._live.pop(upload_id, None) is not None:
            self._append(["ended", upload_id])

    def _append(self, line: list[str]) -> None:
        data = _encode(line)
        try:
            if os.write(self._fd, data) != len(data):
                os.write(self._fd, b"\n")  # what follows must not be glued to the torn line
            self._size_bytes += len(data)
            if self._size_bytes >= COMPACT_BYTES * (1 + len(self._live) // 500):
                self._compact()
        except OSError as error:
            log.warning(
                "%s: cannot be written (%s): if this mount dies, multipart uploads that it began "
                "stay in the bucket",
                self._path,
                error,
            )

    def _compact(self) -> None:
        fd, size_bytes = _rewrite(
            self._path, [BegunUpload(key, upload_id) for upload_id, key in self._live.items()]
        )
        os.close(self._fd)
        self._fd, self._size_bytes = fd, size_bytes

    def close(self) -> None:
        """Close the record; remove it if no upload is left."""
        os.close(self._fd)
        if not self._live:
            self._path.unlink(missing_ok=True)


@contextmanager
def open_upload_record(folder: Path) -> Iterator[UploadRecord]:
    """Provide the record of this mount in *folder*, which is locked by us and has none yet.

    Raises:
        OSError: it cannot be created.
    """
    path = folder / RECORD_NAME
    record = UploadRecord(path, _open(path, os.O_EXCL))
    try:
        yield record
    finally:
        record.close()


def read_leftovers(folder: Path) -> list[BegunUpload]:
    """Return what a dead mount has begun and not ended, oldest first; a torn line is skipped.

    Raises:
        OSError: the record is there and cannot be read.
    """
    try:
        content = (folder / RECORD_NAME).read_bytes()
    except FileNotFoundError:
        return []
    live: dict[str, str] = {}
    for line in content.split(b"\n"):
        match _decode(line):
            case ["begun", str(key), str(upload_id)]:
                live[upload_id] = key
            case ["ended", str(upload_id)]:
                live.pop(upload_id, None)
    return [BegunUpload(key, upload_id) for upload_id, key in live.items()]


async def abort_leftovers(folder: Path, store: ObjectStore) -> int:
    """Abort what the dead mount of *folder* has begun; return how many uploads that were.

    What cannot be aborted stays in the record, for the next mount.

    Args:
        folder: locked by us; its owner is dead.
        store: of the bucket that the folder is for.

    Raises:
        OSError: the record cannot be read or written.
    """
    aborted = 0
    failed: list[BegunUpload] = []
    for upload in read_leftovers(folder):
        try:
            await store.abort_upload(upload.key, upload.upload_id)
        except ObjectNotFoundError:
            pass  # gone already
        except StoreError as error:
            log.warning("the upload of %r that a dead mount left stays: %s", upload.key, error)
            failed.append(upload)
            continue
        aborted += 1
    path = folder / RECORD_NAME
    if failed:
        os.close(_rewrite(path, failed)[0])
    else:
        path.unlink(missing_ok=True)
    return aborted


def _rewrite(path: Path, uploads: list[BegunUpload]) -> tuple[int, int]:
    """Replace the record by one of *uploads*, at once or not at all; return it and its size."""
    temporary = path.with_name(f"tmp-{RECORD_NAME}")
    content = b"".join(_encode(["begun", *upload]) for upload in uploads)
    fd = _open(temporary, os.O_TRUNC)
    try:
        view = memoryview(content)
        while len(view):
            view = view[os.write(fd, view) :]
        os.rename(temporary, path)
    except BaseException:
        os.close(fd)
        raise
    return fd, len(content)


def _open(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _encode(line: list[str]) -> bytes:
    return json.dumps(line).encode("ascii") + b"\n"


def _decode(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
