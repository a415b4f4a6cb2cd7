"""The hidden ``.mountfs/`` directory at the root of a mount.

Its files are made when they are looked up: each look-up is an inode of its own with the text of
that moment, so that size and contents always agree, with and without ``open``.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from mountfs.keys import CONTROL_NAME

if TYPE_CHECKING:
    from mountfs.attributes import Attributes, AttributesSource

NAME = CONTROL_NAME
FIRST_INODE = 1 << 62
"""Far from the numbers that the namespace gives out."""


class ControlTexts(Protocol):
    """Where the texts come from."""

    def names(self) -> list[bytes]:
        """Return the names of all files."""
        ...

    def read(self, name: bytes) -> bytes | None:
        """Return the text of *name* as of now, or None when there is no such file."""
        ...


class ControlDirectory:
    """Inodes for the control files, each with its text."""

    def __init__(self, texts: ControlTexts, attributes: AttributesSource, now_ns: int) -> None:
        self.inode = FIRST_INODE
        self._texts = texts
        self._attributes = attributes
        self._mtime_ns = now_ns
        self._snapshots: dict[int, bytes] = {}
        self._next_inode = FIRST_INODE + 1

    def lookup(self, name: bytes) -> Attributes:
        """Make an inode with the present text of *name*.

        Raises:
            OSError: there is no such file.
        """
        text = self._texts.read(name)
        if text is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        inode = self._next_inode
        self._next_inode += 1
        self._snapshots[inode] = text
        return self._attributes.of_file(inode, len(text), self._mtime_ns)

    def attributes(self, inode: int) -> Attributes | None:
        """Return what ``stat`` shows of *inode*; None when it is none of ours or forgotten."""
        if inode == self.inode:
            return self._attributes.of_directory(inode, self._mtime_ns)
        text = self._snapshots.get(inode)
        if text is None:
            return None
        return self._attributes.of_file(inode, len(text), self._mtime_ns)

    def names(self) -> list[bytes]:
        """Return the names of all files."""
        return self._texts.names()

    def read(self, inode: int, start: int, stop: int) -> bytes:
        """Return a piece of the text of *inode*.

        Raises:
            OSError: the inode is none of ours, or forgotten.
        """
        text = self._snapshots.get(inode)
        if text is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return text[start:stop]

    def forget(self, inode: int) -> None:
        """Drop the text of *inode*, which the kernel does not know any more."""
        self._snapshots.pop(inode, None)
