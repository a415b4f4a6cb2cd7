"""The nodes that the kernel knows by their number."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mountfs.meta.node import ROOT_NUMBER

if TYPE_CHECKING:
    from mountfs.meta.node import Directory, Node


class InodeTable:
    """Inode numbers and lookup counts.

    Holds exactly the nodes whose lookup count is above 0, and the root, which the kernel never
    looks up and never forgets.

    Args:
        root: has the number `ROOT_NUMBER`.

    Attributes:
        numbers: draws numbers for new nodes; none is drawn twice.
    """

    def __init__(self, root: Directory) -> None:
        self._root = root
        self._nodes: dict[int, Node] = {ROOT_NUMBER: root}
        self.numbers = itertools.count(ROOT_NUMBER + 1)

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, number: int) -> Node | None:
        """Return the node that the kernel knows as *number*."""
        return self._nodes.get(number)

    def remember(self, node: Node) -> None:
        """Count one more lookup: the kernel is being told of *node*."""
        node.lookups += 1
        self._nodes[node.number] = node

    def forget(self, number: int, count: int) -> None:
        """Take back *count* lookups; at 0 the kernel no longer knows the number.

        More than were remembered is a bug in the kernel or here, and forgets the node.
        """
        node = self._nodes.get(number)
        if node is None:
            return
        node.lookups = max(0, node.lookups - count)
        if node.lookups == 0 and node is not self._root:
            del self._nodes[number]
