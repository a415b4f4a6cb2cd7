"""All blocks of the mount: fills in flight, blocks in memory, and the one budget for both.

The kernel's page cache keeps what was read; this one holds what is about to be. A block goes when
it was read, when its reader is abandoned, or, least recently used first, when somebody needs the
memory.

Fills belong to the cache's nursery and not to a reader or a handle: several tasks may wait for one
fill, and each of them may be cancelled.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING

import trio

from mountfs.data.budget import Budget
from mountfs.data.habits import Habits
from mountfs.data.reader import Reader
from mountfs.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.data.block import Block
    from mountfs.data.config import ReadConfig
    from mountfs.data.read_ahead import Cursor
    from mountfs.objects import ObjectId
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)

ACTIVE_SECONDS = 2.0
"""A stream that was not read for so long does not count as one, and its read-ahead may be taken."""

IDLE_SECONDS = 10.0
"""What was fetched for a cursor that was not used for so long is dropped. A training step between
two reads takes seconds, not ten."""

SWEEP_SECONDS = 1.0
"""How often idle readers are looked for."""

EVICTION_SCAN = 64
"""Blocks looked at for room: the oldest ones. Behind them all are recent, mostly live
read-ahead."""


class BlockCache:
    """Readers by inode, their blocks, and the budget that they share.

    Attributes:
        budget: bytes held and in flight.
        part_size_bytes: the largest request.
        streams: the cursors that read ahead, by `id`.
        habits: how files were read so far.
        fetched_bytes: bytes that the store delivered.
        served_bytes: bytes that applications (the kernel) were given.
        fill_count: requests started.
        abandoned_count: fills that were cancelled because nobody wanted them any more.
    """

    def __init__(self, config: ReadConfig, store: ObjectStore, nursery: trio.Nursery) -> None:
        self.budget = Budget(config.memory_limit_bytes)
        self.budget.reclaim = self._make_room
        self.part_size_bytes = store.part_size_bytes
        self.streams: dict[int, Cursor] = {}
        self.habits = Habits()
        self.fetched_bytes = 0
        self.served_bytes = 0
        self.fill_count = 0
        self.abandoned_count = 0
        self._max_window_bytes = config.max_read_ahead_bytes
        self._store = store
        self._nursery = nursery
        self._readers: dict[int, Reader] = {}
        self._ready: dict[Block, None] = {}
        """Complete blocks, least recently used first."""

    def __len__(self) -> int:
        return len(self._readers)

    def reader_of(self, inode: int) -> Reader | None:
        """Return the reader of *inode*, if there is one."""
        return self._readers.get(inode)

    def open_reader(self, inode: int, object_id: ObjectId, size_bytes: int) -> Reader:
        """Return the reader of *inode*, a new one if need be.

        An inode that was changed here is another version, or under another key, from then on: what
        an older reader has is not served any more. Whoever waits for it still gets it.
        """
        reader = self._readers.get(inode)
        if reader is not None and reader.object_id == object_id:
            return reader
        fresh = Reader(self, object_id, size_bytes)
        if reader is not None:
            fresh.open_count = reader.open_count
            reader.drop()
        self._readers[inode] = fresh
        return fresh

    def drop_reader(self, inode: int) -> None:
        """Forget all of *inode*: fills that nobody waits for are cancelled, blocks freed."""
        reader = self._readers.pop(inode, None)
        if reader is not None:
            reader.drop()

    def window_bytes(self, *, is_whole_expected: bool) -> int:
        """Return how far one stream may read ahead now: its fair share of the budget.

        A third is left out of the division, since fills in flight count twice.

        Args:
            is_whole_expected: the file will most likely be read to its end; then twice as far.
        """
        share = self.budget.limit_bytes * 2 // (3 * max(1, len(self.streams)))
        window = min(self._max_window_bytes, share)
        if not is_whole_expected:
            return window
        # Between two files a reader empties its window faster than the network fills one, and then
        # nothing is under way. Within a long file more gains nothing. The memory is not divided
        # anew for that: drafts find half of it.
        extra_share = self.budget.limit_bytes // (4 * max(1, len(self.streams)))
        return max(window, min(2 * self._max_window_bytes, extra_share))

    def may_read_ahead(self, size_bytes: int) -> bool:
        """Tell whether *size_bytes* may be fetched that nobody waits for; makes room if it can."""
        return not self._store.concurrency.is_full and self.has_room(size_bytes)

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether *size_bytes* can be fetched within the budget; makes room if it can."""
        return self.budget.has_room(2 * size_bytes) or self._make_room(2 * size_bytes)

    def start_fill(self, block: Block) -> None:
        """Begin to fetch *block*, which its reader has just put into its list."""
        cost = 2 * (block.stop - block.start)
        if not self.budget.has_room(cost):
            self._make_room(cost)
        self.budget.reserve(cost)
        self.fill_count += 1
        self._nursery.start_soon(self._fill, block)

    def touch(self, block: Block) -> None:
        """Note that *block* was used."""
        if block in self._ready:
            del self._ready[block]
            self._ready[block] = None

    def discard(self, block: Block) -> None:
        """Drop *block*, or cancel its fill; nothing happens while somebody waits for it."""
        if block.pins:
            return
        if block.is_in_flight:
            # Out of the list at once: a read that comes now must ask again, not get the
            # cancellation. The fill gives the memory back when it has ended.
            block.reader.remove(block)
            block.scope.cancel()
        elif block in self._ready:
            del self._ready[block]
            block.reader.remove(block)
            self.budget.release(block.stop - block.start)

    async def sweep_forever(self) -> None:
        """Retire what nobody has read for a while, every `SWEEP_SECONDS`."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            for key, cursor in list(self.streams.items()):
                if cursor.touched_at < now - ACTIVE_SECONDS:
                    del self.streams[key]
            for inode, reader in list(self._readers.items()):
                if reader.touched_at >= now - IDLE_SECONDS or reader.is_waited_for:
                    continue
                if reader.open_count:
                    reader.retire_idle(now - IDLE_SECONDS)
                else:
                    self.drop_reader(inode)

    def _make_room(self, size_bytes: int) -> bool:
        """Evict until *size_bytes* fit, the least recently used first; tell whether they do.

        Not what somebody waits for, nor read-ahead of a stream that is being read.
        """
        since = trio.current_time() - ACTIVE_SECONDS
        for block in list(islice(self._ready, EVICTION_SCAN)):
            if self.budget.has_room(size_bytes):
                return True
            if not block.pins and not block.reader.is_live(block, since):
                self.discard(block)
        return self.budget.has_room(size_bytes)

    async def _fill(self, block: Block) -> None:
        size = block.stop - block.start
        reader = block.reader
        data: bytes | None = None
        with block.scope:
            try:
                data = await self._store.get(reader.object_id, block.start, block.stop)
            except StoreError as error:
                block.error = error
            except Exception as error:
                log.exception("a fill of %r failed", reader.object_id.key)
                block.error = StoreUnavailableError(f"internal error: {error}")
        # Nothing is awaited from here on: the block, the list and the budget change together.
        self.budget.release(size)
        if data is not None:
            self.fetched_bytes += size
        is_unwanted = block.scope.cancel_called or (reader.is_dropped and not block.pins)
        if data is None or is_unwanted:
            if block.error is None:
                self.abandoned_count += 1
                block.error = StoreUnavailableError("the read was abandoned")
            reader.remove(block)
            self.budget.release(size)
        else:
            block.data = data
            self._ready[block] = None
        block.wake_waiters()
        if block.data is not None:
            reader.note_filled(block)


@asynccontextmanager
async def open_block_cache(config: ReadConfig, store: ObjectStore) -> AsyncIterator[BlockCache]:
    """Provide a block cache; fills still in flight are cancelled when the block is left."""
    async with trio.open_nursery() as nursery:
        cache = BlockCache(config, store, nursery)
        nursery.start_soon(cache.sweep_forever)
        try:
            yield cache
        finally:
            nursery.cancel_scope.cancel()
