"""Attributes and directory entries in the kernel's layout."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mountfs.attributes import BLOCK_SIZE_BYTES
from mountfs.fuse import abi

if TYPE_CHECKING:
    from mountfs.attributes import Attributes, Entry

_NANOSECONDS = 1_000_000_000
_STAT_BLOCK_BYTES = 512
_UNKNOWN_SECONDS = -(1 << 34)
"""Some stores send year 1 for "unknown", which programs do not expect; nobody sets such a time."""
_NO_ENTRY = bytes(abi.ENTRY_OUT.size)
"""Inode 0: the kernel takes the name and the type, and counts no reference."""
MIN_ENTRY_BYTES = abi.ENTRY_OUT.size + abi.DIRENT.size + 8
"""The least that one entry takes: no more of them can fit."""
_ENTRY_BYTES = abi.ENTRY_OUT.size + abi.DIRENT.size
_PADDING = tuple(bytes(-length % 8) for length in range(8))


def pack_entry(entry: Entry) -> bytes:
    """Return a ``fuse_entry_out``."""
    attributes = entry.attributes
    entry_seconds, entry_nanoseconds = split_seconds(entry.entry_seconds)
    attr_seconds, attr_nanoseconds = split_seconds(entry.attr_seconds)
    return abi.ENTRY_OUT.pack(
        attributes.inode,
        0,
        entry_seconds,
        attr_seconds,
        entry_nanoseconds,
        attr_nanoseconds,
        *_attr_fields(attributes),
    )


def pack_attributes(entry: Entry) -> bytes:
    """Return a ``fuse_attr_out``."""
    seconds, nanoseconds = split_seconds(entry.attr_seconds)
    return abi.ATTR_OUT.pack(seconds, nanoseconds, 0, *_attr_fields(entry.attributes))


def split_seconds(seconds: float) -> tuple[int, int]:
    """Return whole seconds and the nanoseconds that remain."""
    whole = int(seconds)
    return whole, int((seconds - whole) * _NANOSECONDS)


def _attr_fields(attributes: Attributes) -> tuple[int, ...]:
    inode, size, mtime_ns, mode, nlink, uid, gid, atime_ns, ctime_ns, rdev = attributes
    seconds, nanoseconds = divmod(mtime_ns, _NANOSECONDS)
    if seconds < _UNKNOWN_SECONDS:
        seconds = 0
    atime, atime_rest = ctime, ctime_rest = seconds, nanoseconds
    if atime_ns is not None:
        atime, atime_rest = divmod(atime_ns, _NANOSECONDS)
    if ctime_ns is not None:
        ctime, ctime_rest = divmod(ctime_ns, _NANOSECONDS)
    blocks = -(-size // _STAT_BLOCK_BYTES)
    return (
        inode,
        size,
        blocks,
        atime,
        seconds,
        ctime,
        atime_rest,
        nanoseconds,
        ctime_rest,
        mode,
        nlink,
        uid,
        gid,
        rdev,
        BLOCK_SIZE_BYTES,
        0,
    )


class EntryList:
    """The reply to a READDIRPLUS, filled until it is full.

    Args:
        size_bytes: what the kernel has room for.
    """

    __slots__ = ("_chunks", "_room")

    def __init__(self, size_bytes: int) -> None:
        self._chunks: list[bytes] = []
        self._room = size_bytes

    def has_room(self, name: bytes) -> bool:
        """Tell whether an entry with this name still fits."""
        length = len(name)
        return _ENTRY_BYTES + length + -length % 8 <= self._room

    def add(self, name: bytes, entry: Entry, next_offset: int) -> None:
        """Append an entry; the kernel counts it as one look-up."""
        attributes = entry.attributes
        self._append(name, pack_entry(entry), attributes.inode, attributes.mode, next_offset)

    def add_name(self, name: bytes, inode: int, mode: int, next_offset: int) -> None:
        """Append a name that the kernel shall look up by itself, if at all."""
        self._append(name, _NO_ENTRY, inode, mode, next_offset)

    def _append(
        self, name: bytes, entry_out: bytes, inode: int, mode: int, next_offset: int
    ) -> None:
        length = len(name)
        chunk = (
            entry_out
            + abi.DIRENT.pack(inode, next_offset, length, stat.S_IFMT(mode) >> 12)
            + name
            + _PADDING[length % 8]
        )
        self._chunks.append(chunk)
        self._room -= len(chunk)

    def to_bytes(self) -> bytes:
        """Return the reply's body."""
        return b"".join(self._chunks)
