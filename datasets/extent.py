"""Which bytes of a file will be read, and how few reads get them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """Bytes ``[start, stop)`` of a file."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def coalesce(extents: Iterable[Extent], *, gap_max_bytes: int, max_bytes: int) -> list[Extent]:
    """Join neighbours to reads, in the order of their offsets.

    Each extent is within one read. A read has no more than *max_bytes* unless a single extent
    does, and reads over gaps of up to *gap_max_bytes* that nobody wants. Reads overlap only where
    extents do.
    """
    reads: list[Extent] = []
    for extent in sorted(extents):
        if reads:
            last = reads[-1]
            joined = Extent(last.start, max(last.stop, extent.stop))
            is_within = extent.stop <= last.stop
            is_near = extent.start - last.stop <= gap_max_bytes
            if is_within or (is_near and len(joined) <= max_bytes):
                reads[-1] = joined
                continue
        reads.append(extent)
    return reads
