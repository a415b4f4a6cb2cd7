"""What one `opendir` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.errors import raise_again

if TYPE_CHECKING:
    from mountfs.meta.listing import Listing
    from mountfs.meta.node import Directory, Node

MAX_ENTRIES = 1024
"""Entries handed out at a time, unless the caller knows how many it has room for."""


class DirectoryStream:
    """The entries of a directory as of `opendir`, in an order that does not change.

    Reading and removing by turns, as ``rm -r`` does, skips nothing and shows nothing twice. What is
    created meanwhile may be missing: `rewinddir` needs another stream. The owner must `close` it.
    """

    __slots__ = ("_is_open", "_listing")

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._is_open = True
        listing.reader_count += 1

    @property
    def directory(self) -> Directory:
        """What is listed."""
        return self._listing.directory

    def entries_if_known(
        self, index: int, count: int = MAX_ENTRIES
    ) -> list[tuple[int, Node]] | None:
        """Return up to *count* entries from *index* on, without waiting.

        What was listed and shows nothing any more is left out, so indexes have gaps.

        Returns:
            At least one node, each with the index to go on from behind it; an empty list at the
            end; None if the next one is not known yet.

        Raises:
            StoreError: the entries from *index* on could not be listed.
        """
        listing = self._listing
        child = listing.directory.child
        names = listing.names
        found: list[tuple[int, Node]] = []
        while index < len(names) and len(found) < count:
            # By name: the node may have been replaced meanwhile, or moved to another name.
            node = child(names[index])
            index += 1
            if node is not None:
                found.append((index, node))
        if found or listing.is_complete:
            return found
        raise_again(listing.error)
        return None

    async def entries_from(self, index: int, count: int = MAX_ENTRIES) -> list[tuple[int, Node]]:
        """Return up to *count* entries from *index* on; an empty list only at the end.

        See `entries_if_known`.

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
