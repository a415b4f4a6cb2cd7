"""A look at whether a place can be read, and how fast: what to try before a training."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.datasets.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.datasets.entry import Entry

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many files and bytes in so many seconds."""

    files: int
    size_bytes: int
    seconds: float

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        text = f"{self.files} files in {self.seconds:.3f} s: {self.files / seconds:.0f} files/s"
        if self.size_bytes:
            text += f", {self.size_bytes / 1e6:.3f} MB, {self.size_bytes / 1e6 / seconds:.1f} MB/s"
        return text


def list_some(place: str, files_max: int) -> tuple[list[Entry], Rate]:
    """Return up to *files_max* files of a place, and how long it took to list them.

    Raises:
        OSError: It is not there, not mounted, or cannot be listed.
    """
    started = time.perf_counter()
    entries = [*itertools.islice(Source.of(place), files_max)]
    seconds = time.perf_counter() - started
    return entries, Rate(files=len(entries), size_bytes=0, seconds=seconds)


def choose(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Return up to *count* entries, evenly from all over the list."""
    count = min(count, len(entries))
    return [entries[number * len(entries) // count] for number in range(count)]


def read_some(entries: Sequence[Entry], *, threads: int, bytes_max: int) -> Rate:
    """Read the beginning of files, several at a time.

    Raises:
        OSError: One of them cannot be read.
    """

    def read(entry: Entry) -> int:
        left_bytes = bytes_max
        with entry.item() as item:
            while left_bytes and (piece := item.read(min(left_bytes, PIECE_BYTES))):
                left_bytes -= len(piece)
        return bytes_max - left_bytes

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as executor:
        size_bytes = sum(executor.map(read, entries))
    seconds = time.perf_counter() - started
    return Rate(files=len(entries), size_bytes=size_bytes, seconds=seconds)
