"""When a request is sent again, and when it is given up.

The only place that repeats a request: CRT is told not to, because a retry that nobody sees
can neither slow down the concurrency limit nor be counted.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import trio

from mountfs.errors import DeadlineError, StoreUnavailableError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.store.concurrency import AdaptiveConcurrency

log = logging.getLogger(__name__)

SLOW_LINK_BYTES_PER_SECOND = 2 * 1024 * 1024
"""What all requests in flight have to share at least; 20 Mbit/s are more."""

MIN_SHARERS = 8
"""A request that is sent alone may get company a moment later."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try.

    Attributes:
        max_attempts: how often a request is sent at most, the first time included.
        deadline_seconds: for all attempts and the pauses between them, transfers apart.
        attempt_seconds: for one, its transfer apart; a request that hangs is cut off and sent again
            elsewhere.
        first_delay_seconds: the longest pause before the second attempt; it doubles each time.
        max_delay_seconds: the longest pause before any.
    """

    max_attempts: int
    deadline_seconds: float
    attempt_seconds: float
    # A reset connection is good again at once; S3 asks for doubling under "slow down".
    first_delay_seconds: float = 0.05
    # Longer pauses would only eat the deadline of an operation.
    max_delay_seconds: float = 5.0


class Retry:
    """Sends requests until one is answered, by one policy.

    Args:
        policy: how long to try.
        concurrency: is told of answers and of refusals.
        jitter: returns a number from 0 to 1; each pause is that part of the longest one ("full
            jitter"), so that clients that failed together do not return together.

    Attributes:
        retry_count: attempts after the first, of all requests so far.
    """

    __slots__ = ("_concurrency", "_jitter", "_policy", "retry_count")

    def __init__(
        self,
        policy: RetryPolicy,
        concurrency: AdaptiveConcurrency,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._jitter = jitter
        self.retry_count = 0

    async def run(
        self,
        attempt: Callable[[], Awaitable[_Answer]],
        kind: str,
        name: str,
        *,
        size_bytes: int = 0,
        grace_seconds: float = 0.0,
    ) -> _Answer:
        """Return what *attempt* returns, as soon as it does.

        Attempts that raise `StoreUnavailableError` or take too long are repeated; any other error
        is final.

        Args:
            attempt: sends the request once.
            kind: for messages: ``GET``.
            name: for messages: the key.
            size_bytes: of what is sent or answered, if it is large enough to take time on a slow
                link.
            grace_seconds: what the store itself may need on top, e.g. to copy.

        Raises:
            StoreUnavailableError: of the last attempt, when there is no more time or attempt.
            StoreError: whatever else an attempt raises.
        """
        policy = self._policy
        now = started = trio.current_time()
        transfer_seconds = busy_seconds = 0.0
        number = 1
        while True:
            failure: StoreUnavailableError
            transfer_seconds = max(
                transfer_seconds, self._transfer_seconds(size_bytes) + grace_seconds
            )
            deadline = started + policy.deadline_seconds + transfer_seconds
            attempt_end = now + policy.attempt_seconds + transfer_seconds
            with trio.CancelScope(deadline=min(attempt_end, deadline)) as scope:
                try:
                    answer = await attempt()
                except StoreUnavailableError as error:
                    failure = error
                else:
                    self._concurrency.note_success()
                    return answer
            if scope.cancelled_caught:
                failure = DeadlineError(f"{kind} {name!r}: no answer in time")
            # A slow link shows as time-outs: it is to have fewer requests at a time, too.
            if isinstance(failure, ThrottledError | DeadlineError):
                self._concurrency.note_throttled()
            delay = self._delay_seconds(number)
            busy_seconds += trio.current_time() - now
            now = trio.current_time() + delay
            # A store that refuses at once does not get the time that a transfer would take.
            last_start = started + policy.deadline_seconds + min(busy_seconds, transfer_seconds)
            if number >= policy.max_attempts or now >= last_start:
                raise failure
            log.debug(
                "%s %r: attempt %d failed, again in %.2f s: %s", kind, name, number, delay, failure
            )
            self.retry_count += 1
            number += 1
            await trio.sleep(delay)

    def _transfer_seconds(self, size_bytes: int) -> float:
        """Return how long an answer of *size_bytes* may take on a slow link that others share.

        CRT reports nothing before a part is complete, so nobody can see whether bytes flow.
        """
        sharers = max(MIN_SHARERS, self._concurrency.in_flight)
        return size_bytes * sharers / SLOW_LINK_BYTES_PER_SECOND

    def _delay_seconds(self, number: int) -> float:
        policy = self._policy
        # The exponent is bounded: after a long outage the power would not fit a float.
        longest = policy.first_delay_seconds * 2.0 ** min(number - 1, 16)
        return self._jitter() * min(longest, policy.max_delay_seconds)
