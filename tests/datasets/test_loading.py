"""Data loaders over both kinds of dataset: any number of workers, started in any way."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from torch.utils.data import DataLoader

from mountfs.datasets import BatchSampler, IterableDataset, MapDataset, ShuffleDataset
from tests.datasets.conftest import MOUNT
from tests.datasets.loading import (
    as_is,
    count_in,
    flat,
    load,
    make_files,
    make_shards,
    number_of,
    numbers_in,
)

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = (7, 0, 12, 1, 5)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

QUICK = {
    ("directory", 0, None, False), ("directory", 4, "fork", False),
    ("directory", 1, "spawn", True), ("mount", 4, "fork", True),
}  # fmt: skip
"""One of each; the others take seconds each, most of them for starting Python."""

CORNERS = [
    pytest.param(
        kind,
        *corner,
        marks=[
            *([pytest.mark.soak] if (kind, *corner) not in QUICK else []),
            *(MOUNT if kind == "mount" else []),
        ],
    )
    for kind in ("directory", "mount")
    for corner in [
        (0, None, False),
        *itertools.product((1, 4), ("fork", "spawn", "forkserver"), (False, True)),
    ]
]


def make_datasets(root: Path) -> dict[str, tuple[Any, int]]:
    """Return one of each kind, and how many samples it has."""
    make_files(root / "files", 23)
    samples = make_shards(root / "shards", COUNTS)
    shards = functools.partial(IterableDataset, root / "shards", expand=numbers_in, shuffle=True)
    return {
        "map": (MapDataset(root / "files", transform=number_of, threads=3), 23),
        "files": (
            IterableDataset(
                root / "files", transform=number_of, shuffle=True, batch_size=4, threads=3
            ),
            23,
        ),
        "counted shards": (shards(counts=count_in, batch_size=4), samples),
        "whole shards": (shards(batch_size=4), samples),
        "mixed shards": (ShuffleDataset(shards(), 6), samples),
    }


@pytest.mark.timeout(900)  # sixty starts of Python with torch in the slowest corner
@pytest.mark.parametrize(
    ("place", "workers", "method", "is_persistent"), CORNERS, indirect=["place"]
)
def test_every_sample_comes_once_in_each_epoch(
    place: Path, workers: int, method: str | None, is_persistent: bool
) -> None:
    """The right content in two epochs, each in another order, the same order in each run."""
    for kind, (dataset, samples) in make_datasets(place).items():
        if method == "spawn" and kind != "files" and workers == 1 and is_persistent:
            continue  # five seconds each
        options: dict[str, Any] = {
            "num_workers": workers,
            "multiprocessing_context": method,
            "persistent_workers": is_persistent,
        }
        sampler = None
        if kind == "map":
            sampler = BatchSampler(dataset, 4, shuffle=True, seed=3)
            options["batch_sampler"] = sampler
        elif kind == "mixed shards":
            options["batch_size"] = 4
        loader = load(dataset, **options)
        orders = []
        for epoch in (0, 1, 0):
            (sampler or dataset).set_epoch(epoch)
            orders.append(flat(loader))
            assert [*range(samples)] == sorted(orders[-1]), kind
        assert orders[0] != orders[1], kind
        assert orders[0] == orders[2], kind


def test_the_order_of_files_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    """Shuffled or not, and however much is fetched ahead."""
    make_files(tmp_path, 23)
    for shuffle in (False, True):
        orders = []
        for workers, threads, prefetch in ((0, 1, None), (1, 5, 4), (3, 2, 1)):
            dataset = IterableDataset(
                tmp_path, transform=number_of, shuffle=shuffle, batch_size=4, threads=threads
            )
            loader = load(dataset, num_workers=workers, prefetch_factor=prefetch)
            orders.append([*loader])
        assert orders[0] == orders[1] == orders[2]
        assert [*range(23)] == sorted(flat(orders[0]))
        assert (flat(orders[0]) == [*range(23)]) != shuffle


def test_a_loader_that_batches_itself_gets_samples(tmp_path: Path) -> None:
    """Both kinds with the loader's own batch_size, collation and sampler."""
    make_files(tmp_path, 10)
    for dataset in (
        MapDataset.from_prefix(f"{tmp_path}/", transform=number_of),
        IterableDataset.from_prefix(f"{tmp_path}/", transform=number_of),
    ):
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=3, num_workers=0)
        assert [3, 3, 3, 1] == [len(batch) for batch in loader]
        assert [*range(10)] == sorted(int(n) for batch in loader for n in batch)


def test_items_without_transform_reach_the_training_process(place: Path) -> None:
    """Nobody read them before; they are opened where they are read."""
    paths = make_files(place, 6)
    for dataset in (MapDataset(place), IterableDataset(place)):
        loader = load(dataset, num_workers=2)
        items = [*loader]
        assert paths == sorted(item.path for item in items)
        assert [*range(6)] == sorted(number_of(item) for item in items)


def test_len_is_what_a_loader_yields(place: Path) -> None:
    """Batches of one rank, whatever the workers; unknown where nobody counts."""
    make_files(place / "files", 11)
    make_shards(place / "shards", COUNTS)
    for dataset, steps in (
        (IterableDataset(place / "files", batch_size=4), 3),
        (IterableDataset(place / "files", batch_size=4, tail="drop"), 2),
        (
            IterableDataset(place / "shards", expand=numbers_in, counts=[*COUNTS], batch_size=6),
            5,
        ),
    ):
        for workers in (0, 3):
            loader = DataLoader(dataset, batch_size=None, collate_fn=as_is, num_workers=workers)
            assert steps == len(loader) == len([*loader])
    unknown = IterableDataset(place / "shards", expand=numbers_in, batch_size=6)
    with pytest.raises(TypeError, match="counts"):
        len(unknown)
