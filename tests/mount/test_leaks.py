"""Whatever was opened and closed again and again has left nothing behind."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.mount.mounted import Mount
    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount

OPENS = 300
"""More than a leak of one each could hide in what is not compared exactly."""

FILES = 100


def figures(mount: Mount) -> dict[str, float]:
    """Return what must be the same before and after."""
    stats = mount.stats()
    return {
        "descriptors": mount.count_descriptors(),
        "memory": stats["memory"]["used_bytes"],
        "readers": stats["data"]["readers"],
        "streams": stats["data"]["streams"],
        "in flight": stats["store"]["in_flight"],
        "inodes": stats["metadata"]["inodes"],
    }


def delete_all(s3: S3Client, bucket: str, keys: list[str], mount: Mount) -> None:
    """Delete the objects, and let the kernel notice: it forgets inodes whose names are gone."""
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
    for key in keys:
        assert not (mount.path / key).exists()


def check_like_before(mount: Mount, before: dict[str, float]) -> None:
    """Wait until *before* is true again.

    Connections to the store may be more than at first: their descriptors are not counted.
    """
    descriptors = before.pop("descriptors")

    def is_like_before() -> bool:
        now = figures(mount)
        del now["descriptors"]
        return now == before

    wait_until(is_like_before)
    assert mount.count_descriptors() <= descriptors + 64


@pytest.mark.parametrize("option", ["--no-read-only", "--read-only"])
def test_many_opens_leave_nothing_behind(
    s3: S3Client, bucket: str, rgw: Rgw, mounted: Mounter, option: str
) -> None:
    """No descriptor, no inode, no byte of budget; read to the end."""
    contents = {f"{n}": make_bytes(1000 + n * 700, n) for n in range(FILES)}
    with mounted(option, "--metadata-ttl", "0", endpoint=rgw) as mount:
        before = figures(mount)
        put_objects(s3, bucket, contents)
        with ThreadPoolExecutor(4) as pool:

            def read(number: int) -> None:
                key = str(number % FILES)
                assert contents[key] == (mount.path / key).read_bytes()

            list(pool.map(read, range(OPENS)))
        descriptors = mount.count_descriptors()
        list(map(read, range(OPENS)))
        # Connections were made; doing it again needs no more of anything.
        assert mount.count_descriptors() <= descriptors
        delete_all(s3, bucket, list(contents), mount)
        check_like_before(mount, before)


@pytest.mark.parametrize("option", ["--no-read-only", "--read-only"])
def test_many_aborted_opens_leave_nothing_behind(
    s3: S3Client, bucket: str, rgw: Rgw, mounted: Mounter, option: str
) -> None:
    """Only the first bytes are read, while much more is on its way; from different places."""
    keys = [f"{n}" for n in range(4)]
    put_objects(s3, bucket, {key: make_bytes(8 * MIB, key) for key in keys})
    with mounted(option, "--metadata-ttl", "0", "--part-size", "1M", endpoint=rgw) as mount:
        os.listdir(mount.path)
        before = {**figures(mount), "inodes": 1}
        for number in range(OPENS):
            open_and_abort(mount.path / keys[number % 4], number)
        delete_all(s3, bucket, keys, mount)
        check_like_before(mount, before)


def open_and_abort(path: Path, number: int) -> None:
    """Open, read a little or nothing, close."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if number % 3:
            assert len(os.pread(descriptor, 4096, number * 7919 % (8 * MIB - 4096))) == 4096
    finally:
        os.close(descriptor)


def test_killed_readers_leave_nothing_behind(
    s3: S3Client, bucket: str, rgw: Rgw, mounted: Mounter
) -> None:
    """SIGKILL in the middle of large reads, forty times."""
    put_objects(s3, bucket, {"f": make_bytes(64 * MIB)})
    with mounted("--metadata-ttl", "0", endpoint=rgw) as mount:
        (mount.path / "f").stat()
        before = {**figures(mount), "inodes": 1}
        for number in range(40):
            with (mount.path / "f").open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            # Each gets a little farther before it is killed.
            command = ["head", "-c", str((1 + number) * 64 * 1024), str(mount.path / "f")]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
                assert reader.stdout is not None
                assert reader.stdout.read(1)
                reader.kill()
        delete_all(s3, bucket, ["f"], mount)
        check_like_before(mount, before)


def test_open_directories_leave_nothing_behind(
    s3: S3Client, bucket: str, rgw: Rgw, mounted: Mounter
) -> None:
    """Read, half read, and not read at all."""
    contents = {f"d{n % 10}/{n}": b"" for n in range(FILES)}
    with mounted("--metadata-ttl", "0", endpoint=rgw) as mount:
        before = figures(mount)
        put_objects(s3, bucket, contents)
        for number in range(OPENS):
            with os.scandir(mount.path / f"d{number % 10}") as entries:
                for _, _ in zip(range(number % 4), entries, strict=False):
                    pass
        delete_all(s3, bucket, list(contents), mount)
        for number in range(10):
            assert not (mount.path / f"d{number}").exists()
        check_like_before(mount, before)
