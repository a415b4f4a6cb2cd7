"""Bytes for an upload of any size, made while they are read."""

from __future__ import annotations

import io
import random

BLOCK_BYTES = 1024 * 1024
"""Repeated; not compressible within, and nothing on the way looks further."""


class PatternStream(io.RawIOBase):
    """A readable, seekable stream of *size_bytes*, a function of *name* alone."""

    def __init__(self, name: str, size_bytes: int) -> None:
        block = random.Random(name).randbytes(min(BLOCK_BYTES, max(1, size_bytes)))
        self._block = memoryview(block)
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Tell that it is."""
        return True

    def seekable(self) -> bool:
        """Tell that it is."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and return the new position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}
        self._position = origin[whence] + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill as much of *buffer* as the end of a block allows."""
        start = self._position % len(self._block)
        left = max(0, self._size_bytes - self._position)
        count = min(len(buffer), len(self._block) - start, left)
        buffer[:count] = self._block[start : start + count]
        self._position += count
        return count
