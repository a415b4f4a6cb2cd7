"""What a dataset consists of: files or shards, and how many samples these have."""

from __future__ import annotations

import itertools
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from mountfs.datasets.archive import find_counter
from mountfs.datasets.order import shuffled
from mountfs.datasets.shard_stream import count_samples
from mountfs.datasets.source import Source, Spec
from mountfs.datasets.stream_plan import Piece, Segment, pieces_left, ranges_left, shard_pieces

if TYPE_CHECKING:
    import torch

    from mountfs.datasets.entry import Openable
    from mountfs.datasets.item import Item

Expand: TypeAlias = "Callable[..., Iterable[Any]]"
"""A function of an item; one with a parameter ``start`` leaves out so many samples itself."""

Counts: TypeAlias = "Sequence[int] | Callable[[Item], int]"


COUNTING_THREADS = 16
"""Indexes of archives that are read at the same time; what takes time is that the store answers."""


class Listable(Protocol):
    """What can say what there is, when it is asked."""

    def listing(self) -> Sequence[Openable]:
        """List everything."""
        ...


Contained: TypeAlias = "Spec | Sequence[Openable] | Listable"


class Contents:
    """Entries, listed once and then kept, and sample counts, counted once.

    Args:
        source: What ``Source.of`` takes, a sequence of what has items, or what lists one.
        expand: Yields the samples of a shard; None where a file is one.
        counts: The number of samples of each shard, or how to find out; None to look.
    """

    def __init__(
        self,
        source: Contained,
        expand: Expand | None = None,
        counts: Counts | None = None,
    ) -> None:
        if expand is not None and not callable(expand):
            raise TypeError(f"expand is a function of a shard, not {expand!r}")
        if counts is not None and expand is None:
            raise ValueError("counts needs expand: a file that is not expanded is one sample")
        self.expand = expand
        self._source = _resolve(source)
        self._counts = counts
        self._listed: Sequence[Openable] | None = None
        self._counted: array[int] | None = None

    @property
    def has_counts(self) -> bool:
        """Whether the number of samples is known, or found out, without reading the samples."""
        return self.expand is None or self._counts is not None or self._counted is not None

    @property
    def entries(self) -> Sequence[Openable]:
        """All entries.

        Raises:
            OSError: They cannot be listed.
        """
        if self._listed is None:
            source = self._source
            self._listed = source if isinstance(source, Sequence) else source.listing()
        return self._listed

    def stream(self) -> Iterator[Openable]:
        """Yield all entries, as they are listed where they are not yet."""
        if self._listed is None and isinstance(self._source, Source):
            return iter(self._source)
        return iter(self.entries)

    @property
    def total(self) -> int | None:
        """How many entries there are, if they are listed."""
        return None if self._listed is None else len(self._listed)

    def counts(self) -> array[int]:
        """Return how many samples each entry has.

        Raises:
            ValueError: Counts were given, but not as many.
            OSError: A shard cannot be counted.
        """
        if self._counted is None:
            counted = array("q", self._count())
            if len(counted) != len(self.entries):
                raise ValueError(f"{len(counted)} counts for {len(self.entries)} shards")
            self._counted = counted
        return self._counted

    def _count(self) -> Iterable[int]:
        entries, counts = self.entries, self._counts
        if self.expand is None:
            return itertools.repeat(1, len(entries))
        if counts is not None and not callable(counts):
            return counts
        known = find_counter(self.expand)
        count = counts or known
        if count is None:
            return count_samples(entries, self.expand)
        if count is not known:  # nobody says that it may run in several threads
            return [count(one.item()) for one in entries]
        with ThreadPoolExecutor(COUNTING_THREADS, "mountfs-count") as pool:
            return [*pool.map(lambda one: known(one.item()), entries)]

    def in_order(self, seed: int, epoch: int, *, is_shuffled: bool) -> EpochContents:
        """Return the contents in the order of an epoch."""
        order = shuffled(len(self.entries), seed, epoch) if is_shuffled else None
        return EpochContents(self, order)


class EpochContents:
    """Contents in the order of one epoch. Positions count samples in this order."""

    def __init__(self, contents: Contents, order: torch.Tensor | None) -> None:
        self._contents = contents
        self._order = order
        self._starts: list[int] | None = None

    def entry(self, number: int) -> Openable:
        """Return the entry with this number in the order."""
        return self._contents.entries[number if self._order is None else int(self._order[number])]

    def pieces(self, first: int, last: int) -> Iterator[Piece]:
        """Yield the pieces of shards at these positions."""
        return shard_pieces(self._positions(), first, last)

    def shard_at(self, position: int) -> int:
        """Return which shard in the order holds the sample at a position."""
        return bisect_right(self._positions(), position) - 1

    def ranges_left(self, history: Sequence[Segment]) -> Sequence[tuple[int, int]]:
        """Return the positions that nobody read yet, where samples can be counted.

        Segments of an epoch begin uncounted or never: shards that were counted once stay so.
        """
        if self._contents.expand is None:
            total = len(self._contents.entries)
            return ranges_left([(0, total)] if total else [], history)
        starts = self._positions()
        whole = [segment for segment in history if not segment.division.is_counted]
        left = [
            (starts[shard] + start, starts[shard + 1])
            for shard, start, _ in pieces_left(len(starts) - 1, whole)
        ]
        return ranges_left(left, history[len(whole) :])

    def pieces_left(self, history: Sequence[Segment]) -> list[Piece]:
        """Return the shards that nobody finished yet, and where to go on, where nobody counts."""
        return pieces_left(len(self._contents.entries), history)

    def _positions(self) -> list[int]:
        """Return at which position each shard starts, and that of the end."""
        if self._starts is None:
            counts = self._contents.counts()
            ordered = counts if self._order is None else (counts[i] for i in self._order.tolist())
            self._starts = [0, *accumulate(ordered)]
        return self._starts


def _resolve(source: Any) -> Sequence[Openable] | Listable:
    """Return what was given, if that has items or can list them; else what it describes."""
    if hasattr(source, "listing"):
        listable: Listable = source
        return listable
    # The strings of numpy have an ``item``, too.
    is_name = isinstance(source, str) or not isinstance(source, Sequence) or not source
    if is_name or isinstance(source[0], str | os.PathLike) or not hasattr(source[0], "item"):
        return Source.of(source)
    openables: Sequence[Openable] = source
    return openables
