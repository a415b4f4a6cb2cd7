"""The hand that writes the journal: batches, segments, and giving their space back.

One task and one thread; what it applies to the state is on disk by then.
"""

from __future__ import annotations

import errno
import logging
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from mountfs.data.config import MIB
from mountfs.data.journal_read_back import open_segments, read_segment
from mountfs.data.journal_record import DirtyRecord
from mountfs.data.journal_segment import Addition, Segment, create_segment
from mountfs.data.journal_state import JournalEntry, JournalState, Place

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FILE_PREFIX = "data-"
"""Of the names of staging files that belong to an entry; its number follows."""

SEGMENT_BYTES = 64 * MIB
"""A segment is sealed above. Small enough to be read back at once, large enough that creating one,
which syncs the directory, costs nothing."""

IDLE_SEGMENT_BYTES = 8 * MIB
"""A segment without anything alive is given up above, to give the space back."""

BATCH_BYTES = 32 * MIB
"""No batch is larger, but for one record: whoever comes next would wait for all of it."""

COMPACT_BYTES = 4 * SEGMENT_BYTES
"""Less junk is not worth writing anything again."""

RESERVE_NAME = "tmp-reserve"

RESERVE_BYTES = MIB
"""Kept free for records without data: on a full disk files must still be published, renamed and
deleted, or it would never become less full. Enough for 5,000 of them."""


class JournalWriter:
    """Writes records into segments.

    Attributes:
        state: what the durable records add up to.
        sync_count: syncs of segments so far.
        is_damaged: something that was acknowledged could not be read back.
    """

    def __init__(self, directory: Path) -> None:
        self.state = JournalState()
        self.sync_count = 0
        self.is_damaged = False
        self._directory = directory
        self._limiter = trio.CapacityLimiter(1)
        self._segments: list[Segment] = []
        self._current: Segment | None = None
        self._next_segment = 1
        self._has_reserve = False
        self._junk_files: list[str] = []
        self._queue: list[tuple[Addition, trio.Event]] = []
        self._wake = trio.Event()
        self._is_stopping = False
        self._has_ended = False

    @property
    def size_bytes(self) -> int:
        """Return how much of the disk the segments take."""
        return sum(segment.size_bytes for segment in self._segments)

    async def write(self, addition: Addition) -> None:
        """Write *addition* and apply it; return when both have happened.

        The caller is not cancelled meanwhile.

        Raises:
            OSError: it was not written; `ESHUTDOWN`: the writer has ended.
        """
        if self._has_ended:
            raise _has_ended_error()
        written = trio.Event()
        self._queue.append((addition, written))
        self._wake.set()
        await written.wait()
        if addition.error is not None:
            raise OSError(addition.error.errno, addition.error.strerror) from addition.error

    async def run_until_stopped(self) -> None:
        """Write what is queued, a batch at a time; `open_journal` runs it.

        Whoever is queued when it ends, or comes later, is refused: nobody waits for ever.

        Cancellation: shielded; `stop` ends it. Who is cancelled in the middle of a close waits for
        the disk, and thus for this.
        """
        try:
            with trio.CancelScope(shield=True):
                while not self._is_stopping:
                    await self._wake.wait()
                    self._wake = trio.Event()
                    await self._write_queued()
        finally:
            self._has_ended = True
            for addition, written in self._queue:
                addition.error = _has_ended_error()
                written.set()
            self._queue.clear()

    def stop(self) -> None:
        """Let the writer end when it has written what is queued."""
        self._is_stopping = True
        self._wake.set()

    async def _write_queued(self) -> None:
        while self._queue:
            batch = self._next_batch()
            await self._write_batch([addition for addition, _ in batch])
            del self._queue[: len(batch)]
            for _, written in batch:
                written.set()
            await self._give_back()

    def _next_batch(self) -> list[tuple[Addition, trio.Event]]:
        size_bytes = 0
        for count, (addition, _) in enumerate(self._queue):
            size_bytes += sum(memoryview(piece).nbytes for piece in addition.body)
            if count and size_bytes > BATCH_BYTES:
                break
        else:
            count = len(self._queue)
        return self._queue[:count]

    async def _write_batch(self, batch: list[Addition]) -> None:
        """Make *batch* durable and apply what is; each knows what became of it."""
        segment = await trio.to_thread.run_sync(self._append, batch, limiter=self._limiter)
        # No await to the end: what is durable and what is known change together.
        ended: list[JournalEntry] = []
        for item in batch:
            if item.error is None and segment is not None:
                place = Place(
                    segment=segment,
                    data_start=item.data_start,
                    data_bytes=item.data_bytes,
                    data_checksum=item.checksum,
                    record_bytes=item.record_bytes,
                )
                ended += self.state.apply(item.record, place)
        self._junk_files += [entry.record.file_name for entry in ended if entry.record.file_name]

    def _append(self, batch: list[Addition]) -> Segment | None:
        """Append *batch* to a segment that takes it; runs in the writer's thread."""
        if self._current is None or self._is_used_up(self._current):
            try:
                segment = self._create_segment(batch)
            except OSError as error:
                for item in batch:
                    item.error = error
                return None
            if self._current is not None:
                self._current.seal()
            self._current = segment
            self._segments.append(segment)
        syncs = self._current.sync_count
        self._current.append(batch)
        refused = [item for item in batch if self._may_use_reserve(item, item.error)]
        if refused:
            self._use_reserve()
            for item in refused:
                item.error = None
            self._current.append(refused)
        self.sync_count += self._current.sync_count - syncs
        return self._current

    def _create_segment(self, batch: list[Addition]) -> Segment:
        """Create the next segment; what frees space may take the reserve for it."""
        number, self._next_segment = self._next_segment, self._next_segment + 1
        try:
            return create_segment(self._directory, number)
        except OSError as error:
            if not any(self._may_use_reserve(item, error) for item in batch):
                raise
        self._use_reserve()
        return create_segment(self._directory, number)

    def _may_use_reserve(self, item: Addition, error: OSError | None) -> bool:
        is_full = error is not None and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return is_full and self._has_reserve and not isinstance(item.record, DirtyRecord)

    def _use_reserve(self) -> None:
        (self._directory / RESERVE_NAME).unlink(missing_ok=True)
        self._has_reserve = False

    def _make_reserve(self) -> None:
        """Set space aside, if there is any; blocks on the disk."""
        try:
            fd = os.open(self._directory / RESERVE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
            self._has_reserve = True
        except OSError:
            (self._directory / RESERVE_NAME).unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _is_used_up(self, segment: Segment) -> bool:
        limit = SEGMENT_BYTES if segment.live else IDLE_SEGMENT_BYTES
        return segment.is_sealed or segment.size_bytes >= limit

    async def _give_back(self) -> None:
        """Delete what nobody needs any more; move what keeps too much junk alive."""
        if self._junk_files or self._has_dead_segment():
            names, self._junk_files = self._junk_files, []
            await self._sweep(names)
        oldest = self._segments[0] if self._segments else None
        if oldest is None or oldest is self._current or oldest.is_damaged:
            return
        if self.size_bytes >= COMPACT_BYTES + 2 * self.state.live_bytes:
            await self._move(oldest)

    def _has_dead_segment(self) -> bool:
        return bool(self._segments) and self._is_dead(self._segments[0])

    def _is_dead(self, segment: Segment) -> bool:
        return segment is not self._current and not segment.live and not segment.is_damaged

    async def _sweep(self, names: list[str]) -> None:
        """Delete the staging files *names*, and segments that nobody needs."""
        removed = await trio.to_thread.run_sync(self._remove_dead, names, limiter=self._limiter)
        for segment in removed:
            segment.retire()  # here and not in the thread: reads begin in the loop

    def _remove_dead(self, names: list[str]) -> list[Segment]:
        """Delete junk, segments strictly oldest first; return these. Blocks.

        What was written since has to be durable by then: that a generation was published, which
        need not be, tells the younger ones of its key what they will find there.
        """
        removed: list[Segment] = []
        try:
            for name in names:
                (self._directory / name).unlink(missing_ok=True)
            if self._has_dead_segment():
                for segment in self._segments[1:]:
                    segment.sync_if_needed()
            while self._has_dead_segment():
                self._segments[0].remove()
                removed.append(self._segments.pop(0))
            if (names or removed) and not self._has_reserve:
                self._make_reserve()
        except OSError as error:
            log.warning("%s: cannot give back space: %s", self._directory, error)
        return removed

    async def _move(self, segment: Segment) -> None:
        """Write what is alive in *segment* again, at the end."""
        batch: list[Addition] = []
        for number in sorted(segment.live):
            entry = self.state.entries[number]
            try:
                data = (
                    b""
                    if entry.record.file_name
                    else await trio.to_thread.run_sync(
                        read_inline, entry.place, limiter=self._limiter
                    )
                )
            except OSError as error:
                log.error("%s: cannot read %r back: %s", segment.path, entry.key, error)
                segment.is_damaged = True
                return
            generation = replace(
                entry.record.generation, key=entry.key, expected_etag=entry.expected_etag
            )
            record = replace(entry.record, generation=generation, replaces=(), order=entry.order)
            batch.append(Addition(record=record, body=(data,)))
        await self._write_batch(batch)
        if all(item.error is None for item in batch):
            await self._sweep([])

    def load(self) -> None:
        """Read the segments that are there; blocks, and is called once, before all else.

        Raises:
            OSError: the disk failed, or a later version has written them.
        """
        self._segments = open_segments(self._directory)
        for segment in self._segments:
            self._next_segment = segment.number + 1
            for found in read_segment(segment).records:
                place = Place(
                    segment=segment,
                    data_start=found.data_start,
                    data_bytes=found.data_bytes,
                    data_checksum=found.data_checksum,
                    record_bytes=found.stop - found.start,
                )
                self.state.apply(found.record, place)
        self.state.sort()
        self.is_damaged = any(segment.is_damaged for segment in self._segments)
        if not self.is_damaged:  # else the record that says what a file is may be unreadable
            known = {entry.record.file_name for entry in self.state.entries.values()}
            names = os.listdir(self._directory)
            junk = [name for name in names if name.startswith(FILE_PREFIX) and name not in known]
            self._remove_dead(junk)
        if not self._has_reserve:
            self._make_reserve()

    def abandon(self) -> None:
        """Close the files as they are, after a failed `load`: what is in them is not known."""
        for segment in self._segments:
            segment.close()

    def close(self) -> None:
        """Close the files; delete those in which nothing is left. Blocks."""
        self._current = None
        for segment in self._remove_dead(self._junk_files):
            segment.close()
        (self._directory / RESERVE_NAME).unlink(missing_ok=True)
        for segment in self._segments:
            segment.close()


def _has_ended_error() -> OSError:
    return OSError(errno.ESHUTDOWN, "not written to the journal: the mount is being closed")


def read_inline(place: Place) -> bytearray:
    """Return the bytes of a small file; blocks on the disk.

    Raises:
        OSError: the disk failed, or these are not the bytes that were written.
    """
    data = bytearray(place.data_bytes)
    place.segment.read(place.data_start, data)
    if zlib.crc32(data) != place.data_checksum:
        where = f"{place.segment.path} from {place.data_start} on"
        raise OSError(errno.EIO, f"{where}: these bytes have changed since they were written")
    return data
