"""How many handles there are on each inode, whatever they are for."""

from __future__ import annotations


class HandleCounts:
    """Counts opens and releases by inode number.

    Attributes:
        going: inodes that are about to lose their name, and what the store has of them.
    """

    __slots__ = ("_counts", "going")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.going: set[int] = set()

    def note_opened(self, inode: int) -> None:
        """Count one more handle."""
        self._counts[inode] = self._counts.get(inode, 0) + 1

    def note_released(self, inode: int) -> bool:
        """Count one less; tell whether that was the last."""
        left = self._counts.pop(inode, 1) - 1
        if left:
            self._counts[inode] = left
        return not left

    def count(self, inode: int) -> int:
        """Return how many there are."""
        return self._counts.get(inode, 0)

    def is_open(self, inode: int) -> bool:
        """Tell whether there is any."""
        return inode in self._counts
