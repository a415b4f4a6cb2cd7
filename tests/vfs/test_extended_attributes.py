from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from mountfs.objects import ObjectHeaders
from mountfs.vfs.extended_attributes import get_value, list_names, remove_value, set_value
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_NS = 1_700_000_000_000_000_000
TAGGED = NodeAttributes(xattrs={b"user.tag": b"one", b"system.posix_acl_access": b"\2"})


def errno_of(call: Callable[[], object]) -> str:
    """Return the name of the error of *call*."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "none"


def test_what_was_set_is_there_and_what_was_removed_is_not() -> None:
    """And the node's status changes each time."""
    changes = set_value(TAGGED, b"user.b", b"\0", 0, now_ns=NOW_NS)
    attributes = TAGGED.overlaid(changes)
    assert NOW_NS == attributes.ctime_ns
    assert [b"user.b", b"user.tag"] == list_names(attributes)
    assert b"\0" == get_value(attributes, b"user.b")
    attributes = attributes.overlaid(remove_value(attributes, b"user.b", now_ns=NOW_NS + 1))
    assert [b"user.tag"] == list_names(attributes)
    assert TAGGED.xattrs == attributes.xattrs


def test_an_empty_value_is_a_value() -> None:
    """Set, listed, removed."""
    attributes = NO_ATTRIBUTES.overlaid(set_value(NO_ATTRIBUTES, b"user.a", b"", 0, now_ns=NOW_NS))
    assert b"" == get_value(attributes, b"user.a")
    assert {} == remove_value(attributes, b"user.a", now_ns=NOW_NS).xattrs


@pytest.mark.parametrize(
    ("name", "flags", "error"),
    [
        (b"user.tag", os.XATTR_CREATE, "EEXIST"),
        (b"user.new", os.XATTR_REPLACE, "ENODATA"),
        (b"user.", 0, "EINVAL"),
        (b"user." + b"x" * 251, 0, "ERANGE"),
        (b"user.mountfs.etag", 0, "EPERM"),
        (b"security.capability", 0, errno.errorcode[errno.ENOTSUP]),
        (b"system.posix_acl_access", 0, errno.errorcode[errno.ENOTSUP]),
    ],
)
def test_what_cannot_be_set_is_refused(name: bytes, flags: int, error: str) -> None:
    """With the errno that local file systems give."""
    assert error == errno_of(lambda: set_value(TAGGED, name, b"x", flags, now_ns=NOW_NS))


def test_what_is_not_set_cannot_be_read_or_removed() -> None:
    """Other namespaces are not ours to show, even where somebody left something."""
    assert "ENODATA" == errno_of(lambda: get_value(TAGGED, b"user.x"))
    assert "ENODATA" == errno_of(lambda: remove_value(TAGGED, b"user.x", now_ns=NOW_NS))
    assert "ENODATA" == errno_of(lambda: get_value(NO_ATTRIBUTES, b"user.x"))
    unsupported = errno.errorcode[errno.ENOTSUP]
    assert unsupported == errno_of(lambda: get_value(TAGGED, b"system.posix_acl_access"))


def test_more_than_an_object_can_keep_is_refused() -> None:
    """At once, not when the file is published."""
    assert "E2BIG" == errno_of(
        lambda: set_value(TAGGED, b"user.big", bytes(2000), 0, now_ns=NOW_NS)
    )
    crowded = NodeAttributes(headers=ObjectHeaders(metadata={"notes": "x" * 1700}))
    assert "ENOSPC" == errno_of(lambda: set_value(crowded, b"user.a", bytes(200), 0, now_ns=NOW_NS))
    assert set_value(NO_ATTRIBUTES, b"user.a", bytes(1200), 0, now_ns=NOW_NS).xattrs
