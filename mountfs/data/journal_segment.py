"""One file of the journal: appended to by batches, then read, then deleted as a whole.

All functions block on the disk. Nothing of a batch counts before its sync returned; what a failed
write left behind is cut off, so that the file always ends with a whole record.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mountfs.data.journal_record import (
    SEGMENT_ID_BYTES,
    FoundRecord,
    Record,
    encode_record,
    find_records,
    read_record,
)
from mountfs.data.staging_file import read_fully, write_fully
from mountfs.data.staging_folder import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.objects import Body

log = logging.getLogger(__name__)

_NAME = re.compile(r"journal-([0-9]{8,})-([0-9a-f]{16})")


@dataclass(slots=True, kw_only=True)
class Addition:
    """A record on its way to the disk, and what became of it.

    Attributes:
        record: what to write.
        body: its data.
        needs_sync: whether it has to survive a loss of power before anybody is told.
        data_start: where its data is, once written.
        data_bytes: length of its data.
        checksum: of its data.
        error: why it is not there.
    """

    record: Record
    body: Body = ()
    needs_sync: bool = True
    data_start: int = 0
    data_bytes: int = 0
    checksum: int = 0
    error: OSError | None = None


class Segment:
    """An open segment.

    Attributes:
        path: where it is.
        number: segments are read back in this order.
        size_bytes: where the last whole record ends.
        live: numbers of the generations whose data or description is here and still needed.
        is_sealed: nothing is appended any more.
        is_damaged: something in it could not be read back; it is never deleted.
        has_unsynced: its end may not survive a loss of power.
        sync_count: how often it was synced.
    """

    __slots__ = (
        "_directory",
        "_id",
        "_is_retired",
        "_readers",
        "fd",
        "has_unsynced",
        "is_damaged",
        "is_sealed",
        "live",
        "number",
        "path",
        "size_bytes",
        "sync_count",
    )

    def __init__(self, directory: Path, number: int, segment_id: bytes, fd: int) -> None:
        self.path = directory / f"journal-{number:08}-{segment_id.hex()}"
        self.number = number
        self.fd = fd
        self.size_bytes = 0
        self.live: set[int] = set()
        self.is_sealed = False
        self.is_damaged = False
        self.has_unsynced = False
        self._is_retired = False
        self._readers = 0
        self.sync_count = 0
        self._directory = directory
        self._id = segment_id

    def append(self, batch: list[Addition]) -> None:
        """Append *batch* and sync it, if one of it needs that; set what became of each.

        If there is no room for all, there may be for some. Never raises `OSError`.
        """
        self._try(batch)
        if len(batch) > 1 and all(item.error for item in batch):
            for item in batch:
                item.error = None
                self._try([item])

    def read(self, start: int, data: bytearray) -> None:
        """Fill *data* with what stands at *start*.

        Raises:
            OSError: the disk failed.
        """
        read_fully(self.fd, data, start)

    def begin_read(self) -> None:
        """Keep the file open until `end_read`; for the event loop.

        Raises:
            OSError: the file is gone (`ESTALE`).
        """
        if self._is_retired:
            raise OSError(errno.ESTALE, "these bytes are in the bucket, or were dropped")
        self._readers += 1

    def end_read(self) -> None:
        """Undo `begin_read`."""
        self._readers -= 1
        if self._is_retired and not self._readers:
            self.close()

    def retire(self) -> None:
        """Close the file, which was removed, as soon as nobody reads; for the event loop."""
        self._is_retired = True
        if not self._readers:
            self.close()

    def sync_if_needed(self) -> None:
        """Let all of it survive a loss of power.

        Raises:
            OSError: the disk failed.
        """
        if self.has_unsynced:
            self._sync()

    def remove(self) -> None:
        """Delete the file for good, before anything that was written later is deleted.

        Raises:
            OSError: the disk failed.
        """
        self.path.unlink()
        # Without it a loss of power could bring this file back and not its successor, which says
        # that everything in here is done.
        sync_directory(self._directory)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def _try(self, batch: list[Addition]) -> None:
        start = position = self.size_bytes
        buffers: list[bytes | bytearray | memoryview] = []
        for item in batch:
            head, item.checksum = encode_record(item.record, item.body, self._id, start)
            item.data_start = position + len(head)
            item.data_bytes = sum(memoryview(piece).nbytes for piece in item.body)
            position = item.data_start + item.data_bytes
            buffers += (head, *item.body)
        try:
            write_fully(self.fd, buffers, start)
            self.has_unsynced = True
            if any(item.needs_sync for item in batch):
                self._sync()
        except OSError as error:
            for item in batch:
                item.error = error
            self._cut(start)
        else:
            self.size_bytes = position

    def _sync(self) -> None:
        try:
            self.sync_count += 1
            os.fdatasync(self.fd)
            self.has_unsynced = False
        except OSError:
            # The kernel may have thrown away what it could not write, and would call the next
            # sync a success: nobody trusts this file with anything new.
            self.is_sealed = True
            raise

    def _cut(self, size_bytes: int) -> None:
        try:
            os.ftruncate(self.fd, size_bytes)
        except OSError as error:
            self.is_sealed = True
            log.error("%s: cannot be cut to %d bytes: %s", self.path, size_bytes, error)


def create_segment(directory: Path, number: int) -> Segment:
    """Create the segment *number*; its name survives a loss of power.

    Raises:
        OSError: the directory cannot be changed, or the disk is full.
    """
    segment = Segment(directory, number, secrets.token_bytes(SEGMENT_ID_BYTES), -1)
    segment.fd = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        sync_directory(directory)
    except OSError:
        segment.close()
        raise
    return segment


def open_segments(directory: Path) -> list[Segment]:
    """Open the segments in *directory*, in their order; nothing is appended to them.

    Raises:
        OSError: one of them cannot be opened.
    """
    found = sorted(
        (int(match[1]), bytes.fromhex(match[2]), name)
        for name in os.listdir(directory)
        if (match := _NAME.fullmatch(name))
    )
    segments: list[Segment] = []
    try:
        for number, segment_id, name in found:
            fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
            segment = Segment(directory, number, segment_id, fd)
            segment.is_sealed = True
            segment.has_unsynced = True  # who wrote it died
            segments.append(segment)
    except OSError:
        for segment in segments:
            segment.close()
        raise
    return segments


@dataclass(slots=True, kw_only=True)
class Content:
    """What was read back of a segment.

    Attributes:
        records: in their order.
        unreadable: ``[start, stop)`` that holds something that was acknowledged and cannot be read.
    """

    records: list[FoundRecord] = field(default_factory=list)
    unreadable: tuple[int, int] | None = None


def read_segment(segment: Segment) -> Content:
    """Return the records of *segment*, up to the first that cannot be read.

    If what follows was never acknowledged (a write that power loss or death cut short) that is the
    end of the segment. If it was, the segment is damaged: that is logged, and it is kept.

    Raises:
        OSError: the disk failed, or a later version has written it.
    """
    size_bytes = os.fstat(segment.fd).st_size
    data = bytearray(size_bytes)
    read_fully(segment.fd, data, 0)
    try:
        content = parse_segment(memoryview(data), segment.path.name)
    except (KeyError, ValueError) as error:  # it is whole, but not what we write
        raise OSError(errno.EINVAL, f"{segment.path}: {error}") from error
    segment.size_bytes = size_bytes
    if content.unreadable is not None:
        segment.is_damaged = True
        log.error(
            "%s: the journal is damaged: bytes %d to %d cannot be read, and files that were closed "
            "successfully may be in them; the file is kept, nothing behind the damage is replayed",
            segment.path,
            *content.unreadable,
        )
    return content


def parse_segment(data: memoryview, name: str) -> Content:
    """Return what the bytes of the segment called *name* say; see `read_segment`."""
    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} names no segment"
    segment_id = bytes.fromhex(match[2])
    content = Content()
    position = 0
    while position < len(data):
        found = read_record(data, position, segment_id)
        if found is None:
            break
        content.records.append(found)
        position = found.stop
    for later in find_records(data, position, segment_id):
        if later.batch_start > position:
            # A batch is begun only after the one before it was synced.
            content.unreadable = (position, len(data))
            break
    return content
