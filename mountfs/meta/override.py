"""What is known better here than any answer of the store that was asked for before.

An override stands in a directory's `overrides`, by entry key. It says nothing of its own: the tree
does. It only tells which answers must leave that key as it is in the tree.
"""

from __future__ import annotations


class Override:
    """One entry key that answers may not change.

    Attributes:
        pins: how many operations here are under way at the key; while there is one, no answer
            changes it.
        since: answers to LISTs with a lower number were asked for too early to say anything.
        is_changed: the key was changed here since it was pinned.
    """

    __slots__ = ("is_changed", "pins", "since")

    def __init__(self) -> None:
        self.pins = 0
        self.since = 0
        self.is_changed = False

    def __repr__(self) -> str:
        return f"<Override pins={self.pins} since={self.since}>"

    def holds_against(self, sequence: int) -> bool:
        """Tell whether the answer to LIST *sequence* leaves the key as it is."""
        return self.pins > 0 or sequence < self.since
