from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets import extent_file
from mountfs.datasets.extent import Extent, coalesce
from mountfs.datasets.extent_file import ExtentFile

if TYPE_CHECKING:
    from pathlib import Path

EXTENTS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 60)).map(lambda t: Extent(t[0], sum(t))),
    max_size=30,
)


@given(extents=EXTENTS, gap=st.integers(0, 20), limit=st.integers(1, 100))
def test_reads_hold_every_extent_and_respect_the_limits(
    extents: list[Extent], gap: int, limit: int
) -> None:
    """Each extent is in one read; reads are in order; none is large but for one extent's sake."""
    reads = coalesce(extents, gap_max_bytes=gap, max_bytes=limit)
    assert sorted(reads) == reads
    for extent in extents:
        assert any(read.start <= extent.start and extent.stop <= read.stop for read in reads)
    for read in reads:
        inside = [e for e in extents if read.start <= e.start and e.stop <= read.stop]
        assert len(read) <= max([limit, *map(len, inside)])
        wanted = {byte for e in inside for byte in range(e.start, e.stop)}
        unwanted = [byte for byte in range(read.start, read.stop) if byte not in wanted]
        runs = "".join("x" if byte in unwanted else " " for byte in range(read.start, read.stop))
        assert all(len(run) <= gap for run in runs.split())
    assert len(reads) <= len(extents)


def test_neighbours_become_one_read() -> None:
    """In whatever order they are asked for."""
    extents = [Extent(n * 10, n * 10 + 8) for n in (3, 0, 2, 1)]
    assert [Extent(0, 38)] == coalesce(extents, gap_max_bytes=2, max_bytes=100)
    assert extents[1:2] == coalesce(extents, gap_max_bytes=1, max_bytes=100)[:1]
    assert [Extent(0, 18), Extent(20, 38)] == coalesce(extents, gap_max_bytes=2, max_bytes=20)


@given(
    extents=EXTENTS,
    asked=st.lists(st.tuples(st.integers(0, 450), st.integers(0, 80)), max_size=10),
    limit=st.integers(1, 100),
)
def test_an_extent_file_reads_what_the_file_has(
    extents: list[Extent],
    asked: list[tuple[int, int]],
    limit: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Announced or not, past the end too."""
    content = bytes(n % 251 for n in range(400))
    path = tmp_path_factory.mktemp("extents") / "file"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as context, ThreadPoolExecutor(2) as executor:
        context.setattr(extent_file, "READ_MAX_BYTES", limit)
        context.setattr(extent_file, "GAP_MAX_BYTES", 5)
        with ExtentFile(io.FileIO(str(path)), extents, executor) as file:
            for offset, size in [*((e.start, len(e)) for e in extents), *asked]:
                file.seek(offset)
                buffered = io.BufferedReader(file)
                got = buffered.read(size)
                buffered.detach()
                assert content[offset : offset + size] == got
            assert 400 == file.seek(0, os.SEEK_END)


def test_each_byte_is_read_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small extents cost few reads."""
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    lock, reads = threading.Lock(), list[tuple[int, int]]()
    pread = os.pread

    def count(descriptor: int, size: int, offset: int) -> bytes:
        with lock:
            reads.append((offset, size))
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", count)
    monkeypatch.setattr(extent_file, "READ_MAX_BYTES", 1 << 18)
    extents = [Extent(n << 10, (n << 10) + 1000) for n in range(1024)]
    with (
        ThreadPoolExecutor(1) as executor,
        ExtentFile(io.FileIO(str(tmp_path / "file")), extents, executor) as file,
    ):
        for extent in extents:
            file.seek(extent.start)
            file.readinto(bytearray(len(extent)))
    assert reads == sorted(reads)
    assert 4 == len(reads)
    assert (1 << 20) >= sum(size for _, size in reads)


def test_a_file_that_is_too_short_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Not an empty tensor."""
    (tmp_path / "shards").write_bytes(b"x" * 10)
    with ThreadPoolExecutor(1) as executor:
        file = ExtentFile(io.FileIO(str(tmp_path / "shards")), [Extent(0, 20)], executor)
        with file, pytest.raises(OSError, match=r"short read: the file ends at 10.*shards"):
            file.read(5)
