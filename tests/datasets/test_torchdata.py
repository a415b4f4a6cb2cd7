"""torchdata's loader, which asks datasets and samplers for their state, in workers too."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.datasets import BatchSampler, IterableDataset, MapDataset, ShuffleDataset
from tests.datasets.loading import (
    COUNTS,
    SAMPLES,
    as_is,
    flat,
    make_counted,
    make_files,
    make_files_dataset,
    make_shards,
    make_whole,
    number_of,
    numbers_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
]

MAKERS = [make_files_dataset, make_counted, make_whole]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return files, and shards, with the same numbers in them."""
    root = tmp_path_factory.mktemp("torchdata")
    make_files(root / "files", SAMPLES)
    make_shards(root / "shards", COUNTS)
    return root


def make_loaders() -> Any:
    """Return torchdata's loader, or skip."""
    return pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_loader_resumes_at_every_point(
    root: Path, make: Callable[..., IterableDataset], workers: int
) -> None:
    """Its own state, with the same number of workers: the same rest in the same order."""
    loader_of = functools.partial(
        make_loaders(), batch_size=None, collate_fn=as_is, num_workers=workers
    )
    whole = [*loader_of(make(root, shuffle=True))]
    for point in range(0, len(whole) + 1, 3):
        loader = loader_of(make(root, shuffle=True))
        iterator = iter(loader)
        head = [next(iterator) for _ in range(point)]
        state = loader.state_dict()
        resumed = loader_of(make(root, shuffle=True))
        resumed.load_state_dict(state)
        assert whole == [*head, *resumed]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("before", "after"), [(2, 3), (0, 2), (2, 0)])
def test_torchdatas_state_resumes_with_other_workers(
    root: Path, make: Callable[..., IterableDataset], before: int, after: int
) -> None:
    """The loader refuses another number of workers, the dataset takes its state."""
    loader_of = functools.partial(make_loaders(), batch_size=None, collate_fn=as_is)
    whole = [*loader_of(make(root, shuffle=True), num_workers=before)]
    for point in (1, len(whole) // 2, len(whole) - 1):
        loader = loader_of(make(root, shuffle=True), num_workers=before)
        iterator = iter(loader)
        head = [next(iterator) for _ in range(point)]
        state = loader.state_dict()
        resumed = make(root, shuffle=True)
        resumed.load_state_dict(state)
        rest = [*loader_of(resumed, num_workers=after)]
        assert [*range(SAMPLES)] == sorted(flat(head) + flat(rest))


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_loader_resumes_a_map_dataset(root: Path, workers: int) -> None:
    """The batch sampler's state is that of the batch that was delivered, not of the prefetched."""
    dataset = MapDataset(root / "files", transform=number_of)

    def loader_of() -> Any:
        sampler = BatchSampler(dataset, 3, shuffle=True, seed=1)
        return make_loaders()(dataset, batch_sampler=sampler, collate_fn=as_is, num_workers=workers)

    whole = [*loader_of()]
    for point in (0, 1, 4, len(whole)):
        loader = loader_of()
        iterator = iter(loader)
        head = [next(iterator) for _ in range(point)]
        resumed = loader_of()
        resumed.load_state_dict(loader.state_dict())
        if point < len(whole):
            assert whole == [*head, *resumed]


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_loader_resumes_a_shuffle_buffer(root: Path, workers: int) -> None:
    """Also where one worker is at its end and the other is not."""

    def loader_of() -> Any:
        dataset = IterableDataset(root / "shards", expand=numbers_in, shuffle=True)
        return make_loaders()(
            ShuffleDataset(dataset, 4), batch_size=3, collate_fn=as_is, num_workers=workers
        )

    whole = [*loader_of()]
    for point in range(0, len(whole), 2):
        loader = loader_of()
        iterator = iter(loader)
        head = [next(iterator) for _ in range(point)]
        resumed = loader_of()
        resumed.load_state_dict(loader.state_dict())
        assert whole == [*head, *resumed]
