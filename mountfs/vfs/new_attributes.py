"""What a new file or directory shows besides its name."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from mountfs.objects import ObjectHeaders
from mountfs.vfs import posix_rules
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.supplementary_groups import read_groups

if TYPE_CHECKING:
    from mountfs.attributes import Caller
    from mountfs.meta.node import Directory
    from mountfs.vfs.showing import Showing

EXECUTE_BITS = 0o111


class NewAttributes:
    """Makes the attributes of what is created.

    Args:
        showing: what parents show, whose group new files may get.
        is_posix: attributes are kept with the objects.
    """

    def __init__(self, showing: Showing, *, is_posix: bool) -> None:
        self._showing = showing
        self._is_posix = is_posix

    def of(
        self, parent: Directory, mode: int, caller: Caller, now_ns: int, rdev: int = 0
    ) -> NodeAttributes:
        """Return what a new node shows; its `mtime_ns` is the node's own business."""
        if self._is_posix:
            shown = self._showing.attributes_of(parent)
            groups: frozenset[int] = frozenset()
            if posix_rules.asks_for_groups(shown, caller, mode):
                groups = read_groups(caller.pid)
            made = posix_rules.new_node(
                shown, caller, mode, now_ns=now_ns, rdev=rdev, groups=groups
            )
            return replace(made, mtime_ns=None, headers=ObjectHeaders())
        # Owners and permissions are the mount's; but git and others look whether a file that they
        # made executable is so.
        if not mode & EXECUTE_BITS:
            return NodeAttributes(headers=ObjectHeaders())
        permissions = (self._showing.file_mode & ~EXECUTE_BITS) | (mode & EXECUTE_BITS)
        return NodeAttributes(mode=stat.S_IFMT(mode) | permissions, headers=ObjectHeaders())
