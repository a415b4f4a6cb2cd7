"""When which generation is uploaded: a few at once, each key in order, failures again later.

Knows nothing of journals and stores: one attempt is a coroutine that is passed in.
"""

from __future__ import annotations

import heapq
import sys
from typing import TYPE_CHECKING

import trio

from mountfs.data.pending import Pending, PendingState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_DELAY_SECONDS = 0.5
"""Before the second attempt; it doubles. The store has repeated each request by then."""

MAX_DELAY_SECONDS = 30.0
"""Between two attempts. An outage of hours costs nothing, and half a minute later all goes on."""


class UploadQueue:
    """Generations by key, and by the time when they are due.

    Args:
        concurrency: attempts at once.
        restrained: for how many attempts at once there is room beside applications that write, and
            until when, on trio's clock.

    Attributes:
        in_flight: attempts under way.
    """

    def __init__(
        self,
        concurrency: int,
        restrained: Callable[[], tuple[int, float]] = lambda: (sys.maxsize, 0.0),
    ) -> None:
        self.in_flight = 0
        self._concurrency = concurrency
        self._restrained = restrained
        self._by_key: dict[str, list[Pending]] = {}
        """The generations of a key, in the order in which they are to be uploaded."""
        self._due: list[tuple[float, int, Pending]] = []
        """A heap. What is out of date in it is skipped: `Pending.due_at` counts."""
        self._serial = 0
        self._wake = trio.Event()

    def generations_of(self, key: str) -> list[Pending]:
        """Return what is pending for *key*, oldest first."""
        return list(self._by_key.get(key, ()))

    def add(self, pending: Pending, delay_seconds: float) -> None:
        """Let *pending* be the youngest of its key, and be uploaded after a while."""
        self._by_key.setdefault(pending.key, []).append(pending)
        self._schedule(pending, trio.current_time() + delay_seconds)

    def remove(self, pending: Pending, key: str) -> None:
        """Forget *pending*, which had *key*; the next one of that key may go."""
        chain = self._by_key.get(key, [])
        if pending in chain:
            chain.remove(pending)
        if chain:
            self._schedule(chain[0], chain[0].due_at)
        else:
            self._by_key.pop(key, None)

    def hasten(self, pending: Pending) -> None:
        """Let *pending*, and what it waits for, be tried without delay."""
        for waiting in self._by_key.get(pending.key, ()):
            if waiting.state is PendingState.WAITING:
                self._schedule(waiting, trio.current_time())

    def retry(self, pending: Pending) -> None:
        """Let *pending* be tried again, the later the more often it failed."""
        # The exponent is bounded: after a long outage the power would not fit a float.
        doublings = min(max(pending.attempts - 1, 0), 16)
        delay = min(FIRST_DELAY_SECONDS * 2.0**doublings, MAX_DELAY_SECONDS)
        self._schedule(pending, trio.current_time() + delay)

    def release(self, pending: Pending) -> None:
        """Let *pending* go on, if it was held back."""
        pending.is_stopping = False
        if pending.state is PendingState.HELD:
            pending.set_state(PendingState.WAITING)
            self._schedule(pending, pending.due_at)

    async def stop(self, pending: Pending) -> None:
        """Hold *pending* back; return when nothing of it is under way. It may have ended then.

        Cancellation: it may be held back or not.
        """
        if pending.state is PendingState.WAITING:
            pending.set_state(PendingState.HELD)
        while pending.state is PendingState.UPLOADING:
            pending.request_stop()
            await pending.changed.wait()

    async def run_forever(
        self, attempt: Callable[[Pending], Awaitable[None]], nursery: trio.Nursery
    ) -> None:
        """Start what is due.

        Args:
            attempt: makes one; never raises but `trio.Cancelled`, and leaves the state `UPLOADING`.
            nursery: owns the attempts.
        """
        while True:
            self._wake = trio.Event()
            now = trio.current_time()
            room, until = self._restrained()
            limit = min(self._concurrency, room) if now < until else self._concurrency
            while self._due and self._due[0][0] <= now and self.in_flight < limit:
                _, _, pending = heapq.heappop(self._due)
                if self._may_start(pending, now):
                    self.in_flight += 1
                    pending.set_state(PendingState.UPLOADING)
                    nursery.start_soon(self._run, attempt, pending)
            deadline = self._due[0][0] if self._due else float("inf")
            if self.in_flight >= limit:
                deadline = max(deadline, until) if limit < self._concurrency else float("inf")
            with trio.CancelScope(deadline=deadline):
                await self._wake.wait()

    def _may_start(self, pending: Pending, now: float) -> bool:
        """Tell whether *pending* is still due; if not, whoever makes it due schedules it again."""
        return (
            pending.state is PendingState.WAITING
            and pending.due_at <= now
            and self._by_key[pending.key][0] is pending
        )

    async def _run(self, attempt: Callable[[Pending], Awaitable[None]], pending: Pending) -> None:
        try:
            await attempt(pending)
        finally:
            if pending.state is PendingState.UPLOADING:  # the mount ends
                pending.set_state(PendingState.HELD)
            self.in_flight -= 1
            self._wake.set()

    def _schedule(self, pending: Pending, due_at: float) -> None:
        pending.due_at = due_at
        self._serial += 1
        heapq.heappush(self._due, (due_at, self._serial, pending))
        self._wake.set()
