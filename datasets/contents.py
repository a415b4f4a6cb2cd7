"""What a dataset consists of: files or shards, and how many samples these have."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mountfs.datasets.order import shuffled
from mountfs.datasets.shard_stream import count_samples
from mountfs.datasets.source import Source, Spec
from mountfs.datasets.stream_plan import Piece, Segment, pieces_left, ranges_left, shard_pieces

if TYPE_CHECKING:
    import torch

    from mountfs.datasets.entry import Openable
    from mountfs.datasets.item import Item

Expand = Callable[["Item"], Iterable[Any]]
Counts = Sequence[int] | Callable[["Item"], int]


class Contents:
    """Entries, listed once and then kept, and sample counts, counted once.

    Args:
        source: What ``Source.of`` takes, or a sequence of what has items.
        expand: Yields the samples of a shard; None where a file is one.
        counts: The number of samples of each shard, or how to find out; None to look.
    """

    def __init__(
        self,
        source: Spec | Sequence[Openable],
        expand: Expand | None = None,
        counts: Counts | None = None,
    ) -> None:
        if counts is not None and expand is None:
            raise ValueError("counts needs expand: a file that is not expanded is one sample")
        self.expand = expand
        self._source = source
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
            self._listed = self._given() or Source.of(self._source).listing()  # type: ignore[arg-type]
        return self._listed

    def stream(self) -> Iterator[Openable]:
        """Yield all entries, as they are listed where they are not yet."""
        if self._listed is not None or self._given():
            return iter(self.entries)
        return iter(Source.of(self._source))  # type: ignore[arg-type]

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
            entries, counts = self.entries, self._counts
            if self.expand is None:
                self._counted = array("q", [1]) * len(entries)
            elif counts is None:
                self._counted = array("q", count_samples(entries, self.expand))
            elif callable(counts):
                self._counted = array("q", [counts(one.item()) for one in entries])
            else:
                self._counted = array("q", counts)
            if len(self._counted) != len(entries):
                raise ValueError(f"{len(self._counted)} counts for {len(entries)} shards")
        return self._counted

    def in_order(self, seed: int, epoch: int, *, is_shuffled: bool) -> EpochContents:
        """Return the contents in the order of an epoch."""
        order = shuffled(len(self.entries), seed, epoch) if is_shuffled else None
        return EpochContents(self, order)

    def _given(self) -> Sequence[Openable] | None:
        """Return the source itself, if that is a sequence of what has items."""
        source = self._source
        if not isinstance(source, Sequence) or not source:
            return None
        # The strings of numpy have an ``item``, too.
        is_name = isinstance(source[0], str | os.PathLike)
        return None if is_name or not hasattr(source[0], "item") else source  # type: ignore[return-value]


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
