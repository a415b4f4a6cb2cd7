"""An index gives the same members as the stream, in any order, and notices another archive."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.map_dataset import MapDataset
from mountfs.datasets.tar_index import INDEX_SUFFIX, TarIndex
from tests.datasets.archives import FORMATS, read_members, tar_bytes, write_tar

if TYPE_CHECKING:
    from mountfs.datasets.item import Item

FILES = {
    **{f"train/{number:04d}.jpg": bytes([number]) * number for number in range(60)},
    "empty": b"",
    "n" * 300: b"long name",
    "\u00e4/\u65e5.txt": b"unicode",
}


def read_item(item: Item) -> bytes:
    """Return the content: a transform."""
    return item.read()


def read_all(index: TarIndex) -> list[tuple[str, bytes]]:
    """Return name and content of each member."""
    found = []
    for entry in index:
        with entry.item() as item:
            found.append((item.name, item.read()))
    return found


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 3000), max_size=20),
    kind=st.sampled_from([*FORMATS.values()]),
    seed=st.integers(),
)
def test_members_in_any_order_are_those_of_the_stream(
    sizes: list[int], kind: int, seed: int
) -> None:
    """Built, or saved and loaded."""
    files = {
        f"d.{number}/{number}.bin": bytes([number]) * size for number, size in enumerate(sizes)
    }
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder, "a.tar"), files, kind=kind)
        built = TarIndex.build(path)
        assert path + INDEX_SUFFIX == built.save()
        loaded = TarIndex.load(path)
        assert [*built] == [*loaded]
        assert len(files) == len(loaded)
        numbers = [*range(len(files))]
        random.Random(seed).shuffle(numbers)
        for number in numbers:
            item = loaded[number].item()
            assert f"d.{number}/{number}.bin" == item.name
            assert sizes[number] == item.size
            assert files[item.name] == item.read()
            item.close()


def test_an_index_is_a_sequence_that_pickles(tmp_path: Path) -> None:
    """Negative numbers and slices mean what they mean for lists; entries find their archive."""
    index = TarIndex.build(write_tar(tmp_path / "a.tar", FILES))
    copy = pickle.loads(pickle.dumps(index))
    assert [*FILES.items()] == read_all(copy)
    assert [*FILES] == [copy.name(number) for number in range(len(copy))]
    assert "\u00e4/\u65e5.txt" == copy[-1].name
    assert [*FILES][3:50:7] == [entry.name for entry in copy[3:50:7]]
    with pytest.raises(IndexError):
        copy[len(FILES)]
    entry = pickle.loads(pickle.dumps(copy[5]))
    assert FILES[entry.name] == entry.item().read()


def test_an_index_is_what_a_map_dataset_is_made_of(tmp_path: Path) -> None:
    """Its samples are the members."""
    index = TarIndex.build(write_tar(tmp_path / "a.tar", FILES))
    dataset = pickle.loads(pickle.dumps(MapDataset(index, transform=read_item)))
    assert len(FILES) == len(dataset)
    assert [*FILES.values()] == [dataset[number] for number in range(len(dataset))]


def test_members_are_found_by_name(tmp_path: Path) -> None:
    """The last of that name, as an extraction would leave it."""
    data = tar_bytes(FILES)
    (tmp_path / "a.tar").write_bytes(data)
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        info = tarfile.TarInfo("empty")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"now"))
    index = TarIndex.build(tmp_path / "a.tar")
    assert b"now" == index.find("empty").item().read()
    assert b"long name" == index.find("n" * 300).item().read()
    with pytest.raises(KeyError, match="absent"):
        index.find("absent")


def test_hard_links_lead_to_their_target(tmp_path: Path) -> None:
    """As in the stream."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("one")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"one"))
        info = tarfile.TarInfo("two")
        info.type, info.linkname = tarfile.LNKTYPE, "one"
        archive.addfile(info)
    index = TarIndex.build(tmp_path / "a.tar")
    assert [("one", b"one"), ("two", b"one")] == read_all(index)
    assert read_members(str(tmp_path / "a.tar")) == read_all(index)


def test_an_archive_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """One of another size when the index is loaded, one of the same size when it is read."""
    path = write_tar(tmp_path / "a.tar", {"one": b"1", "two": b"2"})
    index = TarIndex.build(path)
    index.save()
    write_tar(tmp_path / "a.tar", {"eins": b"1", "zwei": b"2"})
    with pytest.raises(ArchiveError, match="not the one of the index") as caught:
        TarIndex.load(path)[1].item().read()
    assert (path, "two") == (caught.value.filename, caught.value.member)
    write_tar(tmp_path / "a.tar", FILES)
    with pytest.raises(ArchiveError, match="build it anew"):
        TarIndex.load(path)
    assert [*FILES.items()] == read_all(TarIndex.build(path))


def test_an_archive_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    """A member that is no longer there is an error, not fewer bytes."""
    path = write_tar(tmp_path / "a.tar", {"one": b"1" * 5000})
    index = TarIndex.build(path)
    for length in (0, 100, 512, 1000, 5511):
        os.truncate(path, length)
        with pytest.raises(ArchiveError) as caught:
            index[0].item().read()
        assert (path, "one") == (caught.value.filename, caught.value.member)


def test_an_index_that_is_damaged_anywhere_is_an_error(tmp_path: Path) -> None:
    """Cut off, changed, or something else."""
    path = write_tar(tmp_path / "a.tar", {"one": b"1", "two": b"2"})
    place = Path(TarIndex.build(path).save(tmp_path / "elsewhere"))
    good = place.read_bytes()
    for length in range(len(good)):
        place.write_bytes(good[:length])
        with pytest.raises(ArchiveError) as caught:
            TarIndex.load(path, place)
        assert str(place) == caught.value.filename
    for position in range(len(good)):
        place.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(ArchiveError):
            TarIndex.load(path, place)


def test_archives_without_random_access_are_refused(tmp_path: Path) -> None:
    """A compressed one; a truncated one is not indexed either."""
    data = tar_bytes(FILES)
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(ArchiveError, match="no random access"):
        TarIndex.build(path)
    path.write_bytes(data[:5000])
    with pytest.raises(ArchiveError, match="truncated"):
        TarIndex.build(path)


def test_large_members_are_read_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces, without the whole of them in memory."""
    monkeypatch.setattr("mountfs.datasets.member_content.HELD_BYTES_MAX", 1000)
    content = os.urandom(5000)
    with TarIndex.build(write_tar(tmp_path / "a.tar", {"large": content}))[0].item() as item:
        assert 4000 == item.seek(4000)
        assert content[4000:] == item.read()
        assert 6000 == item.seek(6000)
        assert b"" == item.read()


def test_a_hundred_thousand_members_take_little_memory(tmp_path: Path) -> None:
    """Some bytes each: what pickles in one piece is also what a worker gets."""
    header = bytearray(tarfile.TarInfo("000000.jpg").tobuf())
    checksum = int(header[148:154], 8) - 6 * ord("0")
    with open(tmp_path / "a.tar", "wb") as file:
        for number in range(100_000):
            header[:6] = b"%06d" % number
            header[148:154] = b"%06o" % (checksum + sum(header[:6]))
            file.write(header)
        file.write(bytes(1024))
    index = TarIndex.build(tmp_path / "a.tar")
    assert 100_000 == len(index)
    assert "099999.jpg" == index.name(99_999)
    assert len(pickle.dumps(index)) < 50 * len(index)
