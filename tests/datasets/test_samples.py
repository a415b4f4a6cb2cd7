"""Members of one name are one sample, in a stream and by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.archive import samples
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.sample import IndexedSamples, split_name
from mountfs.datasets.tar_index import TarIndex
from tests.datasets.archives import write_tar, write_zip

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "train/0001.jpg": b"image 1",
    "train/0001.seg.png": b"mask 1",
    "train/0001.cls": b"1",
    "train.v2/0001.cls": b"another directory",
    "train.v2/0001.jpg": b"image 2",
    "0003.jpg": b"",
    "README": b"no extension",
}
SAMPLES = [
    ("train/0001", {"jpg": b"image 1", "seg.png": b"mask 1", "cls": b"1"}),
    ("train.v2/0001", {"cls": b"another directory", "jpg": b"image 2"}),
    ("0003", {"jpg": b""}),
    ("README", {"": b"no extension"}),
]


@pytest.mark.parametrize(
    ("name", "key", "extension"),
    [
        ("a.jpg", "a", "jpg"),
        ("a.seg.png", "a", "seg.png"),
        ("d.ir/e.f/a.jpg", "d.ir/e.f/a", "jpg"),
        ("./a.jpg", "./a", "jpg"),
        ("a", "a", ""),
        (".hidden", ".hidden", ""),
        ("d/.hidden.txt", "d/.hidden", "txt"),
        ("..two.x.y", "..two", "x.y"),
        ("a.", "a", ""),
    ],
)
def test_a_name_ends_at_the_first_dot_of_its_last_component(
    name: str, key: str, extension: str
) -> None:
    """Dots of directories, and those at the start, do not end it."""
    assert (key, extension) == split_name(name)


@given(st.text())
def test_a_name_is_its_key_and_its_extension(name: str) -> None:
    """Nothing is lost, but the dot of a name that ends in one."""
    key, extension = split_name(name)
    assert f"{key}.{extension}" == name or (extension == "" and name in (key, f"{key}."))


def test_members_that_follow_one_another_are_one_sample(place: Path) -> None:
    """In tar and zip, streamed, and by number with an index."""
    tar, packed = write_tar(place / "a.tar", FILES), write_zip(place / "a.zip", FILES)
    assert SAMPLES == [*samples(tar)]
    assert SAMPLES == [*samples(packed)]
    indexed = IndexedSamples(TarIndex.build(tar))
    assert len(SAMPLES) == len(indexed)
    assert [indexed[number] for number in reversed(range(4))] == SAMPLES[::-1]
    assert SAMPLES[-1] == indexed[-1]
    assert SAMPLES[1:3] == indexed[1:3]
    assert [key for key, _ in SAMPLES] == [indexed.key(number) for number in range(4)]
    with pytest.raises(IndexError):
        indexed[4]


def test_a_key_that_comes_back_is_another_sample(tmp_path: Path) -> None:
    """A stream holds one sample only."""
    path = write_tar(tmp_path / "a.tar", {"a.x": b"1", "b.x": b"2", "a.y": b"3"})
    assert ["a", "b", "a"] == [key for key, _ in samples(path)]


def test_only_the_extensions_that_are_wanted_are_read(tmp_path: Path) -> None:
    """A sample that lacks one is an error with its name, not a shorter sample."""
    path = write_tar(tmp_path / "a.tar", FILES)
    stream = samples(path, ["jpg", "cls"])
    assert ("train/0001", {"jpg": b"image 1", "cls": b"1"}) == next(stream)
    assert ("train.v2/0001", {"jpg": b"image 2", "cls": b"another directory"}) == next(stream)
    with pytest.raises(ArchiveError, match="a sample without cls, in member '0003'") as caught:
        next(stream)
    assert path == caught.value.filename
    with pytest.raises(ArchiveError, match="a sample without cls"):
        IndexedSamples(TarIndex.build(path), ["cls"])[2]


def test_two_parts_of_one_extension_are_an_error(tmp_path: Path) -> None:
    """Which of them counts is not guessed."""
    path = write_tar(tmp_path / "a.tar", {"a.": b"1", "a": b"2"})
    with pytest.raises(ArchiveError, match="second part ''"):
        [*samples(path)]


def test_an_archive_without_members_has_no_samples(tmp_path: Path) -> None:
    """Nothing is not one empty sample."""
    path = write_tar(tmp_path / "a.tar", {})
    assert [] == [*samples(path)]
    assert [] == [*IndexedSamples(TarIndex.build(path))]
