"""The files that are durable here and not in the bucket yet, and what is to be said of them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from mountfs.data.pending import Pending, PendingState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.data.upload_queue import UploadQueue

log = logging.getLogger(__name__)

WARN_AGAIN_SECONDS = 3600.0
"""One line an hour for a file that cannot be published."""

WATCH_SECONDS = 10.0
"""How often ages are looked at."""


LOG_SECONDS = 10.0
"""Between two lines about attempts that failed: in an outage everything fails, and one says it."""


DOUBTFUL_MAX = 3
"""Older generations of a key that are kept because the store may hold them. In an outage each save
adds one, and the staging disk must not fill up with them. If the store holds one that is not kept,
it is taken for somebody else's: both are kept then, and nothing is lost."""


def sort_out(replaced: Sequence[Pending]) -> tuple[list[Pending], list[Pending]]:
    """Return what the journal has to keep of *replaced*, and what it may forget.

    One that may have landed stays there until its successor has: after a crash it tells that what
    the bucket holds is ours.
    """
    doubtful: list[Pending] = []
    useless: list[Pending] = []
    for old in replaced:
        doubtful += old.doubtful
        (doubtful if old.is_doubtful else useless).append(old)
    return doubtful[-DOUBTFUL_MAX:], [*doubtful[:-DOUBTFUL_MAX], *useless]


class PendingFiles:
    """Generations by number, oldest first.

    Args:
        queue: knows them by key, and is told when one ends.
        warn_after_seconds: who waits for longer is overdue.

    Attributes:
        size_bytes: the size of all these files.
        published_count: files published.
        published_bytes: their size.
        replaced_count: generations that a younger one made needless.
        failure_count: attempts that failed.
    """

    def __init__(self, queue: UploadQueue, warn_after_seconds: float) -> None:
        self.size_bytes = 0
        self.published_count = 0
        self.published_bytes = 0
        self.replaced_count = 0
        self.failure_count = 0
        self._queue = queue
        self._warn_after_seconds = warn_after_seconds
        self._logged_at = -math.inf
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def get(self, number: int) -> Pending | None:
        """Return the generation *number*, unless it has ended."""
        return self._pending.get(number)

    def add(self, pending: Pending) -> None:
        """Add *pending*, which the queue is told of by the caller."""
        self._pending[pending.number] = pending
        self.size_bytes += pending.size_bytes

    @property
    def oldest_age_seconds(self) -> float:
        """Return how long the oldest of them has been waiting; 0 if there is none."""
        committed = [pending.committed_at for pending in self._pending.values()]
        return trio.current_time() - min(committed) if committed else 0.0

    @property
    def overdue_count(self) -> int:
        """Return how many wait for longer than they should."""
        limit = trio.current_time() - self._warn_after_seconds
        return sum(pending.committed_at <= limit for pending in self._pending.values())

    def all(self) -> list[Pending]:
        """Return what is not in the bucket yet, oldest first; `Pending.error` says what fails."""
        return list(self._pending.values())

    def hold_for_successor(self, key: str) -> list[Pending]:
        """Hold back what a new generation of *key* will replace; return it."""
        replaced = [
            old
            for old in self._queue.generations_of(key)
            if old.state in (PendingState.WAITING, PendingState.HELD) and not old.is_moving
        ]
        for old in replaced:
            old.set_state(PendingState.HELD)
        return replaced

    def replace(self, replaced: list[Pending], successor: Pending) -> None:
        """Let *successor* take the place of what was held back for it."""
        replaced = [old for old in replaced if not old.has_ended]
        doubtful, _ = sort_out(replaced)
        successor.doubtful += doubtful
        for old in replaced:
            old.successor = successor
            successor.may_have_landed |= old.may_have_landed
            self.replaced_count += 1
            self.forget(old, PendingState.REPLACED)

    def forget(self, pending: Pending, state: PendingState) -> None:
        """Let *pending* end in *state*."""
        if self._pending.pop(pending.number, None) is not None:
            self.size_bytes -= pending.size_bytes
            self._queue.remove(pending, pending.key)
            pending.set_state(state)

    def note_published(self, pending: Pending) -> None:
        """Let *pending* end: it is in the bucket."""
        self.published_count += 1
        self.published_bytes += pending.size_bytes
        self.forget(pending, PendingState.PUBLISHED)

    def note_failure(self, pending: Pending, error: Exception) -> None:
        """Note that an attempt to publish *pending* failed."""
        self.failure_count += 1
        pending.error = error
        now = trio.current_time()
        is_first = now - self._logged_at >= LOG_SECONDS
        if is_first:
            self._logged_at = now
        log.log(
            logging.WARNING if is_first else logging.DEBUG,
            "%r cannot be published yet (attempt %d): %s",
            pending.key,
            pending.attempts,
            error,
        )

    async def watch_forever(self) -> None:
        """Say loudly what does not get through; `open_write_back` runs it."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            now = trio.current_time()
            for pending in self.all():
                since = pending.warned_at
                is_time = since is None or now - since >= WARN_AGAIN_SECONDS
                age = now - pending.committed_at
                if age >= self._warn_after_seconds and is_time:
                    pending.warned_at = now
                    log.error(
                        "%r (%d bytes) was closed %.0f s ago and is not in the bucket yet, after "
                        "%d attempts: %s; it is safe in the journal and goes on being tried",
                        pending.key,
                        pending.size_bytes,
                        age,
                        pending.attempts,
                        pending.error or "it waits for its turn",
                    )
