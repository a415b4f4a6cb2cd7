"""A stretch of a draft in memory.

Its bytes are handed out as views, without a copy, to the kernel, to the store and to the disk. What
was handed out never changes: whoever writes to a piece that has views out writes to a copy. No
flag says so, since nobody could say when to take it back; CPython counts the views of a
`bytearray` and refuses to resize one that has any.
"""

from __future__ import annotations


def has_views(data: bytearray) -> bool:
    """Tell whether a `memoryview` of *data*, which is not empty, exists anywhere."""
    try:
        data.append(data.pop())  # no allocation: it fits where it was
    except BufferError:
        return True
    return False


class DraftPiece:
    """The bytes from *start* on.

    Where nothing was written, between two writes, they are zeros that mean nothing.

    Attributes:
        start: where in the file it begins.
        data: the bytes; another object after each write that had to copy them.
    """

    __slots__ = ("data", "start")

    def __init__(self, start: int, data: memoryview) -> None:
        self.start = start
        self.data = bytearray(data)

    @property
    def stop(self) -> int:
        """Return where in the file it ends."""
        return self.start + len(self.data)

    def growth_bytes(self, start: int, stop: int) -> int:
        """Return how many bytes more it takes to cover ``[start, stop)`` as well."""
        return max(self.stop, stop) - min(self.start, start) - len(self.data)

    def view(self, start: int, stop: int) -> memoryview:
        """Return ``[start, stop)``, which it covers; it will never change."""
        return memoryview(self.data)[start - self.start : stop - self.start]

    def write(self, start: int, data: memoryview) -> None:
        """Put *data* to *start*."""
        held = self.data
        at = start - self.start
        size = len(held)
        if at == size:
            try:
                held += data
            except BufferError:
                self.data = held + data
        elif at >= 0 and at + len(data) <= size:
            if has_views(held):
                held = self.data = bytearray(held)
            memoryview(held)[at : at + len(data)] = data
        else:
            self._rebuild(start, data)

    def _rebuild(self, start: int, data: memoryview) -> None:
        """Write beyond one of the ends, or across it."""
        first = min(self.start, start)
        grown = bytearray(max(self.stop, start + len(data)) - first)
        with memoryview(grown) as view:
            view[self.start - first : self.stop - first] = self.data
            view[start - first : start - first + len(data)] = data
        self.start, self.data = first, grown
