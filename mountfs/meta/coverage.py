"""Which stretches of a directory are known, and since when.

The store sorts keys by their bytes, and a LIST answers for one stretch of that order. Within a
directory the order is that of *entry keys*: ``name`` for a file, ``name/`` for a subdirectory. A
stretch is known as a whole: what is not in it does not exist.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from mountfs.keys import KEY_MAX_BYTES

END = b"\xff" * (KEY_MAX_BYTES + 1)
"""Behind every entry key: no key is longer than `KEY_MAX_BYTES`, and no byte is above 0xff."""

_start_of = attrgetter("start")
_stop_of = attrgetter("stop")


class Stretch:
    """What one answer says: the entry keys in ``[start, stop)``, and when it was asked for.

    Attributes:
        start, stop: entry keys, half-open.
        sent_at: when the LIST was sent.
        sequence: the number of the LIST; a higher one was sent later.
        keys: the entry keys that exist, in order.
    """

    __slots__ = ("keys", "sent_at", "sequence", "start", "stop")

    def __init__(
        self, start: bytes, stop: bytes, sent_at: float, sequence: int, keys: list[bytes]
    ) -> None:
        self.start = start
        self.stop = stop
        self.sent_at = sent_at
        self.sequence = sequence
        self.keys = keys


class Coverage:
    """The known stretches of one directory: disjoint, in order.

    Their boundaries are those of the pages as the store cut them, so asking again from a boundary
    on brings the same page again: this is what makes a refresh cost one LIST a page.
    """

    __slots__ = ("stretches",)

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def find(self, position: bytes) -> Stretch | None:
        """Return the stretch that *position* lies in."""
        index = bisect_right(self.stretches, position, key=_start_of) - 1
        if index >= 0 and position < self.stretches[index].stop:
            return self.stretches[index]
        return None

    def overlapping(self, start: bytes, stop: bytes) -> list[Stretch]:
        """Return the stretches that share something with ``[start, stop)``, in order."""
        first = bisect_right(self.stretches, start, key=_stop_of)
        last = bisect_left(self.stretches, stop, lo=first, key=_start_of)
        return self.stretches[first:last]

    def keys_between(self, start: bytes, stop: bytes) -> list[bytes]:
        """Return the existing entry keys in ``[start, stop)``, in order."""
        found: list[bytes] = []
        for stretch in self.overlapping(start, stop):
            low, high = _cut(stretch, start, stop)
            found += stretch.keys[low:high]
        return found

    def put(self, new: Stretch) -> list[bytes]:
        """Let *new* replace what was known of its range; return the entry keys known before."""
        first = bisect_right(self.stretches, new.start, key=_stop_of)
        last = bisect_left(self.stretches, new.stop, lo=first, key=_start_of)
        replacement = [new]
        before: list[bytes] = []
        for old in self.stretches[first:last]:
            low, high = _cut(old, new.start, new.stop)
            before += old.keys[low:high]
            if old.start < new.start:
                head = Stretch(old.start, new.start, old.sent_at, old.sequence, old.keys[:low])
                replacement.insert(0, head)
            if old.stop > new.stop:
                tail = Stretch(new.stop, old.stop, old.sent_at, old.sequence, old.keys[high:])
                replacement.append(tail)
        self.stretches[first:last] = replacement
        return before

    def complete_since(self) -> float:
        """Return since when all of the directory is known, or minus infinity when it is not."""
        position = b""
        oldest = float("inf")
        for stretch in self.stretches:
            if stretch.start != position:
                return float("-inf")
            position = stretch.stop
            oldest = min(oldest, stretch.sent_at)
        return oldest if position == END else float("-inf")


def _cut(stretch: Stretch, start: bytes, stop: bytes) -> tuple[int, int]:
    """Return which of the keys of *stretch* lie in ``[start, stop)``, as indexes, half-open."""
    low = bisect_left(stretch.keys, start) if stretch.start < start else 0
    high = bisect_left(stretch.keys, stop) if stretch.stop > stop else len(stretch.keys)
    return low, high
