"""Where the bytes of a draft are: a map from ranges of the file to sources."""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Source(enum.Enum):
    """Where a range of a draft has its bytes."""

    BASE = enum.auto()
    """In the base object; nothing was written there."""
    HOLE = enum.auto()
    """Nowhere: nothing was written there, and the base does not reach so far. Zeros."""
    MEMORY = enum.auto()
    """In memory."""
    STAGED = enum.auto()
    """In the staging file, at the same offset."""
    SEALED = enum.auto()
    """In the staging file that is not written to any more, at the same offset."""
    ZEROS = enum.auto()
    """Nowhere: it was zeroed."""
    DROPPED = enum.auto()
    """In the store only, as part of an upload that is not complete."""


class RangeMap:
    """Disjoint ranges in order, each with a source; neighbours of the same source are one range.

    Linear in the number of ranges where one is inserted in the middle, constant at the end.
    """

    __slots__ = ("_sources", "_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._sources: list[Source] = []

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int, Source]]:
        return zip(self._starts, self._stops, self._sources, strict=True)

    @property
    def stop(self) -> int:
        """Return where the last range ends; 0 without any."""
        return self._stops[-1] if self._stops else 0

    def set(self, start: int, stop: int, source: Source) -> None:
        """Let ``[start, stop)`` have *source*, whatever was there."""
        stops = self._stops
        if stops and stops[-1] == start and self._sources[-1] is source:
            stops[-1] = stop  # appended, as most files are written
        elif start < stop:
            self._replace(start, stop, source)

    def clear(self, start: int, stop: int | None = None) -> None:
        """Forget ``[start, stop)``; without *stop*, everything from *start* on."""
        stop = self.stop if stop is None else stop
        if start < min(stop, self.stop):
            self._replace(start, stop, None)

    def overlapping(self, start: int, stop: int) -> Iterator[tuple[int, int, Source]]:
        """Yield what is known of ``[start, stop)``, cut to it; nothing may be set meanwhile."""
        starts, stops = self._starts, self._stops
        for index in range(bisect_right(stops, start), len(starts)):
            if starts[index] >= stop or start >= stop:
                return
            yield max(start, starts[index]), min(stop, stops[index]), self._sources[index]

    def has(self, start: int, stop: int, source: Source) -> bool:
        """Tell whether any of ``[start, stop)`` has *source*."""
        return any(found is source for _, _, found in self.overlapping(start, stop))

    def _replace(self, start: int, stop: int, source: Source | None) -> None:
        starts, stops, sources = self._starts, self._stops, self._sources
        low = bisect_right(stops, start)
        high = bisect_left(starts, stop)
        pieces: list[tuple[int, int, Source]] = []
        if low < high and starts[low] < start:
            pieces.append((starts[low], start, sources[low]))
        if source is not None:
            pieces.append((start, stop, source))
        if low < high and stops[high - 1] > stop:
            pieces.append((stop, stops[high - 1], sources[high - 1]))
        if low and stops[low - 1] == start:
            low -= 1
            pieces.insert(0, (starts[low], stops[low], sources[low]))
        if high < len(starts) and starts[high] == stop:
            pieces.append((starts[high], stops[high], sources[high]))
            high += 1
        merged: list[tuple[int, int, Source]] = []
        for piece in pieces:
            if merged and merged[-1][1] == piece[0] and merged[-1][2] is piece[2]:
                merged[-1] = (merged[-1][0], piece[1], piece[2])
            else:
                merged.append(piece)
        starts[low:high] = [piece[0] for piece in merged]
        stops[low:high] = [piece[1] for piece in merged]
        sources[low:high] = [piece[2] for piece in merged]
