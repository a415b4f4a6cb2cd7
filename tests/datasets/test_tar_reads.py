"""How a tar archive is asked for its bytes: once, in large pieces, and only for what is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.datasets.tar_input import DIRECT_BYTES, JUMP_BYTES, READ_BYTES
from mountfs.datasets.tar_stream import stream_tar
from tests.datasets.archives import read_members, write_tar

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the length of each read is appended."""
    lengths: list[int] = []
    preadv, pread = os.preadv, os.pread

    def count_preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        lengths.append(preadv(descriptor, buffers, offset))
        return lengths[-1]

    def count_pread(descriptor: int, count: int, offset: int) -> bytes:
        content = pread(descriptor, count, offset)
        lengths.append(len(content))
        return content

    monkeypatch.setattr(os, "preadv", count_preadv)
    monkeypatch.setattr(os, "pread", count_pread)
    return lengths


def test_large_members_are_jumped_over(tmp_path: Path, reads: list[int]) -> None:
    """What is left out of them is not read."""
    files = {f"{number}.bin": bytes(JUMP_BYTES + READ_BYTES) for number in range(5)}
    path = write_tar(tmp_path / "a.tar", {**files, "last": b"last"})
    assert [("last", b"last")] == read_members(path, start=5)
    assert sum(reads) <= 7 * READ_BYTES


def test_small_members_are_read_in_large_pieces(tmp_path: Path, reads: list[int]) -> None:
    """A read for each would be a round trip for each, also of those that are left out."""
    path = write_tar(tmp_path / "a.tar", {f"{number}.bin": bytes(2000) for number in range(2000)})
    for start in (0, 1999):
        reads.clear()
        assert 2000 - start == len(read_members(path, start=start))
        assert len(reads) <= os.path.getsize(path) / READ_BYTES + 5


def test_each_byte_of_an_archive_is_read_once(tmp_path: Path, reads: list[int]) -> None:
    """Whatever the sizes of its members; but for the block that says of what kind it is.

    Padding after a large member is not read at all.
    """
    sizes = [100_000, 10, 20_000, 3 << 20, 0, DIRECT_BYTES, 500_000, 1]
    files = {f"{number}.bin": bytes([number + 1]) * size for number, size in enumerate(sizes)}
    path = write_tar(tmp_path / "a.tar", files)
    assert [*files.items()] == [(item.name, item.read()) for item in stream_tar(path)]
    assert sum(sizes) < sum(reads) <= os.path.getsize(path) + 512


def test_after_members_that_were_taken_others_are_skipped_in_large_pieces(
    tmp_path: Path, reads: list[int]
) -> None:
    """As a member is that is too large to hold, and too small to jump over."""
    files = {"a.bin": bytes(100_000), "b.bin": bytes(3 << 20), "c.bin": b"c"}
    path = write_tar(tmp_path / "a.tar", files)
    assert [*files] == [item.name for item in stream_tar(path, held_bytes_max=1 << 20)]
    assert len(reads) <= 15


def test_large_members_with_small_ones_between_them_are_read_by_themselves(
    tmp_path: Path, reads: list[int]
) -> None:
    """An image, its label, the next image: what comes along with a label would be copied twice."""
    pairs = [{f"{n}.jpg": bytes([n]) * (100_000 + n), f"{n}.cls": b"%d" % n} for n in range(20)]
    files = {name: content for pair in pairs for name, content in pair.items()}
    path = write_tar(tmp_path / "a.tar", files)
    assert [*files.items()] == [(item.name, item.read()) for item in stream_tar(path)]
    # Behind the megabyte with which the archive begins: an image, the header of its label, and the
    # label with the header of the next image.
    start = reads.index(100_011)
    for n in range(11, 20):
        assert [100_000 + n, 512, 1024] == reads[start : start + 3]
        start += 3
