"""The decompressors of the standard library behind one interface, that of bz2 and lzma."""

from __future__ import annotations

import zlib
from typing import Protocol


class Decompressor(Protocol):
    """Decompresses one stream, and at most so much at once."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether more input gives more output; else pass empty bytes."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the next bytes, at most *max_length*."""
        ...


class ZlibDecompressor:
    """zlib's decompressor, which lacks half of that.

    Args:
        wbits: which headers and checksums zlib expects, as `zlib.decompressobj` has it.
    """

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the stream."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the next bytes, at most *max_length*.

        Raises:
            zlib.error: they are damaged.
        """
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
        self.needs_input = not self._inner.unconsumed_tail and len(out) != max_length
        return out
