"""The memory budget of the mount: who may hold how much object data.

A fill in flight is counted twice until it is complete: CRT collects the bytes in a buffer of its
own before it hands them over. Demand (an application waits for exactly these bytes) is never
refused, so nothing can deadlock; it may exceed the limit by what one request needs, for each
reader. Read-ahead is refused instead, and a stream never gets more than its fair share.

Drafts (what applications have written) get at most half of it, so that what is being sent, and
reading, have room beside them. A writer for whom there is none waits here only while memory is
sure to come free without anybody's help; otherwise its draft moves to the staging directory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

DRAFT_SHARE = 2
"""Drafts get one part in so many. A part that is being sent is held once by its draft and once by
CRT, so with half of the memory each, neither waits for the other."""

LOOK_AGAIN_SECONDS = 0.1
"""How often the first in the queue asks the cache to evict once more: blocks become evictable by
the mere passing of time, and nobody is told."""


class _Waiter:
    """A writer in the queue."""

    __slots__ = ("event", "is_granted", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.is_granted = False
        self.event = trio.Event()


class Budget:
    """Counts bytes against a limit.

    Attributes:
        limit_bytes: what should not be exceeded.
        used_bytes: what is reserved now, for whatever purpose.
        peak_bytes: the most that ever was.
        draft_bytes: how much of `used_bytes` drafts hold.
        reclaim: called with a number of bytes to make room for: evicts what can be fetched again,
            and tells whether there is room now. Must not wait.
    """

    __slots__ = ("_waiters", "draft_bytes", "limit_bytes", "peak_bytes", "reclaim", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.draft_bytes = 0
        self.reclaim: Callable[[int], bool] | None = None
        self._waiters: deque[_Waiter] = deque()

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether *size_bytes* more would stay within the limit.

        What the first waiting writer needs does not count as room, or read-ahead would always be
        faster than it.
        """
        return self.used_bytes + self._wanted_bytes() + size_bytes <= self.limit_bytes

    def reserve(self, size_bytes: int) -> None:
        """Take *size_bytes*, also where there is no room: `has_room` is asked before."""
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def release(self, size_bytes: int) -> None:
        """Give back *size_bytes*; writers that wait for them get them at once."""
        self.used_bytes -= size_bytes
        assert self.used_bytes >= 0, "more was released than reserved"
        if self._waiters:
            self._grant()

    @property
    def is_short_for_drafts(self) -> bool:
        """Tell whether drafts hold more than they should, or all together do."""
        return self.draft_bytes > self._draft_limit_bytes or self.used_bytes > self.limit_bytes

    def reserve_for_draft_if_room(self, size_bytes: int) -> bool:
        """Take *size_bytes* for a draft and return True, or return False and take nothing.

        Evicts what can be fetched again. Nobody overtakes a writer that waits.
        """
        if self._waiters or self.draft_bytes + size_bytes > self._draft_limit_bytes:
            return False
        if self.used_bytes + size_bytes > self.limit_bytes and not (
            self.reclaim is not None and self.reclaim(size_bytes)
        ):
            return False
        self.reserve_for_draft(size_bytes)
        return True

    def reserve_for_draft(self, size_bytes: int) -> None:
        """Take *size_bytes* for a draft, also where there is no room."""
        self.draft_bytes += size_bytes
        self.reserve(size_bytes)

    def release_draft(self, size_bytes: int) -> None:
        """Give back *size_bytes* that were taken for a draft."""
        self.draft_bytes -= size_bytes
        assert self.draft_bytes >= 0, "more was released than drafts had reserved"
        self.release(size_bytes)

    async def wait_for_draft_room(self, size_bytes: int, expects_room: Callable[[], bool]) -> bool:
        """Take *size_bytes* for a draft as soon as there is room; first come, first served.

        Returns False, having taken nothing, once *expects_room* says no: memory of the caller that
        was about to come free no longer is, so that waiting for it might last for ever.

        Cancellation: nothing is taken.
        """
        waiter = _Waiter(size_bytes)
        self._waiters.append(waiter)
        try:
            while not waiter.is_granted:
                if not expects_room():
                    return False
                self._evict_for_first()
                with trio.move_on_after(LOOK_AGAIN_SECONDS):
                    await waiter.event.wait()
        except BaseException:
            if waiter.is_granted:
                self.release_draft(size_bytes)
            raise
        finally:
            if not waiter.is_granted:
                self._waiters.remove(waiter)
                self._grant()  # the next one may need less
        return True

    @property
    def _draft_limit_bytes(self) -> int:
        return self.limit_bytes // DRAFT_SHARE

    def _wanted_bytes(self) -> int:
        """Return what the first waiter waits for, unless it is other drafts that are in its way."""
        if not self._waiters:
            return 0
        size = self._waiters[0].size_bytes
        return size if self.draft_bytes + size <= self._draft_limit_bytes else 0

    def _evict_for_first(self) -> None:
        if self.reclaim is not None and self._wanted_bytes():
            self.reclaim(0)  # `has_room` counts what is wanted already
        self._grant()

    def _grant(self) -> None:
        """Give the first waiters what they wait for, as far as there is room."""
        while self._waiters:
            size = self._waiters[0].size_bytes
            if (
                self.draft_bytes + size > self._draft_limit_bytes
                or self.used_bytes + size > self.limit_bytes
            ):
                return
            waiter = self._waiters.popleft()
            waiter.is_granted = True
            waiter.event.set()
            self.reserve_for_draft(size)
