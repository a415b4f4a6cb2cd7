"""How long an answer of the store may be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

KERNEL_FOREVER_SECONDS = 10 * 365 * 86400.0
"""What the kernel is told for ``inf``: long enough for any mount, far from overflowing its
jiffies."""


@dataclass(frozen=True, slots=True)
class Ttl:
    """A lifetime for metadata: 0 (ask every time) up to infinity (the bucket never changes).

    Times are seconds of trio's clock (`trio.current_time`); only differences count.
    """

    seconds: float

    def __post_init__(self) -> None:
        if math.isnan(self.seconds) or self.seconds < 0:
            raise ValueError(f"a TTL is 0 or more seconds, not {self.seconds}")

    def remaining_seconds(self, fetched_at: float, now: float) -> float:
        """Return for how long an answer of *fetched_at* is still good; 0 when it is stale."""
        return max(0.0, fetched_at + self.seconds - now)

    def is_fresh(self, fetched_at: float, now: float) -> bool:
        """Tell whether an answer of *fetched_at* may be used at *now*; never with a TTL of 0."""
        return now - fetched_at < self.seconds

    def kernel_seconds(self, fetched_at: float, now: float) -> float:
        """Return the timeout to hand to the kernel with an answer of *fetched_at*."""
        return min(self.remaining_seconds(fetched_at, now), KERNEL_FOREVER_SECONDS)
