"""The bytes of an object in memory, where zeros that nobody wrote take none."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.objects import Body

_Piece = bytes | int
"""Bytes, or a number of zeros."""


class Content:
    """Bytes that never change.

    Args:
        pieces: bytes, or numbers of zeros, in order.

    Attributes:
        size_bytes: how many there are.
    """

    __slots__ = ("_pieces", "size_bytes")

    def __init__(self, pieces: Iterable[_Piece]) -> None:
        self._pieces = tuple(pieces)
        self.size_bytes = sum(map(_length, self._pieces))

    @classmethod
    def of_body(cls, body: Body) -> Content:
        """Return a copy of what *body* holds now."""
        return cls((b"".join(body),))

    @classmethod
    def joined(cls, contents: Iterable[Content]) -> Content:
        """Return all of them, one behind the other."""
        return cls(piece for content in contents for piece in content._pieces)

    def slice(self, start: int, stop: int) -> Content:
        """Return the bytes ``[start, stop)``."""
        pieces: list[_Piece] = []
        offset = 0
        for piece in self._pieces:
            first, last = max(start - offset, 0), min(stop - offset, _length(piece))
            if first < last:
                pieces.append(last - first if isinstance(piece, int) else piece[first:last])
            offset += _length(piece)
        return Content(pieces)

    def to_bytes(self) -> bytes:
        """Return the bytes themselves."""
        return b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in self._pieces)

    def digest(self) -> bytes:
        """Return an MD5: of the bytes, or of a description where there are zeros in bulk."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces:
            digest.update(b"%d zeros" % piece if isinstance(piece, int) else piece)
        return digest.digest()


def _length(piece: _Piece) -> int:
    return piece if isinstance(piece, int) else len(piece)
