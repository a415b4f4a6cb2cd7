"""Members by number over tar archives: indexes that are found, built, kept and refused."""

from __future__ import annotations

import errno
import os
import pickle
from typing import TYPE_CHECKING

import pytest

from mountfs.datasets import (
    ArchiveError,
    BatchSampler,
    Item,
    IterableDataset,
    MapDataset,
    archive,
    count_members,
    members,
    samples,
)
from mountfs.datasets.tar_index import TarIndex
from tests.datasets.archives import write_tar
from tests.datasets.loading import flat, load
from tests.datasets.test_sampler import as_rank

if TYPE_CHECKING:
    from pathlib import Path

SHARDS: tuple[dict[str, bytes], ...] = (
    {f"a/{n}.txt": b"a%d" % n for n in range(5)},
    {},
    {f"b/{n}.txt": b"b%d" % n * n for n in range(3)},
)

EVERYTHING = [pair for shard in SHARDS for pair in shard.items()]


def named_bytes(item: Item) -> tuple[str, bytes]:
    """Return name and content: a transform."""
    return item.name, item.read()


def write_shards(directory: Path) -> None:
    """Write an archive of each shard."""
    directory.mkdir(exist_ok=True)
    for number, files in enumerate(SHARDS):
        write_tar(directory / f"{number}.tar", files)


def test_a_missing_index_is_built_once_and_kept_beside_the_archive(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before the first use; the next dataset reads only the index."""
    write_shards(place)
    dataset = MapDataset.from_tar(place / "0.tar", transform=named_bytes)
    copy = pickle.loads(pickle.dumps(dataset))
    assert {"0.tar", "1.tar", "2.tar"} == {*os.listdir(place)}
    assert [*SHARDS[0].items()] == [*dataset]
    assert {"0.tar", "0.tar.index", "1.tar", "2.tar"} == {*os.listdir(place)}
    monkeypatch.setattr(TarIndex, "build", None)
    assert [*SHARDS[0].items()] == [*copy]
    with pytest.raises(TypeError):
        len(MapDataset.from_tar(place / "2.tar"))


def test_an_index_may_be_kept_elsewhere(place: Path) -> None:
    """As a file, or in a directory with those of other archives."""
    write_shards(place)
    for index, name in (("indexes/zero", "indexes/zero"), ("indexes/", "indexes/0.tar.index")):
        dataset = MapDataset.from_tar(f"{place}/0.tar", f"{place}/{index}", transform=named_bytes)
        assert [*SHARDS[0].items()] == [*dataset]
        assert len(SHARDS[0]) == len(TarIndex.load(place / "0.tar", place / name))
    assert {"0.tar", "1.tar", "2.tar", "indexes"} == {*os.listdir(place)}


@pytest.mark.parametrize("workers", [0, 2])
def test_several_archives_are_one_dataset(place: Path, workers: int) -> None:
    """Also of a directory in which their indexes lie among them; shuffled over all."""
    write_shards(place / "shards")
    for archives in (f"{place}/shards/{{0..2}}.tar", place / "shards"):
        dataset = MapDataset.from_tar(archives, transform=named_bytes)
        assert len(EVERYTHING) == len(dataset)
        assert EVERYTHING == [*dataset]
        assert EVERYTHING[-1] == dataset[-1]
        assert [entry.item().name for entry in dataset.entries[2:7]] == [
            name for name, _ in EVERYTHING[2:7]
        ]
        with pytest.raises(IndexError):
            dataset[len(EVERYTHING)]
    sampler = BatchSampler(dataset, 3, shuffle=True, seed=1)
    order = flat(sampler)
    found = flat(load(dataset, batch_sampler=sampler, num_workers=workers))
    assert [EVERYTHING[number] for number in order] == found
    assert [*range(len(EVERYTHING))] == sorted(order) != order


def test_an_index_of_what_the_archive_was_is_refused(place: Path) -> None:
    """By its size when it is loaded, or by the first header that differs; the error says so."""
    path = write_tar(place / "a.tar", {"one": b"1", "two": b"2"})
    assert 2 == len(MapDataset.from_tar(path))
    write_tar(place / "a.tar", {"eins": b"1", "zwei": b"2"})
    stale = MapDataset.from_tar(path, transform=named_bytes)
    with pytest.raises(ArchiveError, match="not the one of the index: build it anew"):
        stale[0]
    write_tar(place / "a.tar", {f"{n}": b"much more" * 1000 for n in range(9)})
    with pytest.raises(ArchiveError, match="build it anew") as caught:
        len(MapDataset.from_tar(path))
    assert f"{path}.index" == caught.value.filename
    TarIndex.build(path).save()
    assert 9 == len(MapDataset.from_tar(path))


def test_what_cannot_be_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One index for many archives, archives of one name, a place that takes no index."""
    write_shards(tmp_path / "x")
    write_shards(tmp_path / "y")
    with pytest.raises(ValueError, match=r"one file for 3 archives: end it with a slash"):
        len(MapDataset.from_tar(tmp_path / "x", tmp_path / "index"))
    (tmp_path / "indexes").mkdir()
    with pytest.raises(ValueError, match=r"2 archives are called '0.tar'"):
        len(MapDataset.from_tar([tmp_path / "x", tmp_path / "y"], tmp_path / "indexes"))

    def refuse(index: TarIndex, place: str | None) -> str:
        raise OSError(errno.EROFS, "Read-only file system", f"{index.path}.index")

    monkeypatch.setattr(TarIndex, "save", refuse)
    message = r"the index of .*0\.tar cannot be written here: Read-only file system; say index="
    with pytest.raises(OSError, match=message) as caught:
        len(MapDataset.from_tar(tmp_path / "x/0.tar"))
    assert (errno.EROFS, f"{tmp_path}/x/0.tar.index") == (caught.value.errno, caught.value.filename)
    with pytest.raises(FileNotFoundError) as missing:
        len(MapDataset.from_tar(tmp_path / "absent.tar"))
    assert str(tmp_path / "absent.tar") == missing.value.filename


def test_archives_with_indexes_are_counted_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As several ranks need it; an index of what an archive was is an error here, too."""
    write_shards(tmp_path)
    paths = [tmp_path / f"{number}.tar" for number in range(3)]
    for path in paths:
        TarIndex.build(path).save()
    monkeypatch.setattr(archive, "names_in_tar", None)
    assert [5, 0, 3] == [count_members(path) for path in paths]
    stream = IterableDataset(f"{tmp_path}/*.tar", expand=members, counts=count_members)
    batched = IterableDataset(f"{tmp_path}/*.tar", expand=samples, counts=[5, 0, 3], batch_size=3)
    assert [name for name, _ in EVERYTHING] == [item.name for item in stream]
    assert 3 == len(batched)
    with as_rank(1, 2):
        rank = IterableDataset(f"{tmp_path}/*.tar", expand=samples, batch_size=2)
        assert [["a/4", "b/0"], ["b/1", "b/2"]] == [[one.key for one in batch] for batch in rank]
    write_tar(paths[0], {"other": b"x" * 100_000})
    with pytest.raises(ArchiveError, match="build it anew"):
        count_members(paths[0])


def test_an_index_is_not_taken_for_an_archive(tmp_path: Path) -> None:
    """Where a stream is made of a directory in which there are both."""
    path = write_tar(tmp_path / "a.tar", SHARDS[0])
    TarIndex.build(path).save()
    stream = IterableDataset(f"{tmp_path}/*.tar", expand=members, transform=named_bytes)
    assert [*SHARDS[0].items()] == [*stream]
    with pytest.raises(ArchiveError, match=r"the pattern \*.tar") as caught:
        list(IterableDataset(tmp_path, expand=members))
    assert (errno.ENOTSUP, f"{path}.index") == (caught.value.errno, caught.value.filename)
