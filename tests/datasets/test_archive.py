"""An archive is known by its name, its kind by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mountfs.datasets.archive import count_members, is_archive, members, samples
from mountfs.datasets.item import Item
from mountfs.datasets.paths import NotMountedError
from tests.datasets.archives import write_tar, write_zip

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"b.txt": b"b", "a.txt": b"a"}


def test_archives_are_known_by_their_names() -> None:
    """In any case, also as items and addresses, which nobody looks up."""
    for name in ("a.tar", "A.TAR", "a.tar.gz", "a.tgz", "a.tar.zst", "a.zip", "s3://b/k.tar"):
        assert is_archive(name)
        assert is_archive(Item.of(name))
    for name in ("a.jpg", "tar", "a.tar.jpg", "a.gz", "zip/a", "a.npz"):
        assert not is_archive(name)


def test_members_of_any_kind_of_archive_come_from_paths_and_items(tmp_path: Path) -> None:
    """Whatever the archive is called; members have the label of an item."""
    for path in (write_tar(tmp_path / "one", FILES), write_zip(tmp_path / "two", FILES)):
        assert [*FILES] == [member.name for member in members(path)]
        item = Item.of(path, label=7)
        found = [(one.path, one.name, one.label, one.read()) for one in members(item)]
        assert [(path, name, 7, content) for name, content in FILES.items()] == found
        assert ["a.txt"] == [member.name for member in members(item, start=1)]
        assert (2, 2) == (count_members(path), count_members(item))
        assert [("b", {"txt": b"b"}), ("a", {"txt": b"a"})] == [*samples(item)]


def test_an_address_that_no_mount_shows_names_the_bucket() -> None:
    """As everywhere else."""
    with pytest.raises(NotMountedError, match="no-such-bucket"):
        members("s3://no-such-bucket/a.tar")
