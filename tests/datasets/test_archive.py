"""Members and samples of archives of any kind, which is known by the content."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from mountfs.datasets.archive import (
    count_members,
    find_counter,
    members,
    samples,
)
from mountfs.datasets.item import Item
from mountfs.datasets.paths import NotMountedError
from tests.datasets.archives import write_tar, write_zip

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"b.txt": b"b", "a.txt": b"a"}


def test_members_of_any_kind_of_archive_come_from_paths_and_items(place: Path) -> None:
    """Whatever the archive is called; members have the label of an item."""
    for path in (write_tar(place / "one", FILES), write_zip(place / "two", FILES)):
        assert [*FILES] == [member.name for member in members(path)]
        item = Item.of(path, label=7)
        found = [(one.path, one.name, one.label, one.read()) for one in members(item)]
        assert [(path, name, 7, content) for name, content in FILES.items()] == found
        assert ["a.txt"] == [member.name for member in members(item, start=1)]
        assert (2, 2) == (count_members(path), count_members(item))
        assert [("b", {"txt": b"b"}), ("a", {"txt": b"a"})] == [*samples(item)]


def test_both_begin_at_any_point_and_are_counted_without_their_contents(tmp_path: Path) -> None:
    """What is left out is what would have come first; a key that comes back is another sample."""
    names = ["a.x", "a.y", "b.x", "d.1/a.x", "a.x", "c", "c/c.x", "c/c.y.z"]
    files = {name: name.encode() for name in names}
    for path in (write_tar(tmp_path / "one", files), write_zip(tmp_path / "two", files)):
        for expand in (members, samples, functools.partial(samples, extensions=())):
            whole = [one if isinstance(one, tuple) else one.name for one in expand(path)]
            for start in range(len(whole) + 2):
                rest = expand(path, start=start)
                assert whole[start:] == [
                    one if isinstance(one, tuple) else one.name for one in rest
                ]
            counter = find_counter(expand)
            assert counter is not None
            assert len(whole) == counter(Item.of(path))
    assert find_counter(functools.partial(members, start=1)) is None
    assert find_counter(print) is None


def test_an_address_that_no_mount_shows_names_the_bucket() -> None:
    """As everywhere else."""
    with pytest.raises(NotMountedError, match="no-such-bucket"):
        members("s3://no-such-bucket/a.tar")
