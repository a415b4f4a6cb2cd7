"""What a source says about one file, before anybody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

from mountfs.datasets.item import Item


class Openable(Protocol):
    """What an entry and a member in the index of an archive have in common."""

    def item(self) -> Item:
        """Return what to read, which nothing has opened yet."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A file that a source lists: small, immutable, picklable."""

    path: str
    label: Any = None

    def item(self) -> Item:
        """Return the file to read, which nothing has opened yet."""
        return Item.of(self.path, label=self.label)
