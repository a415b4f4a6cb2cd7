"""The memory budget of the mount: who may hold how much object data.

A fill in flight is counted twice until it is complete: CRT collects the bytes in a buffer of its
own before it hands them over. Demand (an application waits for exactly these bytes) is never
refused, so nothing can deadlock; it may exceed the limit by what one request needs, for each
reader. Read-ahead is refused instead, and a stream never gets more than its fair share.
"""

from __future__ import annotations


class Budget:
    """Counts bytes against a limit.

    Attributes:
        limit_bytes: what should not be exceeded.
        used_bytes: what is reserved now.
        peak_bytes: the most that ever was.
    """

    __slots__ = ("limit_bytes", "peak_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether *size_bytes* more would stay within the limit."""
        return self.used_bytes + size_bytes <= self.limit_bytes

    def reserve(self, size_bytes: int) -> None:
        """Take *size_bytes*, also where there is no room: `has_room` is asked before."""
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def release(self, size_bytes: int) -> None:
        """Give back *size_bytes*."""
        self.used_bytes -= size_bytes
        assert self.used_bytes >= 0, "more was released than reserved"
