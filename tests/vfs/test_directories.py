from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mountfs.meta.config import MetadataConfig
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.mount.fake_mount import mounting_fake

if TYPE_CHECKING:
    from pathlib import Path

UNCACHED = MetadataConfig(ttl=Ttl(0.0))


def test_an_empty_directory_is_listed_once(tmp_path: Path) -> None:
    """The kernel reads on behind ``..``, which is not a read from the start."""
    store = FakeStore()
    with mounting_fake(store, tmp_path / "mnt", metadata=UNCACHED) as mount:
        assert [] == os.listdir(mount.path)
    assert {"LIST": 1} == dict(store.requests)


def test_rewinddir_shows_the_directory_as_of_now(tmp_path: Path) -> None:
    """Without it, what was read stays as it was at the `opendir`."""
    store = FakeStore()
    store.bucket.put("a", b"x")
    with mounting_fake(store, tmp_path / "mnt", metadata=UNCACHED) as mount:
        descriptor = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert ["a"] == os.listdir(descriptor)
            mount.call(lambda: store.bucket.put("b", b"x"))
            mount.call(lambda: store.bucket.delete("a"))
            assert ["b"] == os.listdir(descriptor)
        finally:
            os.close(descriptor)


def test_rewinddir_shows_what_was_made_here(tmp_path: Path) -> None:
    """Whatever the TTL."""
    store = FakeStore()
    with mounting_fake(store, tmp_path / "mnt") as mount:
        descriptor = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert [] == os.listdir(descriptor)
            (mount.path / "new").write_bytes(b"x")
            assert ["new"] == os.listdir(descriptor)
            (mount.path / "new").unlink()
            assert [] == os.listdir(descriptor)
        finally:
            os.close(descriptor)
