"""What `open` finds out by itself, whatever the TTL; on the fake store, which can fail."""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING

import pytest

from mountfs.meta.config import MetadataConfig
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.mount.fake_mount import mounting_fake

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mount

MIB = 1024 * 1024
FOREVER = MetadataConfig(ttl=Ttl(float("inf")))


def test_an_object_that_was_listed_empty_is_empty_until_somebody_asks(tmp_path: Path) -> None:
    """There is nothing to get, so `open` finds out nothing; `O_DIRECT` asks whatever the TTL."""
    store = FakeStore()
    store.bucket.put("f", b"")
    with mounting_fake(store, tmp_path / "mnt", metadata=FOREVER) as mount:
        assert ["f"] == os.listdir(mount.path)
        mount.call(lambda: store.bucket.put("f", b"filled"))
        assert b"" == (mount.path / "f").read_bytes()
        descriptor = os.open(mount.path / "f", os.O_RDONLY | os.O_DIRECT)
        try:
            assert len(b"filled") == os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        assert b"filled" == (mount.path / "f").read_bytes()


def test_a_time_before_1970_is_1970(tmp_path: Path) -> None:
    """Some gateways send year 1 for "unknown"; the kernel's times are unsigned."""
    store = FakeStore()
    store.bucket.put("f", b"x", mtime_ns=-62135596800 * 10**9)
    with mounting_fake(store, tmp_path / "mnt") as mount:
        assert ["f"] == os.listdir(mount.path)
        assert 0 == (mount.path / "f").stat().st_mtime_ns


def test_regression_a_replaced_object_is_stale_once_where_the_kernel_opens(
    tmp_path: Path,
) -> None:
    """The kernel has forgotten the name by the time that the first read is answered."""
    store = FakeStore()
    names = [f"{index:03d}" for index in range(100)]
    for name in names:
        store.bucket.put(name, b"old" + name.encode())
    with mounting_fake(store, tmp_path / "mnt", metadata=FOREVER, is_read_only=True) as mount:
        assert names == sorted(os.listdir(mount.path))
        for name in names:
            mount.call(functools.partial(store.bucket.put, name, b"newer" + name.encode()))
        for name in names:
            with pytest.raises(OSError, match="Stale"):
                (mount.path / name).read_bytes()
            assert b"newer" + name.encode() == (mount.path / name).read_bytes()


def test_a_bug_in_a_listing_fails_the_look_up_and_not_the_mount(tmp_path: Path) -> None:
    """EIO to whoever asked; the next look-up works."""
    store = FakeStore()
    store.bucket.put("f", b"x")
    list_page, failures = store.list_page, [ValueError("a bug")]

    async def stumble(*args: object, **kwargs: object) -> object:
        if failures:
            raise failures.pop()
        return await list_page(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    store.list_page = stumble  # type: ignore[method-assign,assignment]  # for this one test
    with mounting_fake(store, tmp_path / "mnt") as mount:
        with pytest.raises(OSError, match="Input/output"):
            (mount.path / "f").read_bytes()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (mount.path / "f").exists():
            pass
        assert b"x" == (mount.path / "f").read_bytes()
