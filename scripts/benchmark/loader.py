"""A process that loads data as training does: mountfs.datasets, or what it is compared with.

Started by the benchmark as ``python -m scripts.benchmark.loader``; see `scripts.benchmark.task`.
For files the clock runs from the listing to the last sample, with the start of the workers; for
shards, which are measured against a bare download, the workers are there before. Every sample is
read wholly in the worker, and what comes out of the loader is small, for all alike.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from multiprocessing import Event
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mountfs.datasets import IterableDataset, MapDataset, members
from scripts.benchmark.fingerprint import fingerprint
from scripts.benchmark.task import serve_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing import synchronize

    from s3torchconnector import S3Reader

    from mountfs.datasets import Item

    Sample = tuple[int, int]
    """The fingerprint and the size in bytes."""

BATCH_SIZE = 32


def read_item(root: str, item: Item) -> Sample:
    """Read a file of a mount, whose name is relative to *root*."""
    with item:
        content = item.read()
    return fingerprint(item.path.removeprefix(root), content), len(content)


def read_object(reader: S3Reader) -> Sample:
    """Read an object with the connector."""
    content = reader.read()
    return fingerprint(reader.key, content), len(content)


def read_member(member: Item) -> Sample:
    """Read a member of a shard."""
    content = member.read()
    return fingerprint(member.name, content), len(content)


def touch_member(member: Item) -> Sample:
    """Read a member of a shard, but look at its ends only, as raw does with what arrives."""
    content = member.read()
    return fingerprint(member.name, content[:1] + content[-1:]), len(content)


def make_dataset(job: dict[str, Any]) -> Dataset[Sample]:
    """Return the dataset of *job*, which has not listed anything yet."""
    place: str = job["place"]
    is_map = job["kind"] == "map"
    if "connector" not in job:
        chosen = MapDataset if is_map else IterableDataset
        transform = partial(read_item, place + "/")
        return chosen(place, transform=transform, threads=job["threads"])
    # Not before it is needed: others shall not pay for its threads.
    from s3torchconnector import S3ClientConfig, S3IterableDataset, S3MapDataset

    options = {
        **job["connector"],
        "transform": read_object,
        # The store has one host name for all buckets.
        "s3client_config": S3ClientConfig(force_path_style=True),
    }
    connected: Dataset[Sample] = (
        S3MapDataset.from_prefix(place, **options)
        if is_map
        else S3IterableDataset.from_prefix(place, enable_sharding=True, **options)
    )
    return connected


def load_files(dataset: Dataset[Sample], job: dict[str, Any]) -> dict[str, Any]:
    """Load one epoch of files, one a sample; of a map dataset in random order."""
    sampler = None
    if job["kind"] == "map":
        generator = torch.Generator().manual_seed(job["seed"])
        sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]  # has a len
    return add_up(make_loader(dataset, num_workers=job["workers"], sampler=sampler))


def prepare_shards(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Start workers, if any, and return what lets them load one epoch of what is in shards."""
    read = read_member if job["is_checked"] else touch_member
    dataset = IterableDataset(job["paths"], expand=members, transform=read)
    if not job["workers"]:
        return lambda: add_up(make_loader(dataset))
    gate = Event()
    batches = iter(
        make_loader(
            dataset,
            num_workers=job["workers"],
            worker_init_fn=partial(wait_at, gate),
            persistent_workers=True,  # so that their end is not measured either
        )
    )

    def load() -> dict[str, Any]:
        gate.set()
        return add_up(batches)

    return load


def wait_at(gate: synchronize.Event, _: int) -> None:
    """Let a worker wait until the clock runs."""
    gate.wait()


def make_loader(dataset: Dataset[Sample], **options: Any) -> DataLoader[Sample]:
    """Return a loader with the usual settings."""
    return DataLoader(dataset, batch_size=BATCH_SIZE, collate_fn=list, **options)


def add_up(batches: Iterable[list[Sample]]) -> dict[str, Any]:
    """Return what came in all."""
    files = size_bytes = total = 0
    for batch in batches:
        files += len(batch)
        for number, sample_bytes in batch:
            total += number
            size_bytes += sample_bytes
    return {"files": files, "bytes": size_bytes, "fingerprint": total}


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return the work that *job* names."""
    # More workers than cores are meant: they wait for the store.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    os.environ.update(job.get("environment", {}))
    if job["kind"] == "shards":
        return prepare_shards(job)
    return partial(load_files, make_dataset(job), job)


if __name__ == "__main__":
    serve_task(prepare)
