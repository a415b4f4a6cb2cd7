"""Streams: exact over ranks and workers, lazy, bounded, and clear about what cannot be read."""

from __future__ import annotations

import io
import itertools
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
import torch.utils.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mountfs.datasets import Entry, Item, IterableDataset, Source
from mountfs.datasets.partition import TAILS, Tail
from tests.datasets.loading import count_in, flat, make_files, make_shards, number_of, numbers_in
from tests.datasets.test_sampler import as_rank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class as_worker:  # reads like a statement
    """What a data loader tells its worker, for a while."""

    def __init__(self, worker: int, workers: int) -> None:
        self._info = torch.utils.data._utils.worker.WorkerInfo(
            id=worker,
            num_workers=workers,
            seed=0,
            dataset=IterableDataset([]),
        )

    def __enter__(self) -> None:
        torch.utils.data._utils.worker._worker_info = self._info

    def __exit__(self, *_: object) -> None:
        torch.utils.data._utils.worker._worker_info = None


class InMemory:
    """A shard of numbers that needs no disk."""

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count

    def item(self) -> Item:
        """Return the shard as a file."""
        content = struct.pack(f"<{self.count}I", *range(self.first, self.first + self.count))
        return Item(
            lambda: io.BytesIO(content), path=f"shard-{self.first}", size_bytes=len(content)
        )


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=8), ranks=st.integers(1, 3),
    workers=st.integers(1, 3), batch_size=st.integers(2, 5), tail=st.sampled_from(TAILS),
    shuffle=st.booleans(), epoch=st.integers(0, 2),
)  # fmt: skip
def test_uneven_shards_are_read_once_in_equally_many_steps(
    counts: list[int], ranks: int, workers: int, batch_size: int, tail: Tail, shuffle: bool,
    epoch: int,
) -> None:  # fmt: skip
    """Over all ranks and workers, whatever the shards hold."""
    firsts = [0, *itertools.accumulate(counts)]
    total = firsts.pop()
    shards = [InMemory(first, count) for first, count in zip(firsts, counts, strict=True)]
    steps, read = [], []
    for rank in range(ranks):
        batches: list[list[int]] = []
        for worker in range(workers):
            with as_rank(rank, ranks), as_worker(worker, workers):
                dataset = IterableDataset(
                    shards, expand=numbers_in, batch_size=batch_size, tail=tail, shuffle=shuffle,
                    counts=count_in if ranks > 1 else None,
                )  # fmt: skip
                dataset.set_epoch(epoch)
                try:
                    batches += dataset
                except ValueError:
                    assert tail == "exact"
                    assert total < ranks
                    return
        steps.append(len(batches))
        read += flat(batches)
    assert 1 == len({*steps})
    if tail == "exact":
        assert [*range(total)] == sorted(read)
    elif tail == "pad":
        assert {*range(total)} == {*read}
        assert len(read) - total < ranks
    else:
        assert len(read) == len({*read})
        if ranks > 1:
            assert total - len(read) < ranks * batch_size


def read_some(
    make: Any, ranks: int, workers: int, steps: int | None
) -> tuple[list[int], list[dict[str, Any]]]:
    """Read on all ranks as data loaders do, in turns; return the samples and workers' states.

    Raises:
        ValueError: ``exact`` is not possible for so many ranks.
    """
    read: list[int] = []
    states: list[dict[str, Any]] = []
    counts = set()
    for rank in range(ranks):
        with as_rank(rank, ranks):
            datasets = [make() for _ in range(workers)]
        iterators = [iter(dataset) for dataset in datasets]
        active = [*range(workers)]
        done = turn = 0
        while active and (steps is None or done < steps):
            worker, turn = turn % workers, turn + 1
            if worker not in active:
                continue
            with as_rank(rank, ranks), as_worker(worker, workers):
                try:
                    read += next(iterators[worker])
                    done += 1
                except StopIteration:
                    active.remove(worker)
        counts.add(done)
        states = []
        for worker, dataset in enumerate(datasets):
            with as_rank(rank, ranks), as_worker(worker, workers):
                states.append(dataset.state_dict())
    assert 1 == len(counts)
    return read, states


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(), counts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    kind=st.sampled_from(["files", "counted", "whole"]),
)  # fmt: skip
def test_an_epoch_survives_changes_of_ranks_workers_and_batches(
    data: st.DataObject, counts: list[int], kind: str
) -> None:
    """Interrupted up to three times, with a state that went through JSON: each sample once."""
    firsts = [0, *itertools.accumulate(counts)]
    total = firsts.pop()
    shards = [InMemory(first, count) for first, count in zip(firsts, counts, strict=True)]
    files = [InMemory(number, 1) for number in range(total)]
    state: Any = None
    read: list[int] = []
    for is_last in (False, False, False, True):
        batch_size = data.draw(st.integers(2, 5))

        def make(batch_size: int = batch_size, state: Any = state) -> IterableDataset:
            options: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": 1}
            if kind == "files":
                dataset = IterableDataset(files, transform=number_of, threads=2, **options)
            else:
                count = count_in if kind == "counted" else None
                dataset = IterableDataset(shards, expand=numbers_in, counts=count, **options)
            if state is not None:
                dataset.load_state_dict(json.loads(json.dumps(state)))
            return dataset

        ranks = 1 if kind == "whole" else data.draw(st.integers(1, 3))
        workers = data.draw(st.integers(1, 3))
        steps = None if is_last else data.draw(st.integers(0, 5))
        try:
            more, state = read_some(make, ranks, workers, steps)
        except ValueError as error:
            assert "exact" in str(error)  # noqa: PT017  # only sometimes an error
            return
        read += more
        if all(one["is_finished"] for one in state):
            break
    assert [*range(total)] == sorted(read)


class Counting:
    """A piece of a source that knows how far it was read."""

    def __init__(self) -> None:
        self.listed = 0

    def entries(self) -> Iterator[Entry]:
        """Yield without end."""
        for number in itertools.count():
            self.listed += 1
            yield Entry(f"/nowhere/{number}")


def test_files_come_while_they_are_listed() -> None:
    """On one rank without shuffling, no more is listed than what the batches need."""
    piece = Counting()
    dataset = IterableDataset(Source((piece,)), batch_size=4)
    batches = [batch for batch, _ in zip(dataset, range(3), strict=False)]
    assert ["/nowhere/8", "/nowhere/9"] == [item.path for item in batches[2][:2]]
    assert piece.listed <= 16


def test_a_shard_that_is_cut_within_its_samples_is_opened_by_its_readers_only(
    place: Path,
) -> None:
    """Runs of neighbouring samples: at most one shard more than there are workers, twice."""
    make_shards(place, [8] * 6)
    opened: list[str] = []

    def expand(item: Item) -> Iterator[int]:
        opened.append(item.path)
        yield from numbers_in(item)

    for worker in range(4):
        with as_worker(worker, 4):
            list(IterableDataset(place, expand=expand, counts=[8] * 6, batch_size=3))
    assert len(opened) <= 6 + 4 - 1


def test_labels_of_a_manifest_arrive_with_the_items(place: Path) -> None:
    """As ``item.label``."""
    make_files(place / "data", 3)
    (place / "manifest").write_text("0002 cat\n0000 dog\n")
    dataset = IterableDataset.from_manifest(
        place / "manifest",
        root=place / "data",
        transform=lambda item: (number_of(item), item.label),
    )
    assert [(2, "cat"), (0, "dog")] == [*dataset]


def test_files_that_cannot_be_read_are_left_out_and_counted(place: Path) -> None:
    """A batch is shorter then; one of which nothing is left is an error."""
    paths = make_files(place, 6)
    (place / "0001").unlink()
    dataset = IterableDataset.from_objects(
        paths, transform=number_of, batch_size=2, on_error="skip"
    )
    assert [[0], [2, 3], [4, 5]] == [*dataset]
    assert 1 == dataset.unreadable
    (place / "0000").unlink()
    with pytest.raises(OSError, match="no sample of a batch"):
        list(dataset)


def test_an_empty_source_is_an_empty_epoch(tmp_path: Path) -> None:
    """Of either kind, on any number of ranks."""
    for ranks in (1, 2):
        with as_rank(0, ranks):
            assert [] == [*IterableDataset(tmp_path, batch_size=2)]
            assert [] == [*IterableDataset(tmp_path, expand=numbers_in, shuffle=True)]


def test_one_sample_for_two_ranks_is_refused_unless_it_may_be_repeated_or_left_out(
    tmp_path: Path,
) -> None:
    """The message says what can be done."""
    make_files(tmp_path, 1)
    with as_rank(1, 2):
        with pytest.raises(ValueError, match="tail='pad' or tail='drop'"):
            list(IterableDataset(tmp_path, batch_size=2))
        assert 1 == len([*IterableDataset(tmp_path, batch_size=2, tail="pad")])
        assert 0 == len([*IterableDataset(tmp_path, batch_size=2, tail="drop")])
