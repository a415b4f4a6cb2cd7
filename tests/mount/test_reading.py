"""Whatever way a program reads, it gets the bytes that are in the bucket."""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import os
import random
import subprocess
import sys
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mount.content import MIB, PART, make_bytes, put_objects
from tests.mount.mounted import Mount, mounting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount

EDGES = sorted(
    {0, 1, *(edge + around for edge in (MIB, 2 * MIB, PART) for around in (-1, 0, 1))}
    | {4095, 4097, 2 * PART + 1}
)
LARGE = 300 * MIB
PIECE = 20 * MIB + 12_345
"""A file of several parts with an odd end, for everything but the sizes."""


class Files(NamedTuple):
    """A mount of a bucket that holds files of all sizes, and what is in them."""

    mount: Mount
    contents: dict[str, bytes]

    @property
    def piece(self) -> tuple[Path, bytes]:
        """The file of `PIECE` bytes and its content."""
        return self.mount.path / "piece", self.contents["piece"]


@pytest.fixture(scope="module")
def files(rgw: Rgw, s3: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Mount a bucket with files of all sizes."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    contents = {f"size-{size}": make_bytes(size) for size in (*EDGES, LARGE)}
    contents["piece"] = make_bytes(PIECE, "piece")
    contents |= _library_files()
    put_objects(s3, bucket, contents)
    mountpoint = tmp_path_factory.mktemp("reading") / "mnt"
    try:
        with mounting(f"s3://{bucket}", mountpoint, endpoint=rgw) as mount:
            yield Files(mount, contents)
    finally:
        rgw.purge_bucket(bucket)


def _library_files() -> dict[str, bytes]:
    """Make files as the libraries write them, larger than a part."""
    generator = torch.Generator().manual_seed(1)
    state = {f"layer{i}": torch.rand(600, 700, generator=generator) for i in range(6)}
    checkpoint, archive, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(state, checkpoint)
    with zipfile.ZipFile(archive, "w") as members:
        for number in range(20):
            members.writestr(f"dir/{number}", make_bytes(500_000, number))
    np.save(array, np.arange(3_000_000, dtype=np.float32).reshape(3000, 1000))
    return {
        "model.pt": checkpoint.getvalue(),
        "data.zip": archive.getvalue(),
        "array.npy": array.getvalue(),
    }


def forget_pages(descriptor: int) -> None:
    """Make the kernel drop what it has of a file, so that the next read asks the mount."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("size", [*EDGES, LARGE])
def test_md5sum_of_every_size_is_right(files: Files, size: int) -> None:
    """Also at the edges of the kernel's requests and of our parts."""
    name = f"size-{size}"
    path = files.mount.path / name
    assert path.stat().st_size == size
    printed = subprocess.run(["md5sum", path], capture_output=True, text=True, check=True).stdout
    assert hashlib.md5(files.contents[name]).hexdigest() == printed.split()[0]


@settings(max_examples=60, deadline=None)
@given(
    ranges=st.lists(
        st.tuples(st.integers(0, PIECE + MIB), st.integers(0, 3 * MIB)), min_size=1, max_size=8
    )
)
def test_random_preads_return_the_original_bytes(
    files: Files, ranges: list[tuple[int, int]]
) -> None:
    """Any offset, any length, past the end too; without help from the page cache."""
    path, content = files.piece
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start, length in ranges:
            forget_pages(descriptor)
            assert content[start : start + length] == os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)


def test_direct_reads_return_the_original_bytes(files: Files) -> None:
    """O_DIRECT goes past the page cache."""
    path, content = files.piece
    choices = random.Random(2)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4 * MIB)  # aligned, as O_DIRECT asks
    try:
        for _ in range(30):
            start = choices.randrange(0, PIECE // 4096) * 4096
            length = choices.choice([4096, 65536, MIB, 4 * MIB])
            got = os.preadv(descriptor, [memoryview(buffer)[:length]], start)
            assert content[start : start + length] == buffer[:got]
    finally:
        os.close(descriptor)


def test_reads_far_apart_skip_what_lies_between(files: Files) -> None:
    """Head, tail, middle, head again: as `torch.load` and archive readers do."""
    path, content = files.mount.path / f"size-{LARGE}", files.contents[f"size-{LARGE}"]
    with path.open("rb", buffering=0) as file:
        forget_pages(file.fileno())
        for start in (0, LARGE - 100, LARGE // 2, LARGE - MIB, 17, LARGE // 3, LARGE):
            file.seek(start)
            assert content[start : start + 100] == file.read(100)
        assert os.lseek(file.fileno(), 1000, os.SEEK_DATA) == 1000
        assert os.lseek(file.fileno(), 1000, os.SEEK_HOLE) == LARGE


@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
@pytest.mark.parametrize(
    "advice", [mmap.MADV_NORMAL, mmap.MADV_RANDOM, mmap.MADV_SEQUENTIAL, mmap.MADV_WILLNEED]
)
def test_mapped_files_show_the_original_bytes(files: Files, flags: int, advice: int) -> None:
    """Private and shared, whatever is announced; behind the end of the file are zeros."""
    path, content = files.piece
    with path.open("rb") as file:
        forget_pages(file.fileno())
        with mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as mapped:
            mapped.madvise(advice)
            for start in (0, PIECE - 5000, 9 * MIB + 1, 123):
                assert content[start : start + 5000] == mapped[start : start + 5000]
            assert hashlib.sha256(content).digest() == hashlib.sha256(mapped).digest()


def test_a_private_mapping_can_be_changed_in_memory(files: Files) -> None:
    """Copy on write concerns the process and not the file; a shared one is refused."""
    path, content = files.piece
    with path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            mapped[:4] = b"mine"
            assert content[4:100] == mapped[4:100]
        assert content[:4] == os.pread(file.fileno(), 4, 0)
        with pytest.raises(PermissionError):
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE)


def test_threads_share_one_descriptor(files: Files) -> None:
    """Eight threads read everywhere in one file at the same time."""
    path, content = files.piece
    descriptor = os.open(path, os.O_RDONLY)

    def read_some(seed: int) -> None:
        choices = random.Random(seed)
        for _ in range(40):
            start, length = choices.randrange(PIECE), choices.randrange(300_000)
            assert content[start : start + length] == os.pread(descriptor, length, start)
            if seed == 0:
                forget_pages(descriptor)

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read_some, range(8)))
    finally:
        os.close(descriptor)


def test_processes_read_one_file_at_the_same_time(files: Files) -> None:
    """Eight processes, from the start, and each finds every byte."""
    name = f"size-{2 * PART + 1}"
    path, content = files.mount.path / name, files.contents[name]
    descriptor = os.open(path, os.O_RDONLY)
    forget_pages(descriptor)
    os.close(descriptor)
    readers = [
        subprocess.Popen(["sha256sum", path], stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    sums = {reader.communicate()[0].split()[0] for reader in readers}
    assert {hashlib.sha256(content).hexdigest()} == sums


@pytest.mark.parametrize("is_mapped", [False, True])
def test_torch_loads_a_checkpoint(files: Files, is_mapped: bool) -> None:
    """With and without `mmap=True`."""
    expected = torch.load(io.BytesIO(files.contents["model.pt"]))
    state = torch.load(files.mount.path / "model.pt", mmap=is_mapped)
    assert list(expected) == list(state)
    assert all(torch.equal(expected[name], state[name]) for name in expected)


def test_zip_members_can_be_read_in_any_order(files: Files) -> None:
    """The directory at the end, then member by member."""
    numbers = list(range(20))
    random.Random(3).shuffle(numbers)
    with zipfile.ZipFile(files.mount.path / "data.zip") as archive:
        assert archive.testzip() is None
        for number in numbers:
            assert make_bytes(500_000, number) == archive.read(f"dir/{number}")


def test_numpy_maps_an_array(files: Files) -> None:
    """`mmap_mode="r"`, read in strides."""
    array = np.load(files.mount.path / "array.npy", mmap_mode="r")
    expected = np.arange(3_000_000, dtype=np.float32).reshape(3000, 1000)
    assert np.array_equal(expected[::7, ::13], array[::7, ::13])
    assert np.array_equal(expected[-1], array[-1])


def test_a_killed_reader_leaves_others_alone(files: Files) -> None:
    """SIGKILL in the middle of a read ends one process and nothing else."""
    path, content = files.mount.path / f"size-{LARGE}", files.contents[f"size-{LARGE}"]
    program = f"open({str(path)!r}, 'rb').read(); print('read', flush=True)"
    with path.open("rb") as file:
        forget_pages(file.fileno())
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program]) as reader:
            reader.kill()
    with path.open("rb") as file:
        assert hashlib.sha256(content).digest() == hashlib.file_digest(file, "sha256").digest()


def test_a_directory_cannot_be_read_as_a_file(files: Files) -> None:
    """EISDIR, as everywhere."""
    descriptor = os.open(files.mount.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
            os.read(descriptor, 1)
    finally:
        os.close(descriptor)
