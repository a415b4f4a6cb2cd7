"""The journal of ``--write-back``: what was acknowledged and is not in the bucket yet.

Who closes a file waits for one sync, and shares it: records that come while a sync runs are written
and synced together when it has ended (group commit). Small files have their bytes in the journal
itself, so that the one sync covers them; the bytes of others are in a staging file that was synced
before.

Segments are deleted oldest first, so that what ends a generation never goes before what began it.
A generation that cannot be published for long would keep all segments behind it: when most of the
journal is junk, what is alive of the oldest segment is written again at the end.
"""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from mountfs.data.journal_record import DirtyRecord, EndRecord, RenameRecord
from mountfs.data.journal_segment import Addition
from mountfs.data.journal_writer import FILE_PREFIX, JournalWriter, read_inline
from mountfs.data.staging_file import read_fully

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mountfs.data.generation import Generation
    from mountfs.data.journal_state import JournalEntry
    from mountfs.data.staging_file import StagingFile
    from mountfs.objects import Body

MIB = 1024 * 1024

INLINE_BYTES = MIB
"""Files up to here are in the journal itself. Measured: with four writers 100 KB files are
acknowledged twice as fast as through a staging file each; above 1 MiB the disk's bandwidth decides,
and a staging file is written only once also when the draft was spilled."""

READ_THREADS = 4
"""Uploads that read their bytes at once; each reads a part at a time."""


class Journal:
    """The journal in one folder; see `open_journal`."""

    def __init__(self, directory: Path, writer: JournalWriter) -> None:
        self._directory = directory
        self._writer = writer
        self._state = writer.state
        self._read_limiter = trio.CapacityLimiter(READ_THREADS)

    @property
    def entries(self) -> dict[int, JournalEntry]:
        """What is not published, by number, in the order of `JournalEntry.order`.

        Not to be changed, nor to be kept: it may be another one afterwards.
        """
        return self._state.entries

    @property
    def sync_count(self) -> int:
        """Return how often a segment was synced."""
        return self._writer.sync_count

    @property
    def size_bytes(self) -> int:
        """Return how much of the disk the segments take."""
        return self._writer.size_bytes

    @property
    def is_damaged(self) -> bool:
        """Tell whether something that was acknowledged could not be read back."""
        return self._writer.is_damaged

    # What is recorded.

    async def append(
        self,
        generation: Generation,
        *,
        body: Body = (),
        file: StagingFile | None = None,
        replaces: tuple[int, ...] = (),
    ) -> JournalEntry:
        """Make *generation* durable; it survives a loss of power when this returns.

        Args:
            generation: what the object is to become.
            body: the bytes of its extents, one after the other; not changed meanwhile.
            file: instead of them a staging file that has each byte at its own offset. It gets a
                name here and is not written to any more; the caller closes it when he likes.
            replaces: older generations that need not be published when this one is durable.

        Raises:
            OSError: it is not durable (no room, or a disk that fails); everything else is.

        Cancellation: shielded; it waits for the disk only.
        """
        number = self._state.take_number()
        file_name = f"{FILE_PREFIX}{number}" if file is not None else ""
        record = DirtyRecord(
            number=number,
            generation=generation,
            committed_ns=time.time_ns(),
            file_name=file_name,
            replaces=replaces,
        )
        with trio.CancelScope(shield=True):
            if file is not None:
                await self._keep(file, file_name)
                # That took a while: what was committed meanwhile is older.
                record = replace(record, order=self._state.take_number())
            try:
                await self._writer.write(Addition(record=record, body=body))
            except OSError:
                if file is not None:
                    await file.unkeep()
                raise
        return self.entries[number]

    async def rename(
        self,
        number: int,
        key: str,
        expected_etag: str | None = None,
        replaces: tuple[int, ...] = (),
    ) -> None:
        """Record that *number* is to be published as *key*; durable, in order, on return.

        Instead of *replaces*, generations that had that key.

        Raises:
            OSError: it is not recorded.
        """
        record = RenameRecord(
            number=number,
            key=key,
            expected_etag=expected_etag,
            replaces=replaces,
            order=self._state.take_number(),
        )
        with trio.CancelScope(shield=True):
            await self._writer.write(Addition(record=record))

    async def end(self, number: int, etag: str) -> None:
        """Record that *number* was published (*etag*) or dropped (""), and free its bytes.

        What was published ends the older generations of its key, too. A number that has ended is
        no error.

        A drop is durable on return. That it was published need not be: a replay would find the
        object in the bucket. It survives the death of the process.

        Raises:
            OSError: it is not recorded.
        """
        entry = self.entries.get(number)
        if entry is None:
            return
        ended = [entry, *self._state.older_than(entry)]
        # The bytes must not be gone while the journal still says that they are needed.
        needs_sync = not etag or any(item.record.file_name for item in ended)
        with trio.CancelScope(shield=True):
            record = EndRecord(number=number, etag=etag, key=entry.key, order=entry.order)
            await self._writer.write(Addition(record=record, needs_sync=needs_sync))

    # What is read back.

    async def read(self, entry: JournalEntry, start: int, stop: int) -> bytearray:
        """Return stored bytes of *entry*.

        Args:
            entry: one of `entries`.
            start: inclusive: an offset in the staging file, or else in the joined extents.
            stop: exclusive.

        Raises:
            OSError: the disk failed, these are not the bytes that were written, or the entry has
                ended and its bytes are gone.
        """
        if entry.record.file_name:
            path = self._directory / entry.record.file_name
            return await self._run_read(_read_file, path, start, stop)
        place = entry.place  # the entry may move meanwhile; what was there stays
        place.segment.begin_read()
        try:
            data = await self._run_read(read_inline, place)
        finally:
            place.segment.end_read()
        return data if (start, stop) == (0, len(data)) else data[start:stop]

    def place_of(self, entry: JournalEntry) -> Path:
        """Return the file that holds the bytes of *entry*, for messages."""
        if entry.record.file_name:
            return self._directory / entry.record.file_name
        return entry.place.segment.path

    # Behind it.

    async def _run_read(self, call: Callable[..., bytearray], *args: object) -> bytearray:
        return await trio.to_thread.run_sync(call, *args, limiter=self._read_limiter)

    async def _keep(self, file: StagingFile, name: str) -> None:
        """Give *file* a name and make its bytes and its name durable."""
        await file.keep(name)
        try:
            await file.sync()
        except OSError:
            await file.unkeep()
            raise


@asynccontextmanager
async def open_journal(directory: Path) -> AsyncIterator[Journal]:
    """Provide the journal in *directory*, which is locked by us: our own, or that of a dead mount.

    What was read back is in `Journal.entries`. Nothing is left on disk at the end if all of them
    have ended.

    Who is cancelled inside the block while he waits for the disk is told the truth; who comes when
    it has been left gets an `OSError` (`ESHUTDOWN`).

    Raises:
        OSError: what is there cannot be read.
    """
    writer = JournalWriter(directory)
    try:
        await trio.to_thread.run_sync(writer.load)
    except OSError:
        writer.abandon()
        raise
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run_until_stopped)
            try:
                yield Journal(directory, writer)
            finally:
                writer.stop()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(writer.close)


def _read_file(path: Path, start: int, stop: int) -> bytearray:
    data = bytearray(stop - start)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        read_fully(fd, data, start)
    finally:
        os.close(fd)
    return data
