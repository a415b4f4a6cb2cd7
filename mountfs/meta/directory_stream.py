"""What one `opendir` reads."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mountfs.meta.listing import Listing
    from mountfs.meta.node import Node

MAX_ENTRIES = 1024
"""Entries handed out at a time, unless the caller knows how many it has room for."""


class DirectoryStream:
    """The entries of a directory as of `opendir`, in an order that does not change.

    The owner must `close` it.
    """

    __slots__ = ("_is_open", "_listing")

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._is_open = True
        listing.reader_count += 1

    def entries_if_known(self, index: int, count: int = MAX_ENTRIES) -> list[Node] | None:
        """Return up to *count* entries from *index* on, without waiting.

        Returns:
            At least one entry; an empty list at the end; None if the next one is not known yet.

        Raises:
            StoreError: the entries from *index* on could not be listed.
        """
        listing = self._listing
        if index < len(listing.entries):
            return [_current(node) for node in listing.entries[index : index + count]]
        if listing.is_complete:
            return []
        if listing.error is not None:
            raise copy.copy(listing.error) from listing.error
        return None

    async def entries_from(self, index: int, count: int = MAX_ENTRIES) -> list[Node]:
        """Return up to *count* entries from *index* on; an empty list only at the end.

        Raises:
            StoreError: the entries from *index* on could not be listed.
        """
        while (entries := self.entries_if_known(index, count)) is None:
            await self._listing.wait_for_change()
        return entries

    def close(self) -> None:
        """Read no more; pages that nobody else waits for are not fetched."""
        if self._is_open:
            self._is_open = False
            self._listing.reader_count -= 1


def _current(node: Node) -> Node:
    """Return what the node's name shows now, if it still shows anything."""
    return node.parent.child(node.name) or node
