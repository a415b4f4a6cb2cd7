from __future__ import annotations

import functools
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.mount.fake_mount import mounting_fake
from tests.mount.outcome import outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.objects import ObjectDetails


class VersionedStore(FakeStore):
    """A bucket with versions, and a lifecycle rule."""

    async def head_details(self, key: str) -> ObjectDetails:
        """Add what the fake has not."""
        details = await super().head_details(key)
        return replace(details, version_id="v1", storage_class="GLACIER_IR")


@pytest.mark.parametrize("is_read_only", [False, True])
def test_the_store_tells_what_it_has(tmp_path: Path, is_read_only: bool) -> None:
    """Key and ETag are known; version and class cost a HEAD each. Nothing of it is listed."""
    store = VersionedStore()
    info = store.bucket.put("d/f", b"content")
    with mounting_fake(store, tmp_path / "mnt", is_read_only=is_read_only) as mount:
        path = mount.path / "d/f"
        assert b"d/f" == os.getxattr(path, "user.mountfs.key")
        assert info.etag.encode() == os.getxattr(path, "user.mountfs.etag")
        assert 0 == store.requests["HEAD"]
        assert b"v1" == os.getxattr(path, "user.mountfs.version-id")
        assert b"GLACIER_IR" == os.getxattr(path, "user.mountfs.storage-class")
        assert 2 == store.requests["HEAD"]
        assert [] == os.listxattr(path)
        assert b"d/" == os.getxattr(mount.path / "d", "user.mountfs.key")


def test_what_the_store_has_not_is_no_data(tmp_path: Path) -> None:
    """Directories have no ETag, buckets without versions no version, and the root no key."""
    store = FakeStore()
    store.bucket.put("d/f", b"content")
    with mounting_fake(store, tmp_path / "mnt") as mount:
        for name, attribute in [
            ("d", "etag"),
            ("d", "version-id"),
            ("d/f", "version-id"),
            ("d/f", "colour"),
            (".", "key"),
        ]:
            call = functools.partial(os.getxattr, mount.path / name, f"user.mountfs.{attribute}")
            assert "ENODATA" == outcome_of(call)
        assert b"STANDARD" == os.getxattr(mount.path / "d/f", "user.mountfs.storage-class")


def test_the_etag_of_what_is_written_comes_with_the_publish(tmp_path: Path) -> None:
    """Until then there is none; it is the one that the store has."""
    store = FakeStore()
    with mounting_fake(store, tmp_path / "mnt") as mount:
        path = mount.path / "new"
        with path.open("wb", buffering=0) as file:
            file.write(b"content")
            assert "ENODATA" == outcome_of(lambda: os.getxattr(path, "user.mountfs.etag"))
            assert b"new" == os.getxattr(path, "user.mountfs.key")
        expected = store.bucket.find("new").info.etag
        assert expected.encode() == os.getxattr(path, "user.mountfs.etag")


@pytest.mark.parametrize("is_posix", [False, True])
def test_what_the_store_tells_cannot_be_set(tmp_path: Path, is_posix: bool) -> None:
    """Nor removed; and nothing of the object changes."""
    store = FakeStore()
    before = store.bucket.put("f", b"content")
    with mounting_fake(store, tmp_path / "mnt", is_posix=is_posix) as mount:
        path = mount.path / "f"
        refused = "EPERM" if is_posix else "ENOTSUP"
        assert refused == outcome_of(lambda: os.setxattr(path, "user.mountfs.etag", b"x"))
        assert refused == outcome_of(lambda: os.removexattr(path, "user.mountfs.etag"))
    assert before == store.bucket.find("f").info
