"""Zip archives come out as they went in; what is damaged or encrypted is an error with its name."""

from __future__ import annotations

import errno
import io
import os
import pickle
import shutil
import stat
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.datasets.archive import count_members
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.tar_input import READ_BYTES
from mountfs.datasets.zip_stream import stream_zip
from tests.datasets.archives import read_members, read_until_error, write_zip

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]
FILES = {
    "z-first.txt": b"archive order, not that of names",
    "a/b.c/d.seg.png": b"several dots" * 100,
    "empty": b"",
    "umlaut-\u00e4-\u65e5.txt": b"unicode",
    "n" * 300: b"long",
}


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(
        st.one_of(st.integers(0, 3000), st.sampled_from([READ_BYTES - 1, READ_BYTES + 1])),
        max_size=8,
    ),
    method=st.sampled_from(METHODS),
    held_bytes_max=st.sampled_from([0, 1000, 64 << 20]),
    start=st.integers(0, 8),
)
def test_members_of_any_sizes_come_out_whole(
    sizes: list[int], method: int, held_bytes_max: int, start: int
) -> None:
    """Stored or compressed, held or not, from any member on."""
    files = {f"{number}.bin": bytes([number]) * size for number, size in enumerate(sizes)}
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder, "a.zip"), files, method=method)
        found = []
        first = {f"{number}.bin" for number in range(start)}
        for item in stream_zip(path, is_skipped=first.__contains__, held_bytes_max=held_bytes_max):
            copy = pickle.loads(pickle.dumps(item))
            assert len(files[item.name]) == item.size
            with item, copy:
                found.append((item.name, item.read()))
                assert found[-1][1] == copy.read()
        assert [*files.items()][start:] == found
        assert len(files) == count_members(path)


def test_names_directories_and_links(tmp_path: Path) -> None:
    """Directories and symbolic links are left out, names are those of the standard library."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("folder")
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "target")
        for name, content in FILES.items():
            archive.writestr(name, content)
    assert [*FILES.items()] == read_members(str(path))


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the command zip")
def test_archives_of_the_zip_command_are_read(tmp_path: Path) -> None:
    """With directories, and with names outside of ASCII."""
    for name, content in FILES.items():
        place = tmp_path / "files" / name[:200]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    command = ["zip", "-q", "-r", "../a.zip", "."]
    subprocess.run(command, cwd=tmp_path / "files", check=True)
    expected = {name[:200]: content for name, content in FILES.items()}
    assert expected == dict(read_members(str(tmp_path / "a.zip")))


def test_archives_that_are_written_as_a_stream_are_read(tmp_path: Path) -> None:
    """Their sizes are only in the directory."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object, /) -> int:
            self.content += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    (tmp_path / "a.zip").write_bytes(pipe.content)
    assert [*FILES.items()] == read_members(str(tmp_path / "a.zip"))


def test_large_archives_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and offsets beyond 32 bits stand elsewhere, also more members than 16 bits count."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = write_zip(tmp_path / "a.zip", FILES)
    assert b"PK\6\6" in Path(path).read_bytes()
    assert [*FILES.items()] == read_members(path)


def test_what_stands_before_and_after_the_archive_does_not_matter(tmp_path: Path) -> None:
    """A program before it, a comment after it, even one that looks like an end."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh\nexit\n" * 10)
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
        archive.comment = b"PK\5\6" + b"c" * 1000
    assert [*FILES.items()] == read_members(str(path))


def test_an_archive_without_members_is_one(tmp_path: Path) -> None:
    """It is known by its end, whatever it is called."""
    assert [] == read_members(write_zip(tmp_path / "archive", {}))


def test_encrypted_members_are_refused_by_name(tmp_path: Path) -> None:
    """What came before is right. The flag stands in both headers."""
    path = tmp_path / "a.zip"
    write_zip(path, {"open": b"o", "secret": b"s"})
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\1\2") + 8] |= 1
    data[data.rfind(b"PK\3\4") + 6] |= 1
    path.write_bytes(data)
    found, error = read_until_error(str(path))
    assert [("open", b"o")] == found
    assert error is not None
    assert (errno.ENOTSUP, str(path), "secret") == (error.errno, error.filename, error.member)
    assert "an encrypted file is not supported" in str(error)


def test_an_unusual_compression_is_refused_by_name(tmp_path: Path) -> None:
    """The text names the method."""
    path = write_zip(tmp_path / "a.zip", {"packed": b"p" * 100}, method=zipfile.ZIP_LZMA)
    _, error = read_until_error(path)
    assert error is not None
    assert "compression LZMA is not supported, in member 'packed'" in str(error)


@pytest.mark.parametrize("method", METHODS)
def test_an_archive_that_is_cut_off_anywhere_is_an_error(method: int, tmp_path: Path) -> None:
    """The end of a zip archive says what is in it."""
    path = write_zip(tmp_path / "a.zip", FILES, method=method)
    for length in reversed(range(os.path.getsize(path))):
        os.truncate(path, length)
        found, error = read_until_error(path)
        assert [] == found
        assert error is not None
        assert path == error.filename


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("held_bytes_max", [0, 64 << 20])
def test_no_changed_byte_changes_a_content(
    method: int, held_bytes_max: int, tmp_path: Path
) -> None:
    """Each is an error, or in a field that says nothing about contents (times, attributes)."""
    files = {"one.bin": os.urandom(60), "two.bin": b"2" * 90}
    path = Path(write_zip(tmp_path / "a.zip", files, method=method))
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        found, error = read_until_error(str(path), held_bytes_max=held_bytes_max)
        for name, content in found:
            assert content in files.values(), position
            assert name not in files or files[name] == content
        assert error is None or str(path) == error.filename


def test_a_bomb_is_stopped_at_the_size_that_it_claims(tmp_path: Path) -> None:
    """A member that unpacks to more than the directory says is an error before it is unpacked."""
    path = tmp_path / "a.zip"
    write_zip(path, {"bomb": bytes(50 << 20)})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = data.rfind(magic) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    found, error = read_until_error(str(path))
    assert [] == found
    assert error is not None
    assert "1001 bytes instead of 1000, in member 'bomb'" in str(error)


def test_a_large_stored_member_is_checked_at_its_end(tmp_path: Path) -> None:
    """Its CRC is compared by the read that completes it; random access alone cannot."""
    content = os.urandom(5000)
    path = Path(write_zip(tmp_path / "a.zip", {"m": content}, method=zipfile.ZIP_STORED))
    path.write_bytes(path.read_bytes().replace(content, b"\0" + content[1:]))
    (item,) = stream_zip(str(path), held_bytes_max=1000)
    with item, pytest.raises(ArchiveError, match="wrong CRC"):
        item.read()
