from __future__ import annotations

import os
import stat
from typing import NamedTuple

import pytest

from mountfs.attributes import AttributeChanges, Caller
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes
from mountfs.vfs.posix_rules import (
    RELATIME_NS,
    TIME_LIMIT_SECONDS,
    asks_for_groups,
    chmod,
    chown,
    content_changed,
    content_read,
    directory_link_count,
    new_node,
    set_attributes,
    set_times,
    without_set_id,
)
from mountfs.vfs.supplementary_groups import read_groups

REG, DIR, LNK, CHR = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR
NOW_NS = 1_700_000_000_000_000_000
ALICE = Caller(1000, 1000, 0)
ROOT = Caller(0, 0, 0)


class Node(NamedTuple):
    """What a node shows."""

    mode: int
    uid: int = 1000
    gid: int = 1000


@pytest.mark.parametrize(
    ("parent", "caller", "asked", "mode", "gid"),
    [
        (Node(DIR | 0o755), ALICE, REG | 0o644, REG | 0o644, 1000),
        (Node(DIR | 0o755, gid=50), ALICE, REG | 0o644, REG | 0o644, 1000),
        # a set-gid directory gives its group, and the bit to directories
        (Node(DIR | 0o2755, gid=50), ALICE, REG | 0o644, REG | 0o644, 50),
        (Node(DIR | 0o2755, gid=50), ALICE, DIR | 0o755, DIR | 0o2755, 50),
        (Node(DIR | 0o2755, gid=50), ALICE, LNK, LNK | 0o777, 50),
        # nobody gets the privileges of a group that he is not in
        (Node(DIR | 0o2777, gid=50), ALICE, REG | 0o2755, REG | 0o755, 50),
        (Node(DIR | 0o2777, gid=50), ALICE, REG | 0o6755, REG | 0o4755, 50),
        (Node(DIR | 0o2777, gid=50), Caller(1000, 50, 0), REG | 0o2755, REG | 0o2755, 50),
        (Node(DIR | 0o2777, gid=50), ROOT, REG | 0o2755, REG | 0o2755, 50),
        (Node(DIR | 0o2777, gid=50), ALICE, REG | 0o2644, REG | 0o2644, 50),
        (Node(DIR | 0o777, gid=50), ALICE, REG | 0o2755, REG | 0o2755, 1000),
    ],
)
def test_a_new_node_belongs_to_its_maker(
    parent: Node, caller: Caller, asked: int, mode: int, gid: int
) -> None:
    """Owner, group and mode, and one time for all."""
    assert NodeAttributes(
        mode=mode,
        uid=caller.uid,
        gid=gid,
        atime_ns=NOW_NS,
        mtime_ns=NOW_NS,
        ctime_ns=NOW_NS,
        xattrs={},
    ) == new_node(parent, caller, asked, now_ns=NOW_NS)


def test_a_supplementary_group_is_a_group() -> None:
    """Who is in the group of a directory may make set-gid programs there."""
    parent = Node(DIR | 0o2777, gid=50)
    made = new_node(parent, ALICE, REG | 0o2755, now_ns=NOW_NS, groups=frozenset((7, 50)))
    assert (REG | 0o2755, 50) == (made.mode, made.gid)


def test_only_a_device_has_a_number() -> None:
    """The kernel sends one with every mknod."""
    parent = Node(DIR | 0o755)
    assert 0x501 == new_node(parent, ALICE, CHR | 0o600, now_ns=NOW_NS, rdev=0x501).rdev
    assert new_node(parent, ALICE, REG | 0o600, now_ns=NOW_NS, rdev=0x501).rdev is None


def test_groups_are_asked_for_only_where_they_matter() -> None:
    """Reading them takes a file of /proc."""
    group_directory = Node(DIR | 0o2777, gid=50)
    assert asks_for_groups(group_directory, ALICE, REG | 0o2755)
    assert not asks_for_groups(group_directory, ALICE, REG | 0o755)
    assert not asks_for_groups(group_directory, ALICE, DIR | 0o2755)
    assert not asks_for_groups(group_directory, ROOT, REG | 0o2755)
    assert not asks_for_groups(Node(DIR | 0o777, gid=50), ALICE, REG | 0o2755)


def test_groups_are_those_of_the_process() -> None:
    """And none of a process that cannot be seen."""
    assert frozenset(os.getgroups()) == read_groups(os.getpid())
    assert frozenset() == read_groups(0)


def test_chmod_changes_permissions_and_ctime_only() -> None:
    """The type of a file stays whatever is asked for."""
    expected = NodeAttributes(mode=REG | 0o4711, ctime_ns=NOW_NS)
    assert expected == chmod(Node(REG | 0o644), DIR | 0o4711, now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REG | 0o755, REG | 0o755),
        (REG | 0o4755, REG | 0o755),
        (REG | 0o2755, REG | 0o755),
        (REG | 0o6777, REG | 0o777),
        (REG | 0o1755, REG | 0o1755),
        (REG | 0o2745, REG | 0o2745),  # not a privilege without group execution
        (DIR | 0o6755, DIR | 0o6755),
    ],
)
def test_a_change_of_owner_or_content_takes_privileges_away(before: int, after: int) -> None:
    """From whoever it is, and from files only."""
    assert after == without_set_id(before)
    mode = after if after != before else None
    expected = NodeAttributes(mode=mode, uid=7, ctime_ns=NOW_NS)
    assert expected == chown(Node(before), 7, None, now_ns=NOW_NS)


def test_times_change_one_by_one_and_always_with_ctime() -> None:
    """None is left as it is; what cannot be kept is moved to what can."""
    assert NodeAttributes(ctime_ns=NOW_NS) == set_times(None, None, now_ns=NOW_NS)
    expected = NodeAttributes(mtime_ns=-5, ctime_ns=NOW_NS)
    assert expected == set_times(None, -5, now_ns=NOW_NS)
    limit_ns = TIME_LIMIT_SECONDS * 10**9
    assert limit_ns - 1 == set_times(limit_ns * 9, None, now_ns=NOW_NS).atime_ns


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        (AttributeChanges(), NodeAttributes()),
        (AttributeChanges(size_bytes=0), NodeAttributes(mtime_ns=NOW_NS)),
        (AttributeChanges(size_bytes=0, mtime_ns=5), NodeAttributes(mtime_ns=5)),
        (AttributeChanges(uid=7), NodeAttributes(uid=7, mode=REG | 0o755)),
        (AttributeChanges(uid=7, mode=0o4700), NodeAttributes(uid=7, mode=REG | 0o4700)),
        (
            AttributeChanges(size_bytes=9, mode=0o600),
            NodeAttributes(mode=REG | 0o600, mtime_ns=NOW_NS),
        ),
    ],
)
def test_one_request_sets_several_things(asked: AttributeChanges, changes: NodeAttributes) -> None:
    """Each as if it came alone; ctime changes even if nothing else does."""
    expected = changes.overlaid(NodeAttributes(ctime_ns=NOW_NS))
    assert expected == set_attributes(Node(REG | 0o4755), asked, now_ns=NOW_NS)


def test_new_content_changes_mtime_and_ctime() -> None:
    """Not the access time."""
    assert NodeAttributes(mtime_ns=NOW_NS, ctime_ns=NOW_NS) == content_changed(now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("atime_ns", "mtime_ns", "ctime_ns", "is_renewed"),
    [
        (NOW_NS - 5, NOW_NS - 9, NOW_NS - 9, False),
        (NOW_NS - 5, NOW_NS - 5, NOW_NS - 9, True),
        (NOW_NS - 5, NOW_NS - 9, NOW_NS - 1, True),
        (NOW_NS - RELATIME_NS, 0, 0, True),
        (NOW_NS - RELATIME_NS + 1, 0, 0, False),
        (NOW_NS, NOW_NS, NOW_NS, False),
    ],
)
def test_a_read_renews_an_access_time_that_tells_nothing_any_more(
    atime_ns: int, mtime_ns: int, ctime_ns: int, is_renewed: bool
) -> None:
    """``relatime``: it stays later than the last change, and younger than a day."""
    expected = NodeAttributes(atime_ns=NOW_NS) if is_renewed else None
    assert expected == content_read(atime_ns, mtime_ns, ctime_ns, now_ns=NOW_NS)


def test_a_directory_has_a_link_from_each_subdirectory() -> None:
    """One link says that nobody counted, which is what ``find`` takes it for."""
    assert [2, 5, 1] == [directory_link_count(count) for count in (0, 3, None)]


def test_changes_are_laid_over_what_was_there() -> None:
    """What is None does not change; an empty mapping does."""
    before = NodeAttributes(mode=REG, uid=1, xattrs={b"user.a": b""})
    changes = NodeAttributes(uid=0, xattrs={}, ctime_ns=NOW_NS)
    after = NodeAttributes(mode=REG, uid=0, xattrs={}, ctime_ns=NOW_NS)
    assert after == before.overlaid(changes)
    assert before == before.overlaid(NO_ATTRIBUTES)
    assert (REG, 0) == (after.file_type, NO_ATTRIBUTES.file_type)
