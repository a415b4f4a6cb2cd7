"""What is packed comes out of the shards again, whole and in order."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.datasets.archive import members
from mountfs.datasets.item import Item
from mountfs.datasets.sample import split_name
from mountfs.datasets.source import Source
from mountfs.datasets.tar_index import TarIndex
from mountfs.datasets.tar_pack import pack
from tests.datasets.archives import read_members, write_tar


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 3000), max_size=25),
    shard_bytes=st.sampled_from([1, 2000, 8000, 1 << 20]),
)
def test_files_come_out_of_the_shards_again(sizes: list[int], shard_bytes: int) -> None:
    """In order, no sample in two shards, each shard ended as soon as it may."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "files")
        root.mkdir()
        for number, size in enumerate(sizes):
            extension = "jpg" if number % 2 else "cls"
            (root / f"{number // 2:04d}.{extension}").write_bytes(bytes([number]) * size)
        expected = [(entry.path, entry.item().read()) for entry in _sorted(root)]
        shards = pack(
            _sorted(root), f"{folder}/out/s-{{:03d}}.tar", root=root, shard_bytes=shard_bytes
        )
        assert [f"{folder}/out/s-{number:03d}.tar" for number in range(len(shards))] == shards
        found = [read_members(shard) for shard in shards]
        assert expected == [(f"{root}/{name}", content) for one in found for name, content in one]
        keys = [{split_name(name)[0] for name, _ in one} for one in found]
        assert sum(map(len, keys)) == len(set().union(*keys))
        for shard in shards[:-1]:
            assert os.path.getsize(shard) >= shard_bytes


def test_equal_files_make_equal_shards_that_other_programs_read(tmp_path: Path) -> None:
    """Whenever and by whom they were written; with an index where one is wanted."""
    names = ["a.txt", "n" * 200 + ".txt", "\u00e4.txt", os.fsdecode(b"caf\xe9.txt")]
    contents = []
    for number in range(2):
        root = tmp_path / f"files-{number}"
        root.mkdir()
        for name in names:
            (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
            os.utime(root / name, (number, number))
        pattern = str(tmp_path / f"{number}-{{}}.tar")
        (shard,) = pack(_sorted(root), pattern, root=root, with_index=True)
        contents.append(Path(shard).read_bytes())
    assert contents[0] == contents[1]
    assert 0 == len(contents[0]) % 10240
    listed = subprocess.run(["tar", "-tf", shard], capture_output=True, check=True)
    assert len(names) == len(listed.stdout.splitlines())
    with tarfile.open(shard) as archive:
        assert sorted(names) == sorted(archive.getnames())
    assert sorted(names) == sorted(entry.name for entry in TarIndex.load(shard))


def test_members_of_archives_can_be_packed_again(tmp_path: Path) -> None:
    """They keep their names."""
    path = write_tar(tmp_path / "a.tar", {"x/1.a": b"1", "x/2.a": b"2"})
    (shard,) = pack(members(path), str(tmp_path / "b-{}.tar"), root=tmp_path)
    assert read_members(path) == read_members(shard)


def test_a_failure_leaves_only_whole_shards(tmp_path: Path) -> None:
    """Nothing is there under the name of the shard that was being written, nor beside it."""
    root = tmp_path / "files"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.bin").write_bytes(bytes(1000))
    items = [Item.of(str(root / f"{number}.bin")) for number in range(4)]
    with pytest.raises(FileNotFoundError):
        pack(items, str(tmp_path / "out/{}.tar"), root=root, shard_bytes=2000)
    assert ["0.tar"] == os.listdir(tmp_path / "out")
    assert 2 == len(read_members(str(tmp_path / "out/0.tar")))


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    """A pattern without a number would write one shard over the other."""
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ValueError, match="no field for a number"):
        pack([], "shard.tar")
    with pytest.raises(ValueError, match="is not below"):
        pack(Source.of(tmp_path / "a"), str(tmp_path / "{}.tar"), root=tmp_path / "other")


def _sorted(root: Path) -> Source:
    return Source.from_objects(sorted(root.iterdir()))
