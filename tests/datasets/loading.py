"""Small trees of files and shards, and what workers do with them. Importable: it is pickled."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils.data import DataLoader

from mountfs.datasets import IterableDataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mountfs.datasets import Item


T = TypeVar("T")

COUNTS = (7, 0, 12, 1, 5)
"""Samples of the shards: uneven, one empty."""

SAMPLES = sum(COUNTS)


def make_files(root: Path, count: int) -> list[str]:
    """Make files whose content is their number; return their paths in key order."""
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{number:04}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(struct.pack("<I", number))
    return [str(path) for path in paths]


def make_shards(root: Path, counts: Iterable[int]) -> int:
    """Make shards of numbers that count up through all of them; return how many numbers."""
    root.mkdir(parents=True, exist_ok=True)
    first = 0
    for shard, count in enumerate(counts):
        (root / f"{shard:03}").write_bytes(struct.pack(f"<{count}I", *range(first, first + count)))
        first += count
    return first


def number_of(item: Item) -> int:
    """Return the number that a file holds."""
    number: int = struct.unpack("<I", item.read())[0]
    return number


def numbers_in(item: Item) -> Iterator[int]:
    """Yield the numbers of a shard, one read each."""
    while content := item.read(4):
        yield struct.unpack("<I", content)[0]


def count_in(item: Item) -> int:
    """Return how many numbers a shard holds."""
    return item.size // 4


def as_is(batch: Any) -> Any:
    """Collate nothing."""
    return batch


def load(dataset: Any, **options: Any) -> DataLoader[Any]:
    """Return a loader of what the dataset yields, unchanged."""
    if "batch_sampler" not in options:
        options.setdefault("batch_size", None)
    return DataLoader(dataset, collate_fn=as_is, **options)


def flat(batches: Iterable[Iterable[T]]) -> list[T]:
    """Return the samples of all batches."""
    return [sample for batch in batches for sample in batch]


def make_files_dataset(root: Path, **options: Any) -> IterableDataset:
    """Return batches of files."""
    return IterableDataset(root / "files", transform=number_of, batch_size=3, threads=2, **options)


def make_counted(root: Path, **options: Any) -> IterableDataset:
    """Return batches of shards whose lengths are known."""
    return IterableDataset(
        root / "shards", expand=numbers_in, counts=count_in, batch_size=3, **options
    )


def make_whole(root: Path, **options: Any) -> IterableDataset:
    """Return batches of shards of which nothing is known."""
    return IterableDataset(root / "shards", expand=numbers_in, batch_size=3, **options)
