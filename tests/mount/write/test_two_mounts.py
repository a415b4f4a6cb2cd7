"""Two mounts of a bucket: close-to-open, the last publish wins, or nobody's is overwritten."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.place import FRESH
from tests.mount.write.ways_to_write import content_of

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing

pytestmark = pytest.mark.mount

NO_CONFLICT = ("--conflict", "fail", "--part-size", "5M")

OLD = {"f": b"old"}


def test_what_one_closes_the_other_opens(sharing: Sharing) -> None:
    """With a TTL of 0 at once; also what is renamed, removed, and made a directory."""
    one, other = (sharing(*FRESH, number=n) for n in range(2))

    for size in (10, 10, 0, 3 * MIB, 5):
        content = make_bytes(size, os.urandom(4))
        (one.path / "f").write_bytes(content)
        wait_until(lambda: content_of(one, "f") == content)  # noqa: B023
        assert size == (other.path / "f").stat().st_size
        assert content == (other.path / "f").read_bytes()
    os.rename(one.path / "f", one.path / "g")
    assert ["g"] == os.listdir(other.path)
    assert content == (other.path / "g").read_bytes()
    (one.path / "d").mkdir()
    assert ["d", "g"] == sorted(os.listdir(other.path))
    os.unlink(one.path / "g")
    os.rmdir(one.path / "d")
    assert [] == os.listdir(other.path)


def test_nothing_is_seen_elsewhere_before_it_is_published_whole(sharing: Sharing) -> None:
    """The other mount reads the old version for as long as the new one is written."""
    one, other = (sharing(*FRESH, objects=OLD, number=n) for n in range(2))
    with (one.path / "f").open("wb", buffering=0) as file:
        for _ in range(12):
            file.write(make_bytes(MIB))
            assert b"old" == (other.path / "f").read_bytes()
        assert make_bytes(MIB) == (one.path / "f").read_bytes()[-MIB:]
    wait_until(lambda: content_of(one, "f") == make_bytes(MIB) * 12)
    assert make_bytes(MIB) * 12 == (other.path / "f").read_bytes()


def test_fsync_publishes_what_is_still_open(sharing: Sharing) -> None:
    """In both modes; and what is written after it is published by the next one, or by close."""
    one, other = (sharing(*FRESH, number=n) for n in range(2))
    with (one.path / "f").open("wb", buffering=0) as file:
        for number in range(3):
            file.write(b"%d" % number * 1000)
            os.fsync(file.fileno())
            assert (number + 1) * 1000 == len((other.path / "f").read_bytes())
        file.seek(1)
        file.write(b"x")
        os.fsync(file.fileno())
        expected = b"0x" + b"0" * 998 + b"1" * 1000 + b"2" * 1000
        assert expected == (other.path / "f").read_bytes()


def test_an_open_file_keeps_its_version_while_another_mount_publishes(sharing: Sharing) -> None:
    """And the next open shows the new one."""
    one, other = (sharing(*FRESH, number=n) for n in range(2))
    (one.path / "f").write_bytes(b"first")
    sync(one.path / "f")
    with (other.path / "f").open("rb", buffering=0) as reader:
        assert b"fi" == reader.read(2)
        (one.path / "f").write_bytes(b"other")
        sync(one.path / "f")
        outcome = outcome_of(lambda: os.pread(reader.fileno(), 5, 0))
        assert outcome in {"done", "ESTALE"}
        if outcome == "done":
            assert b"first" == os.pread(reader.fileno(), 5, 0)
    assert b"other" == (other.path / "f").read_bytes()


def sync(path: os.PathLike[str]) -> None:
    """Have a file published."""
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def test_the_last_publish_wins(sharing: Sharing) -> None:
    """Both write the same file; whoever publishes last is what everybody sees then."""
    one, other = (sharing(*FRESH, objects=OLD, number=n) for n in range(2))
    with (one.path / "f").open("wb") as first, (other.path / "f").open("wb") as second:
        first.write(b"of the first")
        second.write(b"of the second")
        second.flush()
        os.fsync(second.fileno())
        first.flush()
        os.fsync(first.fileno())
        assert b"of the first" == content_of(one, "f")
    assert b"of the first" == (one.path / "f").read_bytes()
    assert b"of the first" == (other.path / "f").read_bytes()


@pytest.mark.parametrize("size", [10, 11 * MIB], ids=["one request", "parts"])
def test_with_conflict_fail_a_changed_object_is_not_overwritten(
    sharing: Sharing, size: int
) -> None:
    """ESTALE at fsync; the object is the other's; what was written here can still be read."""
    one = sharing(*NO_CONFLICT, objects=OLD, may_log_errors=True)
    content = make_bytes(size)
    descriptor = os.open(one.path / "f", os.O_RDWR)
    os.write(descriptor, content)
    put_objects(one.s3, one.bucket, {f"{one.prefix}f": b"of somebody else"})
    outcome = outcome_of(lambda: os.fsync(descriptor))
    found = os.pread(descriptor, size, 0)
    outcome_of(lambda: os.close(descriptor))
    assert outcome == "ESTALE"
    assert content == found
    assert b"of somebody else" == content_of(one, "f")


def test_with_conflict_fail_two_creators_do_not_overwrite_each_other(sharing: Sharing) -> None:
    """Both saw that there was nothing."""
    one, other = (sharing(*NO_CONFLICT, number=n, may_log_errors=True) for n in range(2))
    first = os.open(one.path / "f", os.O_RDWR | os.O_CREAT)
    second = os.open(other.path / "f", os.O_RDWR | os.O_CREAT)
    os.write(first, b"of the first")
    os.write(second, b"of the second")
    os.fsync(second)
    outcome = outcome_of(lambda: os.fsync(first))
    outcome_of(lambda: os.close(first))
    os.close(second)
    assert outcome == "ESTALE"
    assert b"of the second" == content_of(one, "f")


def test_with_conflict_fail_own_changes_are_no_conflicts(sharing: Sharing) -> None:
    """Write, fsync, write, close, append, rename, write again."""
    one = sharing(*NO_CONFLICT, may_log_errors=True)
    for number in range(3):
        with (one.path / "f").open("wb", buffering=0) as file:
            file.write(b"%d" % number)
            os.fsync(file.fileno())
            file.write(b"+")
        with (one.path / "f").open("ab") as file:
            file.write(b"!")
        os.rename(one.path / "f", one.path / "g")
        os.rename(one.path / "g", one.path / "f")
    wait_until(lambda: content_of(one, "f") == b"2+!")


def test_o_excl_sees_what_another_mount_has_made(sharing: Sharing) -> None:
    """A lock file that another host made is there, whatever the TTL."""
    one, other = (sharing(number=n) for n in range(2))
    assert [] == os.listdir(other.path)
    (one.path / "lock").write_bytes(b"")
    sync(one.path / "lock")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    assert outcome_of(lambda: os.close(os.open(other.path / "lock", flags))) == "EEXIST"
