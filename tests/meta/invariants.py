"""What holds of the tree at any time, whatever happened to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.keys import decode_name

if TYPE_CHECKING:
    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Directory, Node


def check_tree(namespace: Namespace) -> None:
    """Check every directory of the tree."""
    pending = [namespace.root]
    while pending:
        directory = pending.pop()
        check_directory(directory)
        pending.extend(directory.subdirectories.values())


def check_directory(directory: Directory) -> None:
    """Check that each child is in exactly one stretch, in order, and knows where it is."""
    position = b""
    covered: list[bytes] = []
    for stretch in directory.coverage.stretches:
        assert position <= stretch.start < stretch.stop
        assert all(stretch.start <= key < stretch.stop for key in stretch.keys)
        covered += stretch.keys
        position = stretch.stop
    children: list[Node] = [*directory.files.values(), *directory.subdirectories.values()]
    assert covered == sorted(child.entry_key for child in children)
    assert all(child.parent is directory for child in children)
    assert all(name == file.name for name, file in directory.files.items())
    for name, child in directory.subdirectories.items():
        assert name == child.name
        assert child.prefix == f"{directory.prefix}{decode_name(name)}/"
        assert not child.is_detached
    assert directory.overrides is None or directory.overrides


def count_overrides(namespace: Namespace) -> int:
    """Return how many keys answers must leave as they are, in the whole tree."""
    count = 0
    pending = [namespace.root]
    while pending:
        directory = pending.pop()
        count += len(directory.overrides or ())
        pending.extend(directory.subdirectories.values())
    return count
