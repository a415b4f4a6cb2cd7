"""How many requests for data the store should see at a time.

As in TCP: until the first refusal every answer adds one, so that the limit doubles with each round
of answers that uses it; from then on it adds a little, and a refusal (503 SlowDown, 429) or a
time-out halves. Demand (somebody waits for the bytes) always goes through, and slows down by the
back-off of its retries; read-ahead asks `is_full` first and holds back.
"""

from __future__ import annotations

import time

MIN_LIMIT = 2
"""Never below: one slow request must not stop everything."""

HALVE_PAUSE_SECONDS = 1.0
"""One burst of refusals is one event; requests that were already in flight do not count again."""


class AdaptiveConcurrency:
    """A count of the requests in flight and an adaptive limit for it.

    Args:
        initial: the limit to start from.
        maximum: the limit never grows beyond it.

    Attributes:
        in_flight: requests for data that were sent and not answered.
        limit: how many there should be at most, now.
        throttled_count: refusals and time-outs since the start.
    """

    __slots__ = ("_halved_at", "_maximum", "in_flight", "limit", "throttled_count")

    def __init__(self, *, initial: int, maximum: int) -> None:
        if not MIN_LIMIT <= initial <= maximum:
            raise ValueError(f"need {MIN_LIMIT} <= initial ({initial}) <= maximum ({maximum})")
        self.in_flight = 0
        self.limit = float(initial)
        self.throttled_count = 0
        self._maximum = float(maximum)
        self._halved_at = float("-inf")

    @property
    def is_full(self) -> bool:
        """Tell whether a request that nobody waits for should hold back."""
        return self.in_flight >= self.limit

    def note_success(self) -> None:
        """Raise the limit: by one after as many answers as the limit, at first after each.

        What was never tried is not known to be permitted: only while half of it is in use.
        """
        if self.limit < self._maximum and 2 * self.in_flight >= self.limit:
            # Large parts are answered seldom. Rising linearly from the start, four readers of
            # shards had a third of the permitted requests under way after 2 GiB.
            increase = 1.0 / self.limit if self.throttled_count else 1.0
            self.limit = min(self._maximum, self.limit + increase)

    def note_throttled(self) -> None:
        """Halve the limit, at most once in `HALVE_PAUSE_SECONDS`."""
        self.throttled_count += 1
        now = time.monotonic()
        if now - self._halved_at >= HALVE_PAUSE_SECONDS:
            self._halved_at = now
            self.limit = max(float(MIN_LIMIT), self.limit / 2)
