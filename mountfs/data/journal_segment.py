"""One file of the journal: appended to by batches, then read, then deleted as a whole.

How it is read back after a crash is `mountfs.data.journal_read_back`'s.

All functions block on the disk. Nothing of a batch counts before its sync returned; what a failed
write left behind is cut off, so that the file always ends with a whole record.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.data.direct_file import ALIGNMENT_BYTES, open_direct
from mountfs.data.journal_record import (
    HEADER_BYTES,
    SEGMENT_ID_BYTES,
    describe_record,
    encode_record,
)
from mountfs.data.staging_file import read_fully, write_fully
from mountfs.data.staging_folder import sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.data.direct_file import DirectFile
    from mountfs.data.journal_record import Record
    from mountfs.objects import Body

log = logging.getLogger(__name__)

DIRECT_BYTES = 32 * 1024
"""A batch of so much or more does not pass through the page cache. It ends with a whole block,
which would be too much for the few bytes of a deletion or of a note."""


@dataclass(slots=True, kw_only=True)
class Addition:
    """A record on its way to the disk, and what became of it.

    Attributes:
        record: what to write.
        body: its data.
        needs_sync: whether it has to survive a loss of power before anybody is told.
        record_bytes: its length, data included, once written.
        data_start: where its data is.
        data_bytes: length of its data.
        checksum: of its data.
        error: why it is not there.
    """

    record: Record
    body: Body = ()
    needs_sync: bool = True
    record_bytes: int = 0
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
        "_direct",
        "_directory",
        "_id",
        "_is_retired",
        "_readers",
        "_synced_bytes",
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
        self._synced_bytes = 0
        self.sync_count = 0
        self._direct: DirectFile | None = None
        self._directory = directory
        self._id = segment_id

    def open_direct(self) -> None:
        """Let large batches go past the page cache, where that can be."""
        self._direct = open_direct(self.path)

    def seal(self) -> None:
        """Append nothing any more."""
        self.is_sealed = True
        self._close_direct()

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
            self._synced_bytes = self.size_bytes

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
        self.seal()
        os.close(self.fd)

    def _try(self, batch: list[Addition]) -> None:
        start = position = self.size_bytes
        descriptions = [describe_record(item.record) for item in batch]
        for item, description in zip(batch, descriptions, strict=True):
            item.data_start = position + HEADER_BYTES + len(description)
            item.data_bytes = sum(memoryview(piece).nbytes for piece in item.body)
            item.record_bytes = item.data_start + item.data_bytes - position
            position += item.record_bytes
        is_direct = self._direct is not None and position - start >= DIRECT_BYTES
        if is_direct:
            filling_bytes = -position % ALIGNMENT_BYTES
            descriptions[-1] += b" " * filling_bytes
            batch[-1].data_start += filling_bytes
            batch[-1].record_bytes += filling_bytes
            position += filling_bytes
        buffers: list[bytes | bytearray | memoryview] = []
        for item, description in zip(batch, descriptions, strict=True):
            head, item.checksum = encode_record(
                description, item.body, self._id, self._synced_bytes
            )
            buffers += (head, *item.body)
        try:
            if not (is_direct and self._write_direct(buffers, start)):
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
            if not self.has_unsynced:
                self._synced_bytes = position

    def _write_direct(self, buffers: Body, start: int) -> bool:
        """Write a batch that ends with a block; tell whether that can be done here.

        Raises:
            OSError: no room, or a disk that fails.
        """
        assert self._direct is not None
        # A block that has older bytes in it is never written again past the cache: a loss of power
        # could take those along.
        ahead_bytes = -start % ALIGNMENT_BYTES
        ahead: list[memoryview] = []
        blocks: list[memoryview] = []
        for view in (memoryview(buffer).cast("B") for buffer in buffers):
            ahead.append(view[:ahead_bytes])
            blocks.append(view[ahead_bytes:])
            ahead_bytes -= len(ahead[-1])
        at = write_fully(self.fd, ahead, start)
        try:
            self._direct.write(blocks, at)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            log.info("%s: cannot be written past the page cache: %s", self.path, error)
            self._close_direct()
            return False
        return True

    def _close_direct(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()

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
        segment.open_direct()
        sync_directory(directory)
    except OSError:
        segment.close()
        segment.path.unlink(missing_ok=True)
        raise
    return segment
