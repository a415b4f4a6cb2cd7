"""Memory for what is on its way to the store, of all uploads together.

A body in flight is copied once by CRT, and what a draft has on disk or in its base is brought to
memory for it. The budget says whether there is room. When nothing is on its way, the next one goes
whatever the budget says: somebody always gets on, and so do the writers that wait for what is sent.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from mountfs.data.budget import Budget

LOOK_AGAIN_SECONDS = 0.1
"""How often the first in the queue looks again: others give memory back, too, and tell nobody."""


SENDING_SHARE = 4
"""Bodies get at most one part in so many of the budget. Fragments and what CRT keeps for itself
come on top: without a share, saving 2 GiB with a limit of 1 GiB took 1.4 GiB."""

ENOUGH_BODIES = 8
"""Beyond so many of a size only half of the share is used: memory that goes round quickly is cheap.
With 16 instead of 32 parts of 8 MiB at a time, 1 GiB was saved in 4 % less time; with two instead
of four, 100 ms away, 300 MiB took a third longer."""


class _Waiter:
    """Somebody in the queue; the first one looks again from time to time."""

    __slots__ = ("is_granted", "is_looking", "size_bytes", "wake")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.is_granted = False
        self.is_looking = False
        self.wake = trio.Event()


class SendingRoom:
    """Hands out memory for bodies, first come, first served.

    Whoever holds some gives it back without waiting for anybody else's: it waits for the disk and
    the store only.

    Args:
        budget: of the mount.

    Attributes:
        holder_count: how many hold some now.
    """

    def __init__(self, budget: Budget) -> None:
        self.holder_count = 0
        self._held_bytes = 0
        self._budget = budget
        self._waiters: deque[_Waiter] = deque()

    def take_if_room(self, size_bytes: int) -> bool:
        """Take *size_bytes* and return True, or return False: there is no room, or others wait."""
        if self._waiters or not self._fits(size_bytes):
            return False
        self._take(size_bytes)
        return True

    async def take(self, size_bytes: int) -> None:
        """Take *size_bytes* as soon as there is room; `give_back` follows.

        Cancellation: nothing is taken.
        """
        if self.take_if_room(size_bytes):
            return
        waiter = _Waiter(size_bytes)
        self._waiters.append(waiter)
        try:
            while not waiter.is_granted:
                waiter.is_looking = self._waiters[0] is waiter
                with trio.move_on_after(LOOK_AGAIN_SECONDS if waiter.is_looking else math.inf):
                    await waiter.wake.wait()
                if not waiter.is_granted:
                    waiter.wake = trio.Event()
                    self._grant()
        except BaseException:
            if waiter.is_granted:
                self.give_back(size_bytes)
            else:
                self._waiters.remove(waiter)
                self._grant()  # the next one may need less
            raise

    def give_back(self, size_bytes: int) -> None:
        """Give back *size_bytes* that were taken at once; whoever waits for them gets them."""
        self.holder_count -= 1
        assert self.holder_count >= 0, "more was given back than taken"
        self._held_bytes -= size_bytes
        self._budget.release(size_bytes)
        self._grant()

    def _fits(self, size_bytes: int) -> bool:
        budget = self._budget
        share_bytes = budget.limit_bytes // SENDING_SHARE
        allowed_bytes = min(share_bytes, max(share_bytes // 2, ENOUGH_BODIES * size_bytes))
        if self._held_bytes + size_bytes > allowed_bytes:
            return not self.holder_count
        if budget.has_room(size_bytes):
            return True
        if budget.reclaim is not None and budget.reclaim(size_bytes):
            return True
        return not self.holder_count

    def _take(self, size_bytes: int) -> None:
        self.holder_count += 1
        self._held_bytes += size_bytes
        self._budget.reserve(size_bytes)

    def _grant(self) -> None:
        """Give the first waiters what they wait for, as far as there is room."""
        while self._waiters and self._fits(self._waiters[0].size_bytes):
            waiter = self._waiters.popleft()
            waiter.is_granted = True
            self._take(waiter.size_bytes)
            waiter.wake.set()
        if self._waiters and not self._waiters[0].is_looking:
            self._waiters[0].wake.set()
