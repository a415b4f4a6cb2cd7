"""An epoch that was interrupted goes on: at any point, with any number of workers and ranks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets import (
    IterableDataset,
    ShuffleDataset,
    ZippedDataset,
)
from mountfs.datasets.partition import TAILS, Seat, Tail, steps_of
from mountfs.datasets.stream_plan import CountedPlan, Division, Segment, ranges_left
from tests.datasets.loading import (
    COUNTS,
    SAMPLES,
    flat,
    load,
    make_counted,
    make_files,
    make_files_dataset,
    make_shards,
    make_whole,
    numbers_in,
)
from tests.datasets.test_sampler import as_rank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return files, and shards, with the same numbers in them."""
    root = tmp_path_factory.mktemp("resume")
    make_files(root / "files", SAMPLES)
    make_shards(root / "shards", COUNTS)
    return root


MAKERS = [make_files_dataset, make_counted, make_whole]


def copy_of(state: Any) -> Any:
    """Return the state as it comes back from a file."""
    return json.loads(json.dumps(state))


@given(
    data=st.data(), total=st.integers(20, 70), tail=st.sampled_from(TAILS),
    is_in_runs=st.booleans(),
)  # fmt: skip
def test_what_an_epoch_left_over_is_divided_again_and_again(
    data: st.DataObject, total: int, tail: Tail, is_in_runs: bool
) -> None:
    """Over three interruptions with other ranks, workers and batches, nothing comes twice."""
    history: list[Segment] = []
    read: list[int] = []
    for is_last in (False, False, True):
        division = Division(
            ranks=data.draw(st.integers(1, 3)), workers=data.draw(st.integers(1, 4)),
            batch_size=data.draw(st.integers(2, 5)), tail="pad" if is_last else tail,
            is_counted=True, is_in_runs=is_in_runs,
        )  # fmt: skip
        try:
            plan = CountedPlan(ranges_left([(0, total)], history), division)
        except ValueError:
            return  # too little is left for so many ranks, and that is said
        workers = range(division.workers)
        point = data.draw(st.integers(0, plan.steps)) if not is_last else plan.steps
        done = tuple(steps_of(point, worker, division.workers) for worker in workers)
        for rank in range(division.ranks):
            for worker in workers:
                seat = Seat(rank=rank, ranks=division.ranks, worker=worker, workers=len(workers))
                batches = [*plan.batches(seat, 0)][: done[worker]]
                read += [p for one in batches for start, stop in one for p in range(start, stop)]
        history.append(Segment(division=division, done=done))
    repeated = len(read) - total
    assert [*range(total)] == sorted({*read})
    assert repeated <= 3 * 3 * (tail == "pad") + 3


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_one_process_resumes_at_every_point(
    root: Path, make: Callable[..., IterableDataset], shuffle: bool
) -> None:
    """The rest is the same, in the same order, and the next epoch is whole."""
    dataset = make(root, shuffle=shuffle, seed=5)
    dataset.set_epoch(3)
    whole = [*dataset]
    for point in range(len(whole) + 1):
        iterator = iter(dataset)
        head = [next(iterator) for _ in range(point)]
        state = copy_of(dataset.state_dict())
        resumed = make(root, shuffle=shuffle)
        resumed.load_state_dict(state)
        if not state["is_finished"]:
            assert state == copy_of(resumed.state_dict())
        resumed.set_epoch(3)
        assert whole == [*head, *resumed]
        assert whole == [*resumed]


@pytest.mark.parametrize("make", [make_files_dataset, make_counted])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3), (3, 0), (0, 2)])
def test_a_plain_loader_resumes_with_other_workers(
    root: Path, make: Callable[..., IterableDataset], before: int, after: int
) -> None:
    """The loop says how many batches it had, which prefetching cannot know."""
    dataset = make(root, shuffle=True)
    loader = load(dataset, num_workers=before)
    whole = [*loader]
    for point in (0, 1, len(whole) // 2, len(whole) - 1):
        state = copy_of(dataset.state_dict(steps=point))
        resumed = make(root, shuffle=True)
        resumed.load_state_dict(state)
        rest = [*load(resumed, num_workers=after)]
        assert [*range(SAMPLES)] == sorted(flat(whole[:point]) + flat(rest))
        if before == after or make is make_files_dataset:
            assert flat(whole[point:]) == flat(rest)


@pytest.mark.parametrize("make", [make_files_dataset, make_counted])
def test_other_ranks_resume_what_two_ranks_began(
    root: Path, make: Callable[..., IterableDataset]
) -> None:
    """Three ranks read what two left over, once, in equally many steps."""
    wholes, states = [], []
    for rank in range(2):
        with as_rank(rank, 2):
            dataset = make(root, shuffle=True)
            iterator = iter(dataset)
            wholes.append([next(iterator) for _ in range(2)])
            states.append(copy_of(dataset.state_dict()))
    assert states[0] == states[1]
    rests = []
    for rank in range(3):
        with as_rank(rank, 3):
            dataset = make(root, shuffle=True)
            dataset.load_state_dict(states[0])
            rests.append([*dataset])
    assert 1 == len({len(rest) for rest in rests})
    assert [*range(SAMPLES)] == sorted(
        flat(batch for one in wholes for batch in one)
        + flat(batch for one in rests for batch in one)
    )


def test_persistent_workers_resume_once_and_then_have_whole_epochs(root: Path) -> None:
    """The same epoch again is whole, without anybody having to say so."""
    dataset = make_files_dataset(root)
    whole = [*load(dataset, num_workers=2)]
    dataset.load_state_dict(dataset.state_dict(steps=2))
    for is_persistent in (True, False):
        dataset.load_state_dict(make_state(root, 2))
        loader = load(dataset, num_workers=2, persistent_workers=is_persistent)
        assert whole[2:] == [*loader]
        assert whole == [*loader]


def make_state(root: Path, steps: int) -> dict[str, Any]:
    """Return the state after some steps with two workers."""
    dataset = make_files_dataset(root)
    list(load(dataset, num_workers=2))
    return dataset.state_dict(steps=steps)


def test_a_state_that_comes_too_late_for_workers_is_refused(root: Path) -> None:
    """Persistent workers cannot learn of it, and say so instead of repeating samples."""
    dataset = make_files_dataset(root)
    loader = load(dataset, num_workers=1, persistent_workers=True)
    list(loader)
    dataset.load_state_dict(dataset.state_dict(steps=1))
    with pytest.raises(RuntimeError, match="make a new DataLoader"):
        list(loader)


def test_a_loop_with_workers_must_say_how_far_it_is(root: Path) -> None:
    """The dataset in the training process knows nothing of what workers prefetch."""
    dataset = make_files_dataset(root)
    list(load(dataset, num_workers=1))
    with pytest.raises(ValueError, match="steps="):
        dataset.state_dict()


def test_a_state_of_other_files_is_refused(root: Path, tmp_path: Path) -> None:
    """Positions would mean other samples."""
    dataset = make_files_dataset(root, shuffle=True)
    list(dataset)
    make_files(tmp_path / "files", 3)
    other = make_files_dataset(tmp_path, shuffle=True)
    list(other)
    with pytest.raises(ValueError, match="not of 3"):
        other.load_state_dict(dataset.state_dict())
    with pytest.raises(ValueError, match="not one of"):
        other.load_state_dict({"epoch": 1})


def test_a_shuffle_buffer_resumes_at_every_point(root: Path) -> None:
    """The rest is the same, since what came before is drawn again."""

    def make() -> ShuffleDataset:
        return ShuffleDataset(
            IterableDataset(root / "shards", expand=numbers_in, shuffle=True), 6, seed=2
        )

    dataset = make()
    dataset.set_epoch(1)
    whole = [*dataset]
    assert [*range(SAMPLES)] == sorted(whole)
    for point in range(SAMPLES + 1):
        iterator = iter(dataset)
        head = [next(iterator) for _ in range(point)]
        resumed = make()
        resumed.load_state_dict(copy_of(dataset.state_dict()))
        assert whole == [*head, *resumed]


def test_a_shuffle_buffer_of_another_reader_is_refused(root: Path) -> None:
    """Its samples would come again, or never."""
    dataset = ShuffleDataset(IterableDataset(root / "shards", expand=numbers_in), 4)
    with as_rank(0, 2):
        state = dataset.state_dict()
    dataset.load_state_dict({**state, "yielded": 3})
    with pytest.raises(ValueError, match="cannot go on as"):
        list(dataset)


def test_streams_side_by_side_resume_together(root: Path) -> None:
    """Tuples stay tuples of the same samples."""

    def make() -> ZippedDataset:
        return ZippedDataset(make_counted(root), make_counted(root, seed=1))

    whole = [*make()]
    assert all(left == right for left, right in whole)
    dataset = make()
    iterator = iter(dataset)
    head = [next(iterator) for _ in range(4)]
    resumed = make()
    resumed.load_state_dict(copy_of(dataset.state_dict()))
    assert whole == [*head, *resumed]
    assert len(whole) == len(dataset)


def test_streams_of_different_length_are_an_error(root: Path) -> None:
    """Nothing is left out in silence."""
    uneven = ZippedDataset(make_counted(root), IterableDataset(root / "files", batch_size=4))
    with pytest.raises(ValueError, match="shorter"):
        list(uneven)
