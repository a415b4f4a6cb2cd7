"""No damage of a tar archive passes: an error names the file and the member."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.datasets.archive import count_members, members
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.tar_stream import stream_tar
from tests.datasets.archives import FORMATS, read_members, read_until_error, tar_bytes, write_tar

FILES = {"one": b"1" * 700, "dir/two": b"", "three" * 30: b"3" * 512, "four": b"4"}


def content_end(data: bytes) -> int:
    """Return where the mark of the end starts."""
    return len(data.rstrip(b"\0")) + -len(data.rstrip(b"\0")) % 512


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_that_is_cut_off_anywhere_is_an_error(kind: str, tmp_path: Path) -> None:
    """All members are there and the mark of the end is, or the error names the file."""
    files = {name[:100]: content for name, content in FILES.items()}
    data = tar_bytes(files if kind == "ustar" else FILES, kind=FORMATS[kind])
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    whole = read_members(str(path))
    enough = content_end(data) + 512
    for length in (len(data), *range(enough + 512, -1, -1)):
        os.truncate(path, length)
        found, error = read_until_error(str(path))
        assert whole[: len(found)] == found
        assert (length >= enough) == (error is None), length
        if error is None:
            assert whole == found
        else:
            assert (errno.EBADMSG, str(path)) == (error.errno, error.filename)
            assert found == [] or error.member is not None
        if length % 64 == 0:
            assert (error is None) == _can_count(str(path))


def test_the_error_of_a_truncated_archive_says_where(tmp_path: Path) -> None:
    """In a member, or after the last one."""
    data = tar_bytes(FILES)
    path = tmp_path / "a.tar"
    path.write_bytes(data[:800])
    found, error = read_until_error(str(path))
    assert [] == found
    assert f"[Errno 74] truncated at byte 800, in member 'one': '{path}'" == str(error)
    path.write_bytes(data[:2000])
    _, error = read_until_error(str(path))
    assert error is not None
    assert "one" == error.member
    assert "after member 'one'" in str(error)


def test_a_large_member_that_is_cut_off_is_an_error_of_the_stream_too(tmp_path: Path) -> None:
    """Who jumps over it learns that it is not all there, and so does who reads it."""
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("large")
    info.size = 6 << 20
    path.write_bytes(info.tobuf() + bytes(5 << 20))
    stream = stream_tar(str(path), held_bytes_max=1000)
    large = next(stream)
    with pytest.raises(OSError, match="short read") as caught:
        large.read()
    assert str(path) == caught.value.filename
    large.close()
    with pytest.raises(ArchiveError, match="truncated"):
        next(stream)
    for item in stream:  # the stream has ended
        pytest.fail(f"{item} after the error")


@settings(deadline=None, max_examples=50)
@given(position=st.integers(0, 4095), value=st.integers(0, 255))
def test_a_changed_byte_in_a_header_never_passes(position: int, value: int) -> None:
    """The checksum sees each; in contents, tar has none."""
    data = bytearray(tar_bytes({"one": b"1", "two": b"2", "three": b"3", "four": b"4"}))
    header_position = position // 512 * 1024 % 4096 + position % 512
    old, data[header_position] = data[header_position], value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.tar")
        path.write_bytes(data)
        found, error = read_until_error(str(path))
    # A checksum may be written in several ways, which mean the same.
    in_checksum = 148 <= header_position % 1024 < 156
    assert old == value or in_checksum or error is not None
    if error is None:
        assert [("one", b"1"), ("two", b"2"), ("three", b"3"), ("four", b"4")] == found


def test_a_hole_of_zeros_is_not_taken_for_the_end(tmp_path: Path) -> None:
    """As a part that was never written leaves it, of any number of blocks."""
    data = tar_bytes(FILES)
    for blocks in (1, 2, 3):
        path = tmp_path / "a.tar"
        path.write_bytes(data[:1536] + bytes(512 * blocks) + data[1536 + 512 * blocks :])
        found, error = read_until_error(str(path))
        assert [("one", FILES["one"])] == found
        assert error is not None
        assert "more content after the mark of the end" in str(error)


def test_joined_archives_are_an_error_not_a_shorter_archive(tmp_path: Path) -> None:
    """`cat a.tar b.tar` hides the second one from most programs; here it says so."""
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes({"a": b"a"}) + tar_bytes({"b": b"b"}))
    found, error = read_until_error(str(path))
    assert ([("a", b"a")], "a") == (found, error and error.member)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"x" * 5000, os.urandom(3000)])
def test_what_is_no_archive_is_an_error(content: bytes, tmp_path: Path) -> None:
    """Also an empty file, which other programs take for an empty archive."""
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    found, error = read_until_error(str(path))
    assert [] == found
    assert error is not None
    assert str(path) == error.filename


def test_an_archive_without_members_is_one(tmp_path: Path) -> None:
    """Nothing but the mark of the end."""
    assert [] == read_members(write_tar(tmp_path / "a.tar", {}))


@pytest.mark.parametrize("option", ["--format=gnu", "--format=posix", "--sparse-version=0.1"])
def test_sparse_files_are_refused_by_name(option: str, tmp_path: Path) -> None:
    """In all ways in which tar writes them; what came before is right."""
    (tmp_path / "before").write_bytes(b"b")
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"data")
    command = ["tar", option, "-cSf", "a.tar", "before", "holes"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found, error = read_until_error(str(tmp_path / "a.tar"))
    assert [("before", b"b")] == found
    assert error is not None
    assert errno.ENOTSUP == error.errno
    assert "a sparse file is not supported" in str(error)
    assert "holes" in str(error.member)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_archive_that_is_cut_off_is_an_error(suffix: str, tmp_path: Path) -> None:
    """Whatever was read before is right; of zstd, what follows the mark of the end may be missing.

    Its library does not tell the end of a stream from the end of the file.
    """
    files = {f"{number}.bin": os.urandom(500) for number in range(8)}
    data = tar_bytes(files)
    if suffix == "gz":
        packed = gzip.compress(data)
    else:
        zstandard = pytest.importorskip("zstandard")
        packed = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    path = tmp_path / "a.tar"
    path.write_bytes(packed)
    for length in (*range(len(packed), len(packed) - 40, -1), *range(len(packed) - 40, 0, -97)):
        os.truncate(path, length)
        found, error = read_until_error(str(path))
        assert [*files.items()][: len(found)] == found
        if error is not None:
            assert str(path) == error.filename
        elif suffix == "zst" and length > len(packed) - 40:
            assert [*files.items()] == found
        else:
            assert length == len(packed)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_archive_with_a_changed_byte_is_an_error(suffix: str, tmp_path: Path) -> None:
    """The checksum at the end of the stream is looked at, too."""
    data = tar_bytes({"a": os.urandom(3000)})
    if suffix == "gz":
        packed = bytearray(gzip.compress(data))
    else:
        zstandard = pytest.importorskip("zstandard")
        packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(data))
    packed[len(packed) // 2] ^= 1
    (tmp_path / "a.tar").write_bytes(packed)
    _, error = read_until_error(str(tmp_path / "a.tar"))
    assert error is not None
    assert str(tmp_path / "a.tar") == error.filename


def test_a_huge_extended_header_is_an_error_not_a_huge_read(tmp_path: Path) -> None:
    """Its size may be damage."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    _, error = read_until_error(str(tmp_path / "a.tar"))
    assert error is not None
    assert "extended header of 1099511627776 bytes" in str(error)


@pytest.mark.parametrize(
    "payload", [b"x path=a\n", b"12 path=a\n", b"99 path=a\n", b"10 pathaa\n", b"12 size=abc\n"]
)
def test_a_damaged_extended_header_is_an_error(payload: bytes, tmp_path: Path) -> None:
    """Lengths that do not fit, records without a value, sizes that are no numbers."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, len(payload)
    padded = payload + bytes(-len(payload) % 512)
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf() + padded + tar_bytes({"a": b""}))
    found, error = read_until_error(str(path))
    assert [] == found
    assert error is not None
    assert "extended header" in str(error)


def test_a_hard_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    """It cannot be read, so it is not passed over."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.LNKTYPE, "absent"
        archive.addfile(info)
    _, error = read_until_error(str(path))
    assert error is not None
    assert "'absent'" in str(error)
    assert "link" == error.member


def test_errors_survive_the_way_out_of_a_worker() -> None:
    """They pickle with everything, and can be made of a text alone."""
    with pytest.raises(ArchiveError) as caught:
        [*members(os.devnull)]
    error = caught.value
    copy = pickle.loads(pickle.dumps(error))
    assert (str(error), error.member) == (str(copy), copy.member)
    assert (error.errno, error.filename) == (copy.errno, copy.filename)
    assert "text" == str(ArchiveError("text"))


def _can_count(path: str) -> bool:
    try:
        count_members(path)
    except ArchiveError:
        return False
    return True
