"""When a request is sent again, and when it is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import (
    AccessDeniedError,
    DeadlineError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
    ThrottledError,
)
from mountfs.store.concurrency import AdaptiveConcurrency
from mountfs.store.config import S3Config
from mountfs.store.retry import Retry, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

POLICY = RetryPolicy(max_attempts=8, deadline_seconds=60.0, attempt_seconds=20.0)


class Attempts:
    """Attempts that fail as they are told, then answer; remembers when each one came."""

    def __init__(self, *outcomes: StoreError | float) -> None:
        self._outcomes = list(outcomes)
        self.times: list[float] = []

    async def __call__(self) -> str:
        """Fail with the next outcome; a number means to take so many seconds first."""
        self.times.append(trio.current_time())
        outcome = self._outcomes.pop(0) if self._outcomes else 0.0
        if isinstance(outcome, StoreError):
            raise outcome
        await trio.sleep(outcome)
        return "answer"


def make_retry(
    policy: RetryPolicy = POLICY, jitter: Callable[[], float] = lambda: 1.0
) -> tuple[Retry, AdaptiveConcurrency]:
    """Return a retry that pauses as long as it may, and what it reports to."""
    concurrency = AdaptiveConcurrency(initial=16, maximum=64)
    return Retry(policy, concurrency, jitter), concurrency


async def test_an_answer_is_returned_at_once() -> None:
    """And counts as a success."""
    retry, concurrency = make_retry()
    concurrency.in_flight = 16
    assert "answer" == await retry.run(Attempts(), "GET", "key")
    assert (0, 17) == (retry.retry_count, concurrency.limit)


def test_the_limit_doubles_with_each_round_until_the_store_refuses_something() -> None:
    """Then it is halved, and grows by one with each round; never beyond the maximum."""
    concurrency = AdaptiveConcurrency(initial=16, maximum=64)
    concurrency.in_flight = 64
    for _ in range(16):
        concurrency.note_success()
    assert 32 == concurrency.limit
    for _ in range(100):
        concurrency.note_success()
    assert 64 == concurrency.limit
    concurrency.note_throttled()
    assert 32 == concurrency.limit
    for _ in range(32):
        concurrency.note_success()
    assert 32.9 < concurrency.limit <= 33


def test_a_limit_that_nobody_needs_does_not_rise() -> None:
    """The store has never been asked for so much: the first burst must not ask for all of it."""
    concurrency = AdaptiveConcurrency(initial=16, maximum=64)
    concurrency.in_flight = 7
    for _ in range(100):
        concurrency.note_success()
    assert 16 == concurrency.limit


async def test_pauses_double_up_to_the_longest(autojump_clock: MockClock) -> None:
    """From 50 ms to 5 s."""
    retry, _ = make_retry(RetryPolicy(max_attempts=10, deadline_seconds=60, attempt_seconds=20))
    attempts = Attempts(*[StoreUnavailableError("reset")] * 9)
    assert "answer" == await retry.run(attempts, "GET", "key")
    pauses = [b - a for a, b in zip(attempts.times, attempts.times[1:], strict=False)]
    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == pytest.approx(pauses)
    assert 9 == retry.retry_count


async def test_jitter_shortens_pauses_down_to_nothing(autojump_clock: MockClock) -> None:
    """Clients that failed together come back at different times."""
    retry, _ = make_retry(jitter=lambda: 0.0)
    attempts = Attempts(*[StoreUnavailableError("reset")] * 7)
    await retry.run(attempts, "GET", "key")
    assert {0.0} == {time - attempts.times[0] for time in attempts.times}


async def test_attempts_are_bounded(autojump_clock: MockClock) -> None:
    """The last failure is the one that is raised."""
    retry, _ = make_retry()
    failures = [StoreUnavailableError(str(number)) for number in range(8)]
    attempts = Attempts(*failures)
    with pytest.raises(StoreUnavailableError) as caught:
        await retry.run(attempts, "GET", "key")
    assert failures[-1] is caught.value
    assert 8 == len(attempts.times)


@pytest.mark.parametrize("error", [AccessDeniedError("no"), ObjectNotFoundError("none")])
async def test_what_will_not_change_is_not_repeated(error: StoreError) -> None:
    """An answer is an answer."""
    retry, _ = make_retry()
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await retry.run(attempts, "GET", "key")
    assert 1 == len(attempts.times)


async def test_a_hanging_attempt_is_cut_off_and_repeated(autojump_clock: MockClock) -> None:
    """On another connection it may well be answered."""
    retry, _ = make_retry()
    attempts = Attempts(float("inf"))
    assert "answer" == await retry.run(attempts, "GET", "key")
    assert [0.0, 20.05] == pytest.approx([time - attempts.times[0] for time in attempts.times])


async def test_the_deadline_holds_over_all_attempts(autojump_clock: MockClock) -> None:
    """A store that always hangs costs no more than the deadline."""
    retry, _ = make_retry()
    attempts = Attempts(*[float("inf")] * 8)
    started = trio.current_time()
    with pytest.raises(DeadlineError, match="GET 'key'"):
        await retry.run(attempts, "GET", "key")
    assert 60.0 == pytest.approx(trio.current_time() - started)
    assert 3 == len(attempts.times)


async def test_no_pause_is_begun_that_the_deadline_would_end(autojump_clock: MockClock) -> None:
    """The failure is reported at once instead."""
    policy = RetryPolicy(max_attempts=8, deadline_seconds=0.2, attempt_seconds=0.1)
    retry, _ = make_retry(policy)
    attempts = Attempts(*[StoreUnavailableError("reset")] * 8)
    with pytest.raises(StoreUnavailableError, match="reset"):
        await retry.run(attempts, "GET", "key")
    assert [0.0, 0.05, 0.15] == pytest.approx([t - attempts.times[0] for t in attempts.times])


async def test_throttling_is_reported_even_when_a_retry_succeeds(
    autojump_clock: MockClock,
) -> None:
    """That is why the retries are ours."""
    retry, concurrency = make_retry()
    await retry.run(Attempts(ThrottledError("slow down")), "GET", "key")
    assert 1 == concurrency.throttled_count
    assert concurrency.limit < 16


async def test_cancellation_goes_through(autojump_clock: MockClock) -> None:
    """Somebody else's deadline is not an attempt's: nothing is repeated."""
    retry, _ = make_retry()
    attempts = Attempts(float("inf"))
    with trio.move_on_after(5.0) as scope:
        await retry.run(attempts, "GET", "key")
    assert scope.cancelled_caught
    assert 1 == len(attempts.times)


async def test_a_large_answer_has_the_time_that_a_slow_link_needs(
    autojump_clock: MockClock,
) -> None:
    """25 parts of 8 MiB share 20 Mbit/s: each takes 84 s, and none is sent twice."""
    retry, concurrency = make_retry()
    concurrency.in_flight = 25
    attempts = Attempts(84.0)
    assert "answer" == await retry.run(attempts, "GET", "key", size_bytes=8 * 1024 * 1024)
    assert 1 == len(attempts.times)


async def test_a_time_out_lowers_the_limit(autojump_clock: MockClock) -> None:
    """A link that is too slow for so many requests gets fewer."""
    retry, concurrency = make_retry()
    await retry.run(Attempts(float("inf")), "GET", "key")
    assert (1, True) == (concurrency.throttled_count, concurrency.limit < 16)


async def test_a_store_that_is_being_started_again_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    """Nothing but the deadline ends it, whatever the size; the time of a transfer is for those."""
    policy = RetryPolicy(
        max_attempts=S3Config(bucket="b").max_attempts, deadline_seconds=60, attempt_seconds=20
    )
    retry, _ = make_retry(policy, jitter=lambda: 0.5)
    started = trio.current_time()
    attempts = Attempts(*[StoreUnavailableError("refused")] * 1000)
    with pytest.raises(StoreUnavailableError, match="refused"):
        await retry.run(attempts, "COMPLETE", "key", size_bytes=1 << 30, grace_seconds=120.0)
    assert 55 < trio.current_time() - started <= 60


async def test_pauses_are_bounded_however_many_there_were(autojump_clock: MockClock) -> None:
    """With ``--deadline 1d`` a store may be away for more attempts than double to a float."""
    policy = RetryPolicy(max_attempts=10_000, deadline_seconds=86_400, attempt_seconds=20)
    retry, _ = make_retry(policy, jitter=lambda: 0.5)
    attempts = Attempts(*[StoreUnavailableError("refused")] * 2000)
    assert "answer" == await retry.run(attempts, "PUT", "key")
    assert 2.5 == pytest.approx(attempts.times[-1] - attempts.times[-2])
