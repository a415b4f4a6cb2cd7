"""Archives as sources of datasets: streamed by workers, or member by member through an index."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.datasets import (
    BatchSampler,
    Item,
    IterableDataset,
    MapDataset,
    TarIndex,
    count_members,
    members,
)
from tests.datasets.loading import flat, load

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = (5, 1, 9)


def named_bytes(item: Item) -> tuple[str, bytes]:
    """Return name and content, as two of the connectors yield them."""
    return item.name, item.read()


@pytest.fixture
def expected(place: Path) -> list[tuple[str, bytes]]:
    """Make two tar files and a zip file; return all their members in order."""
    numbers = iter(range(sum(COUNTS)))
    expected = []
    for shard, count in enumerate(COUNTS):
        pairs = [
            (f"{n:03}.txt", f"content {n}".encode() * n)
            for n in (next(numbers) for _ in range(count))
        ]
        expected += pairs
        if shard == 2:
            with zipfile.ZipFile(place / f"{shard}.zip", "w") as archive:
                for name, content in pairs:
                    archive.writestr(name, content)
            continue
        with tarfile.open(place / f"{shard}.tar", "w") as tar:
            for name, content in pairs:
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    return expected


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("counts", [None, count_members])
def test_members_come_once_with_their_content(
    place: Path, expected: list[tuple[str, bytes]], workers: int, counts: Any
) -> None:
    """Whole shards for each worker, or runs of members; with a transform in the worker."""
    dataset = IterableDataset(
        place, expand=members, counts=counts, transform=named_bytes, batch_size=4
    )
    found = flat(load(dataset, num_workers=workers))
    assert expected == (sorted(found) if workers else found)


def test_the_rest_of_an_archive_is_read_after_an_interruption(
    place: Path, expected: list[tuple[str, bytes]]
) -> None:
    """In the middle of a tar file."""
    make = IterableDataset
    dataset = make(place, expand=members, transform=named_bytes, batch_size=2)
    iterator = iter(dataset)
    head = [next(iterator) for _ in range(2)]
    resumed = make(place, expand=members, transform=named_bytes, batch_size=2)
    resumed.load_state_dict(dataset.state_dict())
    assert expected == flat(head) + flat(resumed)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_index_makes_a_tar_file_a_map_dataset(
    place: Path, expected: list[tuple[str, bytes]], workers: int
) -> None:
    """Shuffled over the whole archive, read by several threads."""
    dataset = MapDataset(TarIndex.build(place / "0.tar"), transform=named_bytes)
    sampler = BatchSampler(dataset, 3, shuffle=True, seed=1)
    found = flat(load(dataset, batch_sampler=sampler, num_workers=workers))
    assert expected[: COUNTS[0]] == sorted(found)
    assert found != sorted(found)
    assert [len(content) for _, content in expected[: COUNTS[0]]] == [*dataset.sizes()]
