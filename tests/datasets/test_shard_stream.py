"""Shards that are gone on with, and shards that break: what comes out, and what is said."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.datasets import Item, IterableDataset, Source, members, shard_stream
from mountfs.datasets.opened_ahead import OpenedAhead
from tests.datasets.archives import write_tar
from tests.datasets.loading import flat, make_shards, numbers_in
from tests.datasets.test_iterable_dataset import as_worker
from tests.mount.mounted import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("takes_start", [False, True])
def test_a_shard_is_gone_on_with_where_it_was_left(tmp_path: Path, takes_start: bool) -> None:
    """By an expansion that can begin there; of another, what comes first is read and forgotten."""
    make_shards(tmp_path, [8, 8])
    starts: list[int] = []

    def expand(item: Item) -> Iterator[int]:
        starts.append(0)
        yield from numbers_in(item)

    def expand_from(item: Item, *, start: int = 0) -> Iterator[int]:
        starts.append(start)
        item.seek(4 * start)
        yield from numbers_in(item)

    def make() -> IterableDataset:
        return IterableDataset(
            tmp_path, expand=expand_from if takes_start else expand, counts=[8, 8], batch_size=3
        )

    dataset = make()
    iterator = iter(dataset)
    head = [next(iterator), next(iterator)]
    resumed = make()
    resumed.load_state_dict(dataset.state_dict())
    starts.clear()
    assert [*range(16)] == flat(head) + flat(resumed)
    assert [6 * takes_start, 0] == starts


def test_a_shard_that_is_shorter_than_where_to_go_on_is_an_error(tmp_path: Path) -> None:
    """Also where the expansion leaves out what comes first, and nobody counts."""
    make_shards(tmp_path, [2])

    def expand(item: Item, start: int = 0) -> Iterator[int]:
        item.seek(4 * start)
        yield from numbers_in(item)

    with as_worker(1, 2), pytest.raises(OSError, match="has at most 6 samples, not 9 or more"):
        list(IterableDataset(tmp_path, expand=expand, counts=[12], batch_size=3))


@pytest.mark.parametrize("counts", [None, [3, 3]])
def test_an_archive_that_is_not_there_is_left_out_like_one_that_breaks(
    tmp_path: Path, counts: list[int] | None
) -> None:
    """The policy is asked also where `expand` itself opens the file."""
    path = write_tar(tmp_path / "b.tar", {f"{n}": b"" for n in range(3)})
    absent = str(tmp_path / "a.tar")

    def read(policy: Any) -> tuple[list[Any], int]:
        dataset = IterableDataset(
            Source.from_objects([absent, path]), expand=members, counts=counts, on_error=policy,
            transform=lambda item: item.name,
        )  # fmt: skip
        return [*dataset], dataset.unreadable

    with pytest.raises(FileNotFoundError) as caught:
        read("raise")
    assert absent == caught.value.filename
    assert (["0", "1", "2"], 3 if counts else 1) == read("skip")


@pytest.mark.parametrize("counts", [None, [3, 4, 3]])
def test_a_shard_that_breaks_is_an_error_or_left_out_to_its_end(
    tmp_path: Path, counts: list[int] | None
) -> None:
    """Samples before the damage count, the next shard is read, and the count says how many lack."""
    make_shards(tmp_path, [3, 4, 3])

    def expand(item: Item) -> Iterator[int]:
        for number in numbers_in(item):
            if number == 5:
                raise OSError(errno.EIO, "damaged", item.path)
            yield number

    def read(policy: Any) -> tuple[list[Any], int]:
        dataset = IterableDataset(tmp_path, expand=expand, counts=counts, on_error=policy)
        return [*dataset], dataset.unreadable

    with pytest.raises(OSError, match="damaged") as caught:
        read("raise")
    assert str(tmp_path / "001") == caught.value.filename
    lost = 2 if counts else 1
    assert ([0, 1, 2, 3, 4, 7, 8, 9], lost) == read("skip")
    assert ([0, 1, 2, 3, 4, *[None] * lost, 7, 8, 9], lost) == read("none")


def test_a_shard_with_fewer_samples_than_its_count_is_an_error(tmp_path: Path) -> None:
    """It names the shard and how many there are."""
    make_shards(tmp_path, [3, 2])
    dataset = IterableDataset(tmp_path, expand=numbers_in, counts=[3, 4])
    with pytest.raises(OSError, match="has 2 samples, not 3 or more") as caught:
        list(dataset)
    assert str(tmp_path / "001") == caught.value.filename
    with pytest.raises(ValueError, match="1 counts for 2"):
        list(IterableDataset(tmp_path, expand=numbers_in, counts=[3]))


class Opened:
    """Stands for what opens shards ahead, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self, path: str) -> None:
        """Note it."""
        self.told.append(path.rpartition("/")[2])

    def close(self) -> None:
        """Note it."""
        self.told.append("closed")


@pytest.mark.parametrize("counts", [None, [4] * 6])
def test_the_next_shard_is_opened_while_one_is_read(
    tmp_path: Path, counts: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its first sample, and only what this worker will read; let go of at the end."""
    make_shards(tmp_path, [4] * 6)
    opened = Opened()
    monkeypatch.setattr(shard_stream, "OpenedAhead", lambda: opened)
    mine = ["000", "001", "002"] if counts else ["000", "002", "004"]
    with as_worker(0, 2):
        stream = iter(IterableDataset(tmp_path, expand=numbers_in, counts=counts, batch_size=2))
        next(stream)
        assert [mine[1]] == opened.told
        assert 5 == len([*stream])
    assert [*mine[1:], "closed"] == opened.told
    opened.told.clear()
    stream = iter(IterableDataset(tmp_path, expand=numbers_in, counts=counts, batch_size=2))
    next(stream)
    del stream
    assert ["001", "closed"] == opened.told


def test_what_is_opened_ahead_is_closed_and_its_errors_are_nobodys(tmp_path: Path) -> None:
    """A file, no file, a directory, a pipe; one at a time."""
    make_shards(tmp_path, [4])
    os.mkfifo(tmp_path / "pipe")
    ahead = OpenedAhead()
    before = {*os.listdir("/proc/self/fd")}
    for name in ("000", "absent", ".", "pipe", "000", "000"):
        ahead.open(str(tmp_path / name))
    ahead.close()
    ahead.close()
    wait_until(lambda: {*os.listdir("/proc/self/fd")} <= before)
