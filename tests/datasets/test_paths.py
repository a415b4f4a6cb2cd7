from __future__ import annotations

import errno
import os
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.path_map import PathMap
from mountfs.datasets.paths import NotMountedError, is_on_mount, local_path, s3_address
from tests.datasets.mountinfo import write_mountinfo

if TYPE_CHECKING:
    from pathlib import Path

PLACES = [
    ("s3://bucket/train/1.jpg", "/mnt/all/train/1.jpg"),
    ("s3://bucket/a/b/c.bin", "/mnt/ab/c.bin"),
    ("s3://bucket/a/b", "/mnt/ab"),
    ("s3://bucket/a/b/", "/mnt/ab/"),
    ("s3://bucket/a/bc", "/mnt/all/a/bc"),
    ("s3://bucket", "/mnt/all"),
    ("s3://bucket/", "/mnt/all/"),
    ("s3://bucket/train/", "/mnt/all/train/"),
    ("s3://other/x", "/mnt/with space #1/x"),
    ("s3://bucket-2/only/this/x", "/mnt/deep/x"),
    ("/data/local", "/data/local"),
    ("relative", "relative"),
    ("s3:/typo", "s3:/typo"),
]
"""What is asked for, and where the mounts of `table` show it."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write a table of mounts of three buckets."""
    return write_mountinfo(
        tmp_path,
        ("s3://bucket", "/mnt/all"),
        ("s3://bucket/a/b", "/mnt/ab"),
        ("s3://other", "/mnt/with space #1"),
        ("s3://bucket-2/only/this", "/mnt/deep"),
    )


@pytest.mark.parametrize(("place", "path"), PLACES)
def test_an_address_becomes_the_path_at_which_a_mount_shows_it(
    place: str, path: str, table: Path
) -> None:
    """The longest prefix wins, slashes at the end stay, everything else is left alone."""
    assert path == local_path(place, mountinfo=table)


@pytest.mark.parametrize(
    ("place", "path"),
    [pair for pair in PLACES if pair[1].startswith("/mnt") and pair[0][-1] != "/"],
)
def test_a_path_becomes_the_address_again(place: str, path: str, table: Path) -> None:
    """Bucket and key of a path are those that led to it (a mounted directory ends with /)."""
    address = s3_address(path, mountinfo=table)
    assert address is not None
    assert place == f"s3://{address[0]}/{address[1]}".removesuffix("/")


def test_a_path_that_no_mount_shows_has_no_address(table: Path, tmp_path: Path) -> None:
    """Nor has what lies on another file system that is mounted inside of a mount."""
    assert s3_address("/mnt/allx/1", mountinfo=table) is None
    inside = write_mountinfo(tmp_path, ("s3://bucket", "/mnt"), ("/dev/sdb", "/mnt/disk"))
    assert s3_address("/mnt/disk/1", mountinfo=inside) is None
    assert s3_address("/mnt/1", mountinfo=inside) == ("bucket", "1")


def test_an_unmounted_bucket_is_an_error_that_names_it(table: Path) -> None:
    """It is no FileNotFoundError, and says what to do."""
    with pytest.raises(
        NotMountedError, match=r"'nowhere' is not mounted.*mountfs s3://nowhere"
    ) as e:
        local_path("s3://nowhere/x", mountinfo=table)
    assert errno.ENODEV == e.value.errno
    assert "s3://nowhere/x" == e.value.filename
    assert not isinstance(e.value, FileNotFoundError)


def test_a_part_of_a_bucket_that_is_not_mounted_is_an_error_that_says_what_is(table: Path) -> None:
    """Another prefix of the bucket may be mounted: the message lists them."""
    with pytest.raises(NotMountedError, match="mounted only bucket-2/only/this/"):
        local_path("s3://bucket-2/only/that", mountinfo=table)
    with pytest.raises(NotMountedError, match="name of a bucket is missing"):
        local_path("s3://", mountinfo=table)


@pytest.mark.parametrize("key", ["a/../b", "..", "a//b", "/a", "./a", "a\0", "a/b//"])
def test_a_key_that_no_directory_can_show_is_refused(key: str, table: Path) -> None:
    """Above all it must not lead out of the mount."""
    with pytest.raises(OSError, match="no directory can show such a key") as e:
        local_path(f"s3://bucket/{key}", mountinfo=table)
    assert errno.EINVAL == e.value.errno


def test_a_mount_that_another_one_covers_is_not_used(tmp_path: Path) -> None:
    """Of two mounts on one directory only the later can be seen."""
    table = write_mountinfo(tmp_path, ("s3://below", "/mnt"), ("s3://above", "/mnt"))
    assert "/mnt/x" == local_path("s3://above/x", mountinfo=table)
    with pytest.raises(NotMountedError):
        local_path("s3://below/x", mountinfo=table)


def test_a_bind_mount_of_a_directory_shows_its_part(tmp_path: Path) -> None:
    """The root that the table names is part of the prefix."""
    table = write_mountinfo(tmp_path, ("s3://bucket/a", "/container/data", "/train/x"))
    assert "/container/data/1" == local_path("s3://bucket/a/train/x/1", mountinfo=table)


PARTS = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=5
).filter(lambda part: part not in (".", ".."))


@given(parts=st.lists(PARTS, min_size=1, max_size=4), mountpoint=st.lists(PARTS, max_size=2))
def test_any_key_finds_its_way_back(
    parts: list[str], mountpoint: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever characters the key and the mountpoint consist of."""
    directory = tmp_path_factory.mktemp("mounts")
    table = write_mountinfo(directory, ("s3://bucket", "/" + "/".join(["mnt", *mountpoint])))
    key = "/".join(parts)
    path = local_path(f"s3://bucket/{key}", mountinfo=table)
    assert ("bucket", key) == s3_address(path, mountinfo=table)


def test_a_local_directory_is_on_no_mount(tmp_path: Path) -> None:
    """What the kernel says of the machine's own disk."""
    assert not is_on_mount(tmp_path)
    device = os.stat(tmp_path).st_dev
    table = write_mountinfo(tmp_path, ("s3://bucket", "/anywhere"))
    text = table.read_text().replace("0:50", f"{os.major(device)}:{os.minor(device)}")
    table.write_text(text)
    assert is_on_mount(tmp_path, mountinfo=table)


def test_a_path_map_replaces_the_longest_start(tmp_path: Path) -> None:
    """Other paths stay as they are; the map survives pickling."""
    starts = {"data/": "/fast/", "data/coco/": str(tmp_path), "lost/": "s3://nowhere/"}
    path_map = pickle.loads(pickle.dumps(PathMap(starts)))
    assert f"{tmp_path}train/1.jpg" == path_map("data/coco/train/1.jpg")
    assert "/fast/voc/1.jpg" == path_map("data/voc/1.jpg")
    assert "elsewhere/data/1.jpg" == path_map("elsewhere/data/1.jpg")
    with pytest.raises(NotMountedError, match="'nowhere'"):
        path_map("lost/1.jpg")
