"""Somebody else changes the bucket: one version or an error, never a mix, and soon the new one."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.fake_mount import mounting_fake
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.mount.mounted import Mount

pytestmark = pytest.mark.mount

SIZE = 12 * MIB
SMALL_STEPS = ("--part-size", "1M", "--max-read-ahead", "1M", "--memory-limit", "64M")
"""So little is fetched ahead that the end of a file of `SIZE` is not asked for at its beginning."""

BLOCKS = 48
"""Of 64 KiB: more than one request brings."""

NEW_SIZES = {
    "replaced": SIZE,
    "truncated": 3 * MIB,
    "emptied": 0,
    "grown": 2 * SIZE,
    "deleted": None,
}


def change(s3: S3Client, bucket: str, key: str, new_size: int | None) -> bytes | None:
    """Replace or delete an object, as another client would; return the new content."""
    if new_size is None:
        s3.delete_object(Bucket=bucket, Key=key)
        return None
    content = make_bytes(new_size, f"new {key}")
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return content


def check_shows(path: Path, content: bytes | None) -> None:
    """Check that *path* shows *content* and its size; None for nothing at all."""
    if content is None:
        assert outcome_of(lambda: path.open("rb")) == "ENOENT"
        assert outcome_of(path.stat) == "ENOENT"
        return
    with path.open("rb") as file:
        assert len(content) == os.fstat(file.fileno()).st_size
        assert content == file.read()
    assert len(content) == path.stat().st_size


@pytest.fixture(params=["--no-read-only", "--read-only"])
def mode(request: pytest.FixtureRequest) -> str:
    """Return an option: without and with `open` left to the kernel."""
    option: str = request.param
    return option


def test_an_open_file_is_one_version_or_stale_and_reopening_shows_the_new_one(
    s3: S3Client, bucket: str, mounted: Mounter, mode: str
) -> None:
    """Whatever happens to the object; without waiting for the TTL of a minute."""
    old = {name: make_bytes(SIZE, name) for name in NEW_SIZES}
    put_objects(s3, bucket, old)
    with mounted(mode, *SMALL_STEPS) as mount:
        for name, new_size in NEW_SIZES.items():
            path = mount.path / name
            with path.open("rb", buffering=0) as file:
                assert old[name][:MIB] == os.pread(file.fileno(), MIB, 0)
                new = change(s3, bucket, name, new_size)
                assert read_old_or_stale(file.fileno(), SIZE - MIB, old[name]) == "ESTALE"
                # What the kernel still has of the old version may be served, and nothing else.
                assert SIZE == os.fstat(file.fileno()).st_size
                for start in range(0, SIZE, MIB):
                    read_old_or_stale(file.fileno(), start, old[name])
            check_shows(path, new)


def read_old_or_stale(descriptor: int, start: int, old: bytes) -> str:
    """Check that a read returns what the old version has there, or fails with ESTALE."""
    got: list[bytes] = []
    outcome = outcome_of(lambda: got.append(os.pread(descriptor, MIB, start)))
    assert outcome in {"done", "ESTALE"}
    # A read may end before a page that cannot be had; the next one then fails.
    assert got == [] or (got[0] and got[0] == old[start : start + len(got[0])])
    return outcome


def test_a_stale_listing_is_corrected_at_open(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """Nothing was served yet, so the application gets the new version, also of another size."""
    put_objects(s3, bucket, {name: make_bytes(SIZE, name) for name in NEW_SIZES})
    with mounted() as mount:
        assert set(NEW_SIZES) == set(os.listdir(mount.path))
        for name, new_size in NEW_SIZES.items():
            assert SIZE == (mount.path / name).stat().st_size
            check_shows(mount.path / name, change(s3, bucket, name, new_size))


def test_a_stale_listing_costs_one_stale_read_where_the_kernel_opens(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """With `--read-only` nobody asks us at `open`: the first read may fail, the next open works."""
    put_objects(s3, bucket, {name: make_bytes(SIZE, name) for name in NEW_SIZES})
    with mounted("--read-only") as mount:
        assert set(NEW_SIZES) == set(os.listdir(mount.path))
        for name, new_size in NEW_SIZES.items():
            new = change(s3, bucket, name, new_size)
            path = mount.path / name
            assert outcome_of(path.read_bytes) in {"ESTALE", "ENOENT" if new is None else "done"}
            check_shows(path, new)


def test_with_ttl_0_each_open_sees_the_newest_version(
    s3: S3Client, bucket: str, mounted: Mounter, mode: str
) -> None:
    """Also where the old one was read, and is in the page cache."""
    with mounted(mode, "--metadata-ttl", "0") as mount:
        for size in (10, 10, 0, MIB, 3):
            content = make_bytes(size, os.urandom(4))
            s3.put_object(Bucket=bucket, Key="d/f", Body=content)
            check_shows(mount.path / "d/f", content)
            assert ["f"] == os.listdir(mount.path / "d")
        s3.delete_object(Bucket=bucket, Key="d/f")
        check_shows(mount.path / "d/f", None)
        assert outcome_of((mount.path / "d").stat) == "ENOENT"


def test_o_direct_sees_the_newest_version_at_once(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """The store is asked, whatever the TTL; afterwards everybody sees it."""
    with mounted() as mount:
        path = mount.path / "f"
        for size in (8192, 8192, 4096, 0, 12288):
            content = make_bytes(size, os.urandom(4))
            s3.put_object(Bucket=bucket, Key="f", Body=content)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
            try:
                assert content == os.read(descriptor, MIB)
            finally:
                os.close(descriptor)
            check_shows(path, content)
        s3.delete_object(Bucket=bucket, Key="f")
        assert outcome_of(lambda: os.open(path, os.O_RDONLY | os.O_DIRECT)) == "ENOENT"


def test_a_new_key_is_found_at_once(s3: S3Client, bucket: str, mounted: Mounter, mode: str) -> None:
    """What is absent is not remembered, though the directory was listed: checkpoints appear."""
    put_objects(s3, bucket, {"d/a": b"a", "z": b"z"})
    with mounted(mode) as mount:
        assert ["a"] == os.listdir(mount.path / "d")
        for key in ("d/b", "d/A", "new", "new2/x/y", "d/e/f"):
            path = mount.path / key
            assert outcome_of(path.stat) == "ENOENT"
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
            assert key.encode() == path.read_bytes()


def test_a_listing_follows_the_bucket_after_the_ttl(
    s3: S3Client, bucket: str, mounted: Mounter, mode: str
) -> None:
    """What came is shown, what went is not."""
    put_objects(s3, bucket, {"d/a": b"", "d/b": b"", "d/sub/x": b""})
    with mounted(mode, "--metadata-ttl", "500ms") as mount:
        assert ["a", "b", "sub"] == sorted(os.listdir(mount.path / "d"))
        s3.delete_object(Bucket=bucket, Key="d/a")
        s3.delete_object(Bucket=bucket, Key="d/sub/x")
        s3.put_object(Bucket=bucket, Key="d/c", Body=b"")
        wait_until(lambda: sorted(os.listdir(mount.path / "d")) == ["b", "c"])
        assert outcome_of((mount.path / "d/a").stat) == "ENOENT"


def test_a_file_and_a_directory_can_change_places(
    s3: S3Client, bucket: str, mounted: Mounter, mode: str
) -> None:
    """The name shows what it is now."""
    with mounted(mode, "--metadata-ttl", "0") as mount:
        path = mount.path / "n"
        for _ in range(3):
            s3.put_object(Bucket=bucket, Key="n", Body=b"file")
            assert path.read_bytes() == b"file"
            s3.put_object(Bucket=bucket, Key="n/x", Body=b"below")
            assert path.is_dir()
            assert (path / "x").read_bytes() == b"below"
            s3.delete_object(Bucket=bucket, Key="n/x")
            assert path.read_bytes() == b"file"
            s3.delete_object(Bucket=bucket, Key="n")
            assert not path.exists()


@pytest.mark.parametrize("ttl", ["0", "60"])
def test_readers_never_see_a_mix_while_an_object_is_replaced(
    s3: S3Client, bucket: str, mounted: Mounter, mode: str, ttl: str
) -> None:
    """Each block of a version names it; four readers read all blocks, in different orders."""
    version_count = 20

    def put_version(number: int) -> None:
        body = b"".join(b"%08d" % number * (65536 // 8) for _ in range(BLOCKS))
        s3.put_object(Bucket=bucket, Key="f", Body=body)

    put_version(0)
    is_over = threading.Event()
    outcomes: list[str] = []
    with mounted(mode, "--metadata-ttl", ttl, *SMALL_STEPS[:2]) as mount:
        readers = [
            threading.Thread(target=read_versions, args=(mount, step, is_over, outcomes))
            for step in (1, 5, 7, 29)
        ]
        for reader in readers:
            reader.start()
        try:
            for number in range(version_count):
                put_version(number)
        finally:
            is_over.set()
            for reader in readers:
                reader.join()
    assert {"one version"} <= set(outcomes) <= {"one version", "ESTALE"}


def read_versions(mount: Mount, step: int, is_over: threading.Event, outcomes: list[str]) -> None:
    """Read the file again and again and note what came of each time."""
    while not is_over.is_set():
        outcomes.append(read_version(mount.path / "f", step))


def read_version(path: Path, step: int) -> str:
    """Read all blocks of *path* in steps and say which versions were seen."""
    seen: set[bytes] = set()

    def read_blocks() -> None:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for index in range(BLOCKS):
                begin = index * step % BLOCKS * 65536
                # A read may end early before a page that cannot be had; the next one says why.
                block = b""
                while len(block) < 65536:
                    piece = os.pread(file.fileno(), 65536 - len(block), begin + len(block))
                    assert piece, "an end in the middle of the file"
                    block += piece
                seen.update(block[start : start + 8] for start in range(0, 65536, 4096))

    outcome = outcome_of(read_blocks)
    if len(seen) > 1:
        return f"a mix: {sorted(seen)}"
    return "one version" if outcome == "done" else outcome


def test_an_unlinked_name_of_an_open_file_is_free_for_another(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """The old handle keeps what it has, the new one reads the new object."""
    put_objects(s3, bucket, {"f": b"old" * 1000})
    with mounted("--metadata-ttl", "0") as mount, (mount.path / "f").open("rb") as old:
        assert old.read(3) == b"old"
        s3.delete_object(Bucket=bucket, Key="f")
        assert not (mount.path / "f").exists()
        s3.put_object(Bucket=bucket, Key="f", Body=b"new" * 2000)
        assert (mount.path / "f").read_bytes() == b"new" * 2000
        assert old.read() == b"old" * 999


@pytest.mark.parametrize("new_size", [None, 3, 70_000])
def test_a_listing_on_its_way_does_not_bring_the_old_version_back(
    tmp_path: Path, new_size: int | None
) -> None:
    """A LIST from before the change lands after the store has said that the version is gone."""
    store = FakeStore()
    store.bucket.put("f", b"old")
    with mounting_fake(store, tmp_path / "mnt") as mount, ThreadPoolExecutor(1) as pool:
        assert ["f"] == os.listdir(mount.path)
        store.latency_seconds = 1.0
        late = pool.submit(outcome_of, (mount.path / "absent").stat)
        wait_until(lambda: store.requests["LIST"] == 2)
        store.latency_seconds = 0.0
        new = None if new_size is None else make_bytes(new_size)
        mount.call(lambda: store.bucket.delete("f") if new is None else store.bucket.put("f", new))
        check_shows(mount.path / "f", new)
        assert late.result() == "ENOENT"
        check_shows(mount.path / "f", new)
