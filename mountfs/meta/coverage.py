"""Which stretches of a directory are known, and since when.

The store sorts keys by their bytes, and a LIST answers for one stretch of that order. Within a
directory the order is that of *entry keys*: ``name`` for a file, ``name/`` for a subdirectory. A
stretch is known as a whole: what is not in it does not exist.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import attrgetter

from mountfs.keys import KEY_MAX_BYTES
from mountfs.meta.position import after_entry

END = b"\xff" * (KEY_MAX_BYTES + 1)
"""Behind every entry key: no key is longer than `KEY_MAX_BYTES`, and no byte is above 0xff."""

PAGE_KEYS = 1000
"""Keys of a stretch as the store cuts them."""

MAX_KEYS = 2 * PAGE_KEYS
"""A stretch to which more were added here is cut: one LIST would not bring it again, and every
addition moves what is behind it."""

_start_of = attrgetter("start")
_stop_of = attrgetter("stop")


class Stretch:
    """What one answer says: the entry keys in ``[start, stop)``, and when it was asked for.

    Attributes:
        start, stop: entry keys, half-open.
        sent_at: when the LIST was sent.
        sequence: the number of the LIST; a higher one was sent later.
        keys: the entry keys that exist, in order.
        may_hide: keys of the store may be left out; False says for sure that there are none.
    """

    __slots__ = ("keys", "may_hide", "sent_at", "sequence", "start", "stop")

    def __init__(
        self,
        start: bytes,
        stop: bytes,
        sent_at: float,
        sequence: int,
        keys: list[bytes],
        *,
        may_hide: bool = False,
    ) -> None:
        self.start = start
        self.stop = stop
        self.sent_at = sent_at
        self.sequence = sequence
        self.keys = keys
        self.may_hide = may_hide

    def part(self, start: bytes, stop: bytes, keys: list[bytes]) -> Stretch:
        """Return what is known of ``[start, stop)``, which lies in it, and where *keys* are."""
        return Stretch(start, stop, self.sent_at, self.sequence, keys, may_hide=self.may_hide)


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
                replacement.insert(0, old.part(old.start, new.start, old.keys[:low]))
            if old.stop > new.stop:
                replacement.append(old.part(new.stop, old.stop, old.keys[high:]))
        self.stretches[first:last] = replacement
        return before

    def add(self, key: bytes) -> None:
        """Let *key* exist, which was not known to.

        Where nothing is known it gets a stretch of its own, which no listing believes: nothing was
        asked.
        """
        stretch = self.find(key)
        if stretch is None:
            self.put(Stretch(key, after_entry(key), float("-inf"), 0, [key]))
            return
        insort(stretch.keys, key)
        if len(stretch.keys) > MAX_KEYS:
            self._cut_behind(stretch, PAGE_KEYS)

    def remove(self, key: bytes) -> None:
        """Let *key*, which was known to exist, exist no more."""
        stretch = self.find(key)
        assert stretch is not None, f"{key!r} is not covered"
        index = bisect_left(stretch.keys, key)
        assert stretch.keys[index] == key, f"{key!r} does not exist"
        del stretch.keys[index]

    def _cut_behind(self, stretch: Stretch, count: int) -> None:
        """Leave *stretch* its first *count* keys, and the rest to one behind it."""
        place = after_entry(stretch.keys[count - 1])
        rest = stretch.part(place, stretch.stop, stretch.keys[count:])
        stretch.stop = place
        del stretch.keys[count:]
        index = bisect_right(self.stretches, stretch.start, key=_start_of)
        self.stretches.insert(index, rest)

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
