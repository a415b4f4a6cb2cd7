"""The batch sampler: for each rank its batches, equally many, resumable at every point."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mountfs.datasets import BatchSampler
from mountfs.datasets.partition import TAILS, Tail
from tests.datasets.loading import flat


class as_rank:  # reads like a statement
    """What torchrun tells a process, for a while."""

    def __init__(self, rank: int, ranks: int) -> None:
        self._values = {"RANK": str(rank), "WORLD_SIZE": str(ranks)}

    def __enter__(self) -> None:
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        for name in self._values:
            del os.environ[name]


def epoch_of(make: Any, ranks: int, epoch: int = 0) -> list[list[list[int]]]:
    """Return the batches of every rank."""
    batches = []
    for rank in range(ranks):
        with as_rank(rank, ranks):
            sampler = make()
            sampler.set_epoch(epoch)
            batches.append([*sampler])
            assert len(sampler) == len(batches[-1])
    return batches


def in_order(batches: list[list[list[int]]]) -> list[int]:
    """Return the samples of all ranks, step by step."""
    return flat(batch for step in zip(*batches, strict=True) for batch in step)


@given(
    total=st.integers(0, 60), batch_size=st.integers(2, 7), ranks=st.integers(1, 4),
    tail=st.sampled_from(TAILS), seed=st.integers(0, 3), epoch=st.integers(0, 3),
)  # fmt: skip
def test_all_ranks_together_have_the_order_of_the_epoch(
    total: int, batch_size: int, ranks: int, tail: Tail, seed: int, epoch: int
) -> None:
    """The order is that of one rank alone with one large batch, and depends on seed and epoch."""
    if tail == "exact" and 0 < total < ranks:
        return  # refused; see test_partition
    whole = epoch_of(
        lambda: BatchSampler(total, max(total, 1), shuffle=True, seed=seed), 1, epoch
    )  # fmt: skip
    order = in_order(whole)
    assert [*range(total)] == sorted(order)
    many = epoch_of(
        lambda: BatchSampler(total, batch_size, shuffle=True, seed=seed, tail=tail), ranks, epoch
    )
    seen = in_order(many)
    if tail == "pad":
        assert [order[p % total] for p in range(len(seen))] == seen
        assert 0 <= len(seen) - total < ranks
    elif tail == "drop":
        assert order[: len(seen)] == seen
        assert 0 <= total - len(seen) < ranks * batch_size
    else:
        assert order == seen


def test_another_epoch_or_seed_is_another_order() -> None:
    """And the same again is the same again."""
    orders = {
        (seed, epoch): tuple(
            in_order(epoch_of(lambda: BatchSampler(50, 8, shuffle=True, seed=seed), 1, epoch))  # noqa: B023
        )
        for seed in range(3)
        for epoch in range(3)
    }
    assert 9 == len({*orders.values()})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(), total=st.integers(8, 40), batch_size=st.integers(2, 6),
    ranks=st.integers(1, 3), tail=st.sampled_from(TAILS),
)  # fmt: skip
def test_the_rest_of_an_epoch_is_the_same_at_every_point(
    data: st.DataObject, total: int, batch_size: int, ranks: int, tail: Tail
) -> None:
    """A new sampler with the state goes on exactly where the old one stopped, on every rank."""

    def make() -> BatchSampler:
        return BatchSampler(total, batch_size, shuffle=True, seed=7, tail=tail)

    whole = epoch_of(make, ranks, 2)
    point = data.draw(st.integers(0, len(whole[0])))
    is_told = data.draw(st.booleans())  # by the training loop, since workers are ahead of it
    for rank in range(ranks):
        with as_rank(rank, ranks):
            sampler = make()
            sampler.set_epoch(2)
            iterator = iter(sampler)
            for _ in range(len(whole[0]) if is_told else point):
                next(iterator)
            state = sampler.state_dict(point) if is_told else sampler.state_dict()
            resumed = make()
            resumed.load_state_dict(state)
            resumed.set_epoch(2)
            if not state["is_finished"]:
                assert len(whole[rank]) - point == len(resumed)
                assert whole[rank][point:] == [*resumed]
            assert whole[rank] == [*resumed]  # after that the epoch is whole again


@given(data=st.data(), total=st.integers(30, 60), batch_size=st.integers(2, 5))
def test_the_rest_fits_other_ranks_and_batch_sizes(
    data: st.DataObject, total: int, batch_size: int
) -> None:
    """Samples that were consumed by 2 ranks do not come again to 3, and all others come."""

    def make(batch_size: int = batch_size) -> BatchSampler:
        return BatchSampler(total, batch_size, shuffle=True)

    whole = epoch_of(make, 2)
    point = data.draw(st.integers(0, len(whole[0]) - 2))
    with as_rank(1, 2):
        sampler = make()
        state = sampler.state_dict(point)
    consumed = in_order([batches[:point] for batches in whole])
    assert len(consumed) == state["samples"]
    rest: list[list[list[int]]] = []
    for rank in range(3):
        with as_rank(rank, 3):
            resumed = make(batch_size + 1)
            try:
                resumed.load_state_dict(state)
                rest.append([*resumed])
            except ValueError:
                assert total - len(consumed) < 3
                return
    assert in_order(whole) == consumed + in_order(rest)


def test_batches_limited_by_bytes_have_a_right_len_and_hold_every_sample() -> None:
    """On two ranks, shuffled; no batch is above the limit."""
    sizes = [(7 * n) % 50 + 1 for n in range(41)]

    def make() -> BatchSampler:
        return BatchSampler(41, max_bytes=100, sizes_bytes=sizes, shuffle=True)

    batches = epoch_of(make, 2)
    assert [*range(41)] == sorted(in_order(batches))
    assert all(sum(sizes[index] for index in batch) <= 100 for one in batches for batch in one)


def test_a_state_of_other_samples_is_refused() -> None:
    """The message says both numbers."""
    state = BatchSampler(10, 2).state_dict()
    with pytest.raises(ValueError, match=r"10 samples.*11"):
        BatchSampler(11, 2).load_state_dict(state)


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 2, "max_bytes": 3}, {"max_bytes": 3}, {"batch_size": 0},
     {"batch_size": 2, "tail": "some"}],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    """At construction, not at the first batch."""
    with pytest.raises(ValueError, match=r"batch|tail|bytes"):
        BatchSampler(10, **options)
