"""Tar archives in all dialects come out as they went in, in one pass."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import pickle
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.datasets.archive import count_members, members
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.tar_input import DIRECT_BYTES, JUMP_BYTES, READ_BYTES
from mountfs.datasets.tar_stream import stream_tar
from tests.datasets.archives import FORMATS, read_members, tar_bytes, write_tar

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = "/".join(["a-directory-with-a-name-of-some-length"] * 8)

FILES = {
    "plain.txt": b"plain",
    "empty.bin": b"",
    "a/b.c/d.seg.png": b"several dots",
    "./leading.txt": b"dot slash",
    ".hidden": b"hidden",
    "block.bin": bytes(range(256)) * 2,
    "umlaut-\u00e4\u00f6\u00fc-\u65e5\u672c.txt": b"unicode",
    "x" * 99: b"99",
    "x" * 100: b"100",
    "y" * 60 + "/" + "z" * 60: b"split into prefix and name",
}
LONG_FILES = {
    **FILES,
    "x" * 101: b"101",
    "n" * 256: b"256",
    f"{LONG}/file.txt": b"longer than any field",
}


def zstd(data: bytes) -> bytes:
    """Compress, in two frames, as parallel compressors do."""
    zstandard = pytest.importorskip("zstandard")
    half = len(data) // 2
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    joined: bytes = compress(data[:half]) + compress(data[half:])
    return joined


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_dialect_comes_out_as_it_went_in(kind: str, tmp_path: Path) -> None:
    """Order, names and contents are those that the standard library wrote."""
    files = FILES if kind == "ustar" else LONG_FILES
    path = write_tar(tmp_path / "a.tar", files, kind=FORMATS[kind])
    assert [*files.items()] == read_members(path)
    assert len(files) == count_members(path)


@pytest.mark.parametrize("kind", ["v7", "ustar", "oldgnu", "gnu", "posix"])
def test_archives_of_the_tar_command_are_read(kind: str, tmp_path: Path) -> None:
    """Whatever GNU tar writes, in each of its formats, with directories and symbolic links."""
    names = {*FILES} - {"./leading.txt"}
    if kind in ("gnu", "oldgnu", "posix"):
        names |= {"n" * 200, f"{LONG}/file.txt"}
    if kind == "v7":
        names = {name for name in names if len(name) < 98}
    folder = tmp_path / "files"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(FILES.get(name, b"long"))
    (folder / "link").symlink_to("plain.txt")
    path = tmp_path / "a.tar"
    subprocess.run(["tar", f"--format={kind}", "-cf", path, "-C", folder, "."], check=True)
    expected = {f"./{name}": FILES.get(name, b"long") for name in names}
    assert expected == dict(read_members(str(path)))


def test_names_that_are_not_utf_8_survive(tmp_path: Path) -> None:
    """They come as the names of such files do."""
    name = os.fsdecode(b"caf\xe9.txt")
    for kind in FORMATS.values():
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w", format=kind, errors="surrogateescape") as archive:
            archive.addfile(tarfile.TarInfo(name))
        assert [(name, b"")] == read_members(str(path))


def test_extended_headers_with_times_and_for_all_members_are_understood(tmp_path: Path) -> None:
    """A fraction of a second takes a header for each member; a comment, as git writes, one."""
    path = tmp_path / "a.tar"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "c" * 40}) as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1.25
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())
    assert [*FILES.items()] == read_members(str(path))


def test_a_size_beyond_octal_digits_is_understood(tmp_path: Path) -> None:
    """Both ways to write one: binary, and in an extended header."""
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "a.tar"
        info = tarfile.TarInfo("large.bin")
        info.size = (8 << 30) + 5
        header = info.tobuf(kind)
        with open(path, "wb") as file:
            file.write(header)
            file.truncate(len(header) + (8 << 30) + 512)  # a hole: takes no room
            file.seek(0, os.SEEK_END)
            file.write(tar_bytes({"after": b"it"}))
        first, second = stream_tar(str(path))
        assert ("large.bin", (8 << 30) + 5) == (first.name, first.size)
        assert ("after", b"it") == (second.name, second.read())
        assert 8 << 30 == first.seek(8 << 30)
        assert bytes(5) == first.read()
        first.close()


def test_hard_links_are_files_with_the_content_of_their_target(tmp_path: Path) -> None:
    """Also if the target's name comes twice: the link means the one before it."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:

        def add(name: str, content: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = tarfile.LNKTYPE, link
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

        add("a", b"first")
        add("b", link="a")
        add("c", link="b")
        add("a", b"second")
        add(f"{LONG}/d", b"long")
        add("e", link=f"{LONG}/d")
        add("f", link="a")
    expected = [
        *(("a", b"first"), ("b", b"first"), ("c", b"first"), ("a", b"second")),
        *((f"{LONG}/d", b"long"), ("e", b"long"), ("f", b"second")),
    ]
    assert expected == read_members(str(path))
    assert len(expected) == count_members(str(path))


def test_hard_links_of_the_tar_command_are_read(tmp_path: Path) -> None:
    """The second name of a file has its content; in a compressed archive it is refused."""
    (tmp_path / "one").write_bytes(b"content")
    os.link(tmp_path / "one", tmp_path / "two")
    subprocess.run(["tar", "-cf", "a.tar", "one", "two"], cwd=tmp_path, check=True)
    subprocess.run(["tar", "-czf", "a.tgz", "one", "two"], cwd=tmp_path, check=True)
    assert [("one", b"content"), ("two", b"content")] == read_members(str(tmp_path / "a.tar"))
    stream = members(tmp_path / "a.tgz")
    assert b"content" == next(stream).read()
    with pytest.raises(ArchiveError, match="hard link in a compressed archive") as caught:
        next(stream)
    assert str(tmp_path / "a.tgz") == caught.value.filename


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    """Directories, symbolic links, devices, FIFOs, and directories of the oldest format."""
    path = tmp_path / "a.tar"
    kinds = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    with tarfile.open(path, "w") as archive:
        for number, kind in enumerate((*kinds, tarfile.AREGTYPE)):
            info = tarfile.TarInfo(f"other-{number}/")
            info.type, info.linkname = kind, "file"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("file"))
    assert [("file", b"")] == read_members(str(path))


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed_archives_are_recognised_by_their_content(suffix: str, tmp_path: Path) -> None:
    """Also when several streams follow one another, whatever the file is called."""
    path = tmp_path / "archive"
    path.write_bytes(COMPRESSIONS[suffix](tar_bytes(LONG_FILES)))
    assert [*LONG_FILES.items()] == read_members(str(path))
    assert [*LONG_FILES.items()][7:] == read_members(str(path), start=7)


def test_streams_of_gzip_may_be_joined_and_padded(tmp_path: Path) -> None:
    """As parallel compressors and tapes have it."""
    data = tar_bytes(FILES)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + bytes(1000))
    assert [*FILES.items()] == read_members(str(path))


def test_a_plain_archive_may_start_with_any_name(tmp_path: Path) -> None:
    """The name of the first member stands where other formats have their magic number."""
    for name in ("BZh", "PK"):
        path = write_tar(tmp_path / "a.tar", {name: b"content"})
        assert [(name, b"content")] == read_members(path)


@pytest.mark.parametrize("suffix", ["plain", *COMPRESSIONS])
def test_large_members_are_not_held(suffix: str, tmp_path: Path) -> None:
    """They can seek and be read after the stream has gone on, wherever they come from."""
    content = os.urandom(70_000)
    data = tar_bytes({"small": b"s", "large": content, "next": b"n"})
    path = tmp_path / "a.tar"
    path.write_bytes(COMPRESSIONS[suffix](data) if suffix in COMPRESSIONS else data)
    small, large, last = stream_tar(str(path), held_bytes_max=1000)
    assert (b"s", b"n") == (small.read(), last.read())
    assert (70_000, content) == (large.size, large.read())
    assert 69_000 == large.seek(-1000, os.SEEK_END)
    assert content[-1000:] == large.read(5000)
    assert b"" == large.read(10)
    large.close()


def test_items_of_members_pickle(tmp_path: Path) -> None:
    """Small ones with their content, large ones of a plain archive without, others not at all."""
    path = write_tar(tmp_path / "a.tar", {"small": b"s" * 10, "large": b"l" * 2000})
    small, large = pickle.loads(pickle.dumps([*stream_tar(path, held_bytes_max=1000)]))
    assert (b"s" * 10, b"l" * 2000) == (small.read(), large.read())
    large.close()
    (tmp_path / "a.tgz").write_bytes(gzip.compress(Path(path).read_bytes()))
    _, large = stream_tar(str(tmp_path / "a.tgz"), held_bytes_max=1000)
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        pickle.dumps(large)


SIZES = st.one_of(
    st.integers(0, 2000),
    st.sampled_from(
        [
            size + change
            for size in (512, DIRECT_BYTES, READ_BYTES, READ_BYTES - 512, 2 * READ_BYTES)
            for change in (-1, 0, 1)
        ]
    ),
)


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(SIZES, max_size=12),
    skipped=st.sets(st.integers(0, 11)),
    held_bytes_max=st.sampled_from([0, 1000, READ_BYTES, 64 << 20]),
    kind=st.sampled_from([*FORMATS.values()]),
)
def test_members_of_any_sizes_come_out_whole(
    sizes: list[int], skipped: set[int], held_bytes_max: int, kind: int
) -> None:
    """At and around the sizes of buffers, whoever is read or not, held or not."""
    files = {f"{number}.bin": _pattern(size, number) for number, size in enumerate(sizes)}
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder, "a.tar"), files, kind=kind)
        items = [*stream_tar(path, held_bytes_max=held_bytes_max)]
        assert [*files] == [item.name for item in items]
        for number, item in enumerate(items):
            if number not in skipped:
                assert files[item.name] == item.read()
            item.close()


@settings(deadline=None, max_examples=50)
@given(
    names=st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300
        ).filter(lambda name: not name.endswith("/")),
        unique=True,
        max_size=8,
    ),
    kind=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_name_comes_out_as_it_went_in(names: list[str], kind: int) -> None:
    """Line feeds, equals signs, blanks and all."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder, "a.tar"), dict.fromkeys(names, b"x"), kind=kind)
        assert [(name, b"x") for name in names] == read_members(path)


@pytest.mark.parametrize("size", [100, 100_000, JUMP_BYTES + 1])
def test_an_archive_can_be_gone_on_with_at_every_member(size: int, tmp_path: Path) -> None:
    """What comes is the rest; from the end on nothing."""
    files = {f"{number}.bin": _pattern(size, number) for number in range(5)}
    path = write_tar(tmp_path / "a.tar", files)
    for start in range(7):
        assert [*files.items()][start:] == read_members(path, start=start)


def test_nothing_is_opened_before_the_first_member_is_asked_for(tmp_path: Path) -> None:
    """Also an archive that is not there: the error comes with the name when it is read."""
    stream = stream_tar(str(tmp_path / "absent.tar"))
    with pytest.raises(FileNotFoundError) as caught:
        next(stream)
    assert str(tmp_path / "absent.tar") == caught.value.filename


def test_a_stream_that_is_left_closes_the_archive(tmp_path: Path) -> None:
    """No descriptor stays."""
    path = write_tar(tmp_path / "a.tar", FILES)
    before = len(os.listdir("/proc/self/fd"))
    stream = members(path)
    assert 3 == len([*itertools.islice(stream, 3)])
    del stream
    assert before == len(os.listdir("/proc/self/fd"))


def _pattern(size: int, seed: int) -> bytes:
    return (bytes((seed + number) % 251 for number in range(251)) * (size // 251 + 1))[:size]
