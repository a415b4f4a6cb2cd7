"""What is measured on: the objects, and how large everything is, in full and for a quick look."""

from __future__ import annotations

import random
from dataclasses import dataclass

MIB = 1024 * 1024

MIN_SMALL_BYTES = 60_000
MAX_SMALL_BYTES = 160_000
"""Photographs of ImageNet have 110 KB."""

WRITTEN_BYTES = 100_000
"""Of the small files that are written."""

SAMPLE_BYTES = 100_000
"""Of the small files that a loader reads."""

TINY_BYTES = 16
"""Only the names matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything.

    Attributes:
        big_bytes: the object that is read in order and at random.
        stream_bytes, stream_count: the objects that are read in order at the same time.
        small_count, small_directories: photographs, in classes.
        tiny_count, tiny_directories: what is only walked.
        random_reads: for each size of read.
        listed_count, listed_directories: what the memory for names is measured with.
        saved_bytes: of the state dict.
        written_count: files of `WRITTEN_BYTES` that are written, and renamed with their directory.
        appended_bytes: of the object that becomes one byte longer.
        sample_count, sample_directories: files of `SAMPLE_BYTES` that a loader reads.
        shard_bytes, shard_count: the tar archives that are read member by member.
    """

    big_bytes: int
    stream_bytes: int
    stream_count: int
    small_count: int
    small_directories: int
    tiny_count: int
    tiny_directories: int
    random_reads: int
    listed_count: int
    listed_directories: int
    saved_bytes: int
    written_count: int
    appended_bytes: int
    sample_count: int
    sample_directories: int
    shard_bytes: int
    shard_count: int


FULL = Sizes(
    big_bytes=2048 * MIB,
    stream_bytes=512 * MIB,
    stream_count=8,
    small_count=5_000,
    small_directories=20,
    tiny_count=100_000,
    tiny_directories=200,
    random_reads=100,
    listed_count=1_000_000,
    listed_directories=1_000,
    saved_bytes=2048 * MIB,
    written_count=1_000,
    appended_bytes=1024 * MIB,
    sample_count=2_000,
    sample_directories=20,
    shard_bytes=128 * MIB,
    shard_count=16,
)

QUICK = Sizes(
    big_bytes=256 * MIB,
    stream_bytes=64 * MIB,
    stream_count=8,
    small_count=400,
    small_directories=4,
    tiny_count=4_000,
    tiny_directories=8,
    random_reads=20,
    listed_count=20_000,
    listed_directories=20,
    saved_bytes=256 * MIB,
    written_count=100,
    appended_bytes=128 * MIB,
    sample_count=400,
    sample_directories=4,
    shard_bytes=32 * MIB,
    shard_count=4,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """The objects of one bucket.

    Attributes:
        bucket: its name.
        objects: key and size of each.
        has_shards: the objects are tar archives; else no format at all.
    """

    bucket: str
    objects: list[tuple[str, int]]
    has_shards: bool = False

    @property
    def size_bytes(self) -> int:
        """Of all objects."""
        return sum(size for _, size in self.objects)

    def shuffled(self, seed: int) -> list[tuple[str, int]]:
        """Return the objects in another order for each *seed*."""
        objects = list(self.objects)
        random.Random(seed).shuffle(objects)
        return objects


def big_objects(sizes: Sizes) -> DataSet:
    """Return the one large object."""
    return DataSet(bucket="big", objects=[("big.bin", sizes.big_bytes)])


def stream_objects(sizes: Sizes) -> DataSet:
    """Return the objects that are read side by side."""
    objects = [(f"stream-{index}.bin", sizes.stream_bytes) for index in range(sizes.stream_count)]
    return DataSet(bucket="streams", objects=objects)


def small_objects(sizes: Sizes) -> DataSet:
    """Return the photographs: classes as directories, sizes drawn once and for all."""
    draw = random.Random("small")
    return DataSet(
        bucket="small",
        objects=[
            (
                f"class-{index % sizes.small_directories:02d}/image-{index:05d}.jpg",
                draw.randint(MIN_SMALL_BYTES, MAX_SMALL_BYTES),
            )
            for index in range(sizes.small_count)
        ],
    )


def tiny_objects(sizes: Sizes) -> DataSet:
    """Return the objects that are only walked."""
    return DataSet(
        bucket="tiny",
        objects=[
            (f"part-{index % sizes.tiny_directories:04d}/sample-{index:07d}.txt", TINY_BYTES)
            for index in range(sizes.tiny_count)
        ],
    )


def appended_objects(sizes: Sizes) -> DataSet:
    """Return the object that becomes longer."""
    return DataSet(bucket="appended", objects=[("appended.bin", sizes.appended_bytes)])


def sample_objects(sizes: Sizes) -> DataSet:
    """Return the files that a loader reads, in classes."""
    return DataSet(
        bucket="samples",
        objects=[
            (f"class-{index % sizes.sample_directories:02d}/sample-{index:05d}.bin", SAMPLE_BYTES)
            for index in range(sizes.sample_count)
        ],
    )


def shard_objects(sizes: Sizes) -> DataSet:
    """Return the tar archives."""
    objects = [(f"shard-{index:04d}.tar", sizes.shard_bytes) for index in range(sizes.shard_count)]
    return DataSet(bucket="shards", objects=objects, has_shards=True)
