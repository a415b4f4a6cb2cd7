"""Properties of the division of samples, for any number of samples, ranks and workers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.partition import (
    TAILS,
    Seat,
    Tail,
    batch_number,
    cut_by_bytes,
    cut_by_count,
    rest_of,
    steps_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

totals = st.integers(0, 120)
batch_sizes = st.integers(1, 9)
ranks_of = st.integers(1, 6)
workers_of = st.integers(1, 5)
tails = st.sampled_from(TAILS)


def is_possible(total: int, batch_size: int, ranks: int) -> bool:
    """Say whether every rank can get equally many batches, none empty, none too large."""
    rest = total % (ranks * batch_size)
    return rest == 0 or rest >= ranks or (batch_size > 1 and total > rest)


def cut(total: int, batch_size: int, ranks: int, tail: Tail) -> Sequence[int] | None:
    """Return a cut list; None where ``exact`` is refused, as it must be."""
    if tail == "exact" and not is_possible(total, batch_size, ranks):
        with pytest.raises(ValueError, match="exact"):
            cut_by_count(total, batch_size, ranks, tail)
        return None
    return cut_by_count(total, batch_size, ranks, tail)


def read_all(cuts: Sequence[int], ranks: int, workers: int, *, is_in_runs: bool) -> Iterator[int]:
    """Yield every position that any worker of any rank reads."""
    steps = (len(cuts) - 1) // ranks
    for rank in range(ranks):
        for worker in range(workers):
            seat = Seat(rank=rank, ranks=ranks, worker=worker, workers=workers)
            for step in range(steps_of(steps, worker, workers)):
                number = batch_number(step, seat, steps, is_in_runs=is_in_runs)
                yield from range(cuts[number], cuts[number + 1])


def check_cuts(cuts: Sequence[int], total: int, ranks: int, tail: Tail) -> None:
    """Check what holds for any cut list: equal steps, no empty batch, and what tail promises."""
    assert cuts[0] == 0
    assert (len(cuts) - 1) % ranks == 0
    assert all(start < stop for start, stop in pairwise(cuts))
    if tail == "exact":
        assert cuts[-1] == total
    elif tail == "pad":
        assert cuts[-1] >= total
    else:
        assert cuts[-1] <= total


@given(total=totals, batch_size=batch_sizes, ranks=ranks_of, tail=tails)
def test_every_rank_has_equally_many_batches_and_none_is_too_large(
    total: int, batch_size: int, ranks: int, tail: Tail
) -> None:
    """Steps are equal, batches are not empty, and pad and drop change less than one step."""
    cuts = cut(total, batch_size, ranks, tail)
    if cuts is None:
        return
    check_cuts(cuts, total, ranks, tail)
    assert all(stop - start <= batch_size for start, stop in pairwise(cuts))
    if tail == "pad":
        assert cuts[-1] - total < ranks
    if tail == "drop":
        assert total - cuts[-1] < ranks * batch_size


@given(
    total=totals, batch_size=batch_sizes, ranks=ranks_of, workers=workers_of, tail=tails,
    is_in_runs=st.booleans(),
)  # fmt: skip
def test_all_workers_of_all_ranks_together_read_each_position_once(
    total: int, batch_size: int, ranks: int, workers: int, tail: Tail, is_in_runs: bool
) -> None:
    """The union is exact and nobody reads twice, dealt or in runs."""
    cuts = cut(total, batch_size, ranks, tail)
    if cuts is not None:
        read = sorted(read_all(cuts, ranks, workers, is_in_runs=is_in_runs))
        assert [*range(cuts[-1])] == read


@given(
    sizes=st.lists(st.integers(0, 50), max_size=60), limit=st.integers(1, 120), ranks=ranks_of,
    tail=tails,
)  # fmt: skip
def test_batches_limited_by_bytes_are_equally_many_and_within_the_limit(
    sizes: list[int], limit: int, ranks: int, tail: Tail
) -> None:
    """Only a sample that is larger by itself exceeds the limit, and only alone."""
    if tail == "exact":
        try:
            cuts = cut_by_bytes(sizes, limit, ranks, tail)
        except ValueError:
            assert len(sizes) % ranks != 0  # one sample a batch would have been possible
            return
    else:
        cuts = cut_by_bytes(sizes, limit, ranks, tail)
    check_cuts(cuts, len(sizes), ranks, tail)
    for start, stop in pairwise(cuts):
        batch = [sizes[p % len(sizes)] for p in range(start, stop)]
        assert sum(batch) <= limit or len(batch) == 1


@given(
    data=st.data(), total=totals, batch_size=batch_sizes, ranks=ranks_of, workers=workers_of,
    tail=tails, is_in_runs=st.booleans(),
)  # fmt: skip
def test_the_rest_is_what_nobody_has_read(
    data: st.DataObject, total: int, batch_size: int, ranks: int, workers: int, tail: Tail,
    is_in_runs: bool,
) -> None:  # fmt: skip
    """However far each worker came, what was read and what is left are the whole."""
    cuts = cut(total, batch_size, ranks, tail)
    if cuts is None:
        return
    steps = (len(cuts) - 1) // ranks
    done = [
        data.draw(st.integers(0, steps_of(steps, worker, workers))) for worker in range(workers)
    ]
    read: set[int] = set()
    for rank in range(ranks):
        for worker in range(workers):
            seat = Seat(rank=rank, ranks=ranks, worker=worker, workers=workers)
            for step in range(done[worker]):
                number = batch_number(step, seat, steps, is_in_runs=is_in_runs)
                read.update(p for p in range(cuts[number], cuts[number + 1]) if p < total)
    ranges = rest_of(cuts, total, ranks, done, is_in_runs=is_in_runs)
    left = [position for start, stop in ranges for position in range(start, stop)]
    assert sorted({*range(total)} - read) == left


@given(total=totals, batch_size=batch_sizes, ranks=ranks_of, workers=workers_of)
def test_workers_in_turns_see_the_positions_in_order_whatever_their_number(
    total: int, batch_size: int, ranks: int, workers: int
) -> None:
    """Dealt batches, taken from one worker after the other on all ranks, are the order itself."""
    cuts = cut_by_count(total, batch_size, ranks, "drop")
    steps = (len(cuts) - 1) // ranks
    seen: list[int] = []
    for step in range(steps):
        for rank in range(ranks):
            seat = Seat(rank=rank, ranks=ranks, worker=step % workers, workers=workers)
            number = batch_number(step // workers, seat, steps, is_in_runs=False)
            seen.extend(range(cuts[number], cuts[number + 1]))
    assert [*range(cuts[-1])] == seen
