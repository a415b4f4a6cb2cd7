"""Reading one version of an object: which blocks there are, which to fetch, which to drop.

All methods but `finish_read` and `wait_opened` are synchronous and atomic: nothing is awaited in
them, so the list of blocks, the cursors and the budget agree whenever another task runs. `read`
waits only while it holds pins on every block that it needs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

import trio

from mountfs.data.block import Block
from mountfs.data.read_ahead import (
    OUT_OF_ORDER_BYTES,
    TAIL_BYTES,
    Cursor,
    Plan,
    advance,
    part_bytes,
    plan_open,
    plan_read,
    take_cursor,
)

if TYPE_CHECKING:
    from mountfs.data.block_cache import BlockCache
    from mountfs.objects import ObjectId


def _start_of(block: Block) -> int:
    return block.start


def _pin(blocks: list[Block]) -> None:
    for block in blocks:
        block.pins += 1


def _unpin(blocks: list[Block]) -> None:
    for block in blocks:
        block.pins -= 1


class Reader:
    """The state of reading one version of an object, shared by all who read it.

    Attributes:
        object_id: the version; every request names it.
        size_bytes: its length.
        open_count: handles on it; 0 also where the kernel does not tell (no-open).
        touched_at: when it was last used, in trio's clock.
        is_dropped: no longer in the cache; must not start fills any more.
    """

    __slots__ = (
        "_blocks",
        "_cache",
        "_cursors",
        "_is_whole",
        "_is_whole_expected",
        "is_dropped",
        "object_id",
        "open_count",
        "size_bytes",
        "touched_at",
    )

    def __init__(self, cache: BlockCache, object_id: ObjectId, size_bytes: int) -> None:
        self._cache = cache
        self._blocks: list[Block] = []
        self._cursors: list[Cursor] = []
        self._is_whole = False
        self._is_whole_expected: bool | None = None
        """None before the first read."""
        self.object_id = object_id
        self.size_bytes = size_bytes
        self.open_count = 0
        self.touched_at = trio.current_time()
        self.is_dropped = False

    def request_first(self) -> None:
        """Ask for what a reader will want first, unless it is there or on its way."""
        for start, stop in plan_open(self.size_bytes):
            if start == 0 or self._cache.may_read_ahead(stop - start):
                self._fill_holes(start, stop, None)

    async def wait_opened(self) -> None:
        """Wait for the first block, if it is in flight: the store has then confirmed the version.

        Raises:
            StoreError: the first request failed.
        """
        block = self._blocks[0] if self._blocks else None
        if block is None or not block.is_in_flight:
            return
        _pin([block])
        try:
            await block.wait_filled()
        finally:
            _unpin([block])
        if block.error is not None:
            raise block.error

    def read_if_ready(self, start: int, stop: int) -> tuple[memoryview, ...] | None:
        """Return the bytes ``[start, stop)`` in order if they are in memory, else None."""
        blocks = self._covering(start, stop)
        if blocks is None:
            return None
        for block in blocks:
            if block.data is None:
                return None
        # Pinned, because reading ahead may make room.
        _pin(blocks)
        self._note_read(start, stop)
        _unpin(blocks)
        return self._serve(blocks, start, stop)

    def begin_read(self, start: int, stop: int) -> list[Block]:
        """Ask for what is missing of ``[start, stop)`` and pin it; `finish_read` must follow.

        ``0 <= start < stop <= size_bytes``. Synchronous, so that reads are noted in the order in
        which they came.
        """
        present = self._overlapping(start, stop)
        _pin(present)
        self._note_read(start, stop)
        blocks = self._covering(start, stop)
        assert blocks is not None, "what was there is pinned, what was not is in flight"
        _pin(blocks)
        _unpin(present)
        return blocks

    async def finish_read(
        self, blocks: list[Block], start: int, stop: int
    ) -> tuple[memoryview, ...]:
        """Return the bytes ``[start, stop)`` as soon as *blocks*, from `begin_read`, are there.

        Raises:
            StoreError: a request failed; PreconditionFailedError if the version is gone.

        Cancellation: the fills go on; they belong to the cache.
        """
        try:
            for block in blocks:
                await block.wait_filled()
                if block.error is not None:
                    raise block.error
        finally:
            _unpin(blocks)
            self.touched_at = trio.current_time()
            if self.is_dropped:  # nobody else would
                for block in blocks:
                    self._cache.discard(block)
        return self._serve(blocks, start, stop)

    def retire(self, cursor: Cursor) -> None:
        """Cancel and drop what was fetched for *cursor*, unless somebody waits for it."""
        if cursor in self._cursors:
            self._cursors.remove(cursor)
        self._cache.streams.pop(id(cursor), None)
        for block in [block for block in self._blocks if block.cursor is cursor]:
            self._cache.discard(block)

    def retire_idle(self, before: float) -> None:
        """Retire every cursor that was not used since *before*."""
        for cursor in [cursor for cursor in self._cursors if cursor.touched_at < before]:
            self.retire(cursor)

    def drop(self) -> None:
        """Cancel and forget everything; the reader must not be used for new reads."""
        self.is_dropped = True
        for cursor in self._cursors:
            self._cache.streams.pop(id(cursor), None)
        self._cursors.clear()
        for block in list(self._blocks):
            self._cache.discard(block)

    def note_filled(self, block: Block) -> None:
        """Note that *block* has come: whoever waits for it is not idle, however long it took."""
        self.touched_at = trio.current_time()
        if block.cursor is not None:
            block.cursor.touched_at = self.touched_at
            self._read_on(block.cursor)

    def is_live(self, block: Block, since: float) -> bool:
        """Tell whether *block* is about to be read by somebody who was active since *since*."""
        cursor = block.cursor
        if cursor is None:
            return self.touched_at >= since
        is_ahead = block.stop + OUT_OF_ORDER_BYTES > cursor.position
        return cursor.touched_at >= since and is_ahead

    @property
    def is_waited_for(self) -> bool:
        """Tell whether somebody waits for one of the blocks."""
        return any(block.pins for block in self._blocks)

    def remove(self, block: Block) -> None:
        """Take *block* out of the list; only the cache calls this, and settles the budget."""
        index = bisect_right(self._blocks, block.start, key=_start_of) - 1
        if index >= 0 and self._blocks[index] is block:
            del self._blocks[index]

    @property
    def is_finished(self) -> bool:
        """Tell whether nothing is kept here that a later read could use."""
        return not self._blocks and all(
            cursor.position >= self.size_bytes for cursor in self._cursors
        )

    def _covering(self, start: int, stop: int) -> list[Block] | None:
        """Return the blocks that cover ``[start, stop)`` in order, or None if there is a hole."""
        blocks = self._blocks
        index = bisect_right(blocks, start, key=_start_of) - 1
        if index < 0:
            return None
        found: list[Block] = []
        position = start
        while position < stop:
            if index >= len(blocks):
                return None
            block = blocks[index]
            if not block.start <= position < block.stop:
                return None
            found.append(block)
            position = block.stop
            index += 1
        return found

    def _overlapping(self, start: int, stop: int) -> list[Block]:
        """Return the blocks that share something with ``[start, stop)``, in order."""
        first = max(0, bisect_right(self._blocks, start, key=_start_of) - 1)
        last = bisect_left(self._blocks, stop, lo=first, key=_start_of)
        return [block for block in self._blocks[first:last] if block.stop > start]

    def _note_read(self, start: int, stop: int) -> None:
        """Advance the cursor, request what is missing and read ahead."""
        cache = self._cache
        cursor, retired = take_cursor(self._cursors, start)
        if retired is not None:
            self.retire(retired)
        if self._is_whole_expected is None:
            self._is_whole_expected = cache.habits.begin(self.object_id.key, self.size_bytes)
        advance(cursor, start, stop)
        if cursor.run_bytes >= self.size_bytes and not self._is_whole:
            self._is_whole = True
            cache.habits.note_whole(self.object_id.key, self.size_bytes)
        self.touched_at = cursor.touched_at = trio.current_time()
        plan = self._plan(cursor, start, stop)
        if plan.start < start or plan.stop > stop:
            widened = plan.stop - plan.start
            if widened <= cache.part_size_bytes and cache.has_room(widened):
                self._fill_holes(plan.start, plan.stop, cursor)
        self._fill_holes(start, stop, cursor)
        self._read_ahead(cursor, plan.window_stop)

    def _read_on(self, cursor: Cursor) -> None:
        """Go on reading ahead for *cursor*: there may be room now."""
        if not self.is_dropped and cursor in self._cursors:
            plan = self._plan(cursor, cursor.position, cursor.position)
            self._read_ahead(cursor, plan.window_stop)

    def _plan(self, cursor: Cursor, start: int, stop: int) -> Plan:
        is_whole = bool(self._is_whole_expected)
        window_bytes = self._cache.window_bytes(is_whole_expected=is_whole)
        return plan_read(
            cursor, start, stop, self.size_bytes, window_bytes, is_whole_expected=is_whole
        )

    def _read_ahead(self, cursor: Cursor, window_stop: int) -> None:
        """Request whole parts for *cursor* up to *window_stop*, while there is room."""
        cache = self._cache
        position = cursor.planned_to = max(cursor.planned_to, cursor.position)
        if position >= window_stop:
            return
        cache.streams[id(cursor)] = cursor
        part = part_bytes(window_stop - cursor.position, cache.part_size_bytes)
        while position < window_stop:
            index = bisect_right(self._blocks, position, key=_start_of) - 1
            if index >= 0 and self._blocks[index].stop > position:
                position = cursor.planned_to = self._blocks[index].stop
                continue
            stop = min(position + part, self.size_bytes)
            if index + 1 < len(self._blocks):
                stop = min(stop, self._blocks[index + 1].start)
            elif stop > window_stop and stop < self.size_bytes:
                return  # a whole part later rather than a small one now
            if not cache.may_read_ahead(stop - position):
                return
            self._start_fill(position, stop, cursor)
            position = cursor.planned_to = stop

    def _fill_holes(self, start: int, stop: int, cursor: Cursor | None) -> None:
        """Request every part of ``[start, stop)`` that is neither there nor on its way."""
        position = start
        while position < stop:
            index = bisect_right(self._blocks, position, key=_start_of) - 1
            if index >= 0 and self._blocks[index].stop > position:
                position = self._blocks[index].stop
                continue
            hole_stop = min(stop, position + self._cache.part_size_bytes)
            if index + 1 < len(self._blocks):
                hole_stop = min(hole_stop, self._blocks[index + 1].start)
            self._start_fill(position, hole_stop, cursor)
            position = hole_stop

    def _start_fill(self, start: int, stop: int, cursor: Cursor | None) -> None:
        is_tail = stop == self.size_bytes and start >= stop - TAIL_BYTES and start > 0
        block = Block(self, start, stop, cursor, is_kept=is_tail)
        insort(self._blocks, block, key=_start_of)
        self._cache.start_fill(block)

    def _serve(self, blocks: list[Block], start: int, stop: int) -> tuple[memoryview, ...]:
        """Cut ``[start, stop)`` out of complete *blocks*; drop those that were read up."""
        cache = self._cache
        pieces: list[memoryview] = []
        for block in blocks:
            assert block.data is not None
            piece = memoryview(block.data)[
                max(0, start - block.start) : min(block.stop, stop) - block.start
            ]
            pieces.append(piece)
            block.served_bytes += len(piece)
            if block.is_read_up and not block.is_kept:
                cache.discard(block)  # unless it is pinned: then the last one to read it does
            else:
                cache.touch(block)
        cache.served_bytes += stop - start
        return tuple(pieces)
