"""One iteration of one reader over a stream of files or shards."""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mountfs.datasets.partition import steps_of
from mountfs.datasets.shard_stream import ShardStream
from mountfs.datasets.stream_plan import CountedPlan, Division, Done, Segment, after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.datasets.contents import Contents, EpochContents
    from mountfs.datasets.entry import Openable
    from mountfs.datasets.fetcher import Fetcher
    from mountfs.datasets.item import Item
    from mountfs.datasets.partition import Seat
    from mountfs.datasets.sample_reader import SampleReader


@dataclass(slots=True, kw_only=True)
class ReadingPass:
    """What one reader has to read of an epoch, and how far it came.

    Args:
        seed, epoch, is_shuffled: Say the order.
        history: What was read before, in another division.
        division: How the rest is divided.
        seat: Whose part this is. A reader that resumes may sit on another worker's seat.
        done: How much of it is done.
        is_finished: Whether nothing is left.
    """

    seed: int
    epoch: int
    is_shuffled: bool
    history: tuple[Segment, ...]
    division: Division
    seat: Seat
    done: Done
    is_finished: bool = False

    def batches(
        self, contents: Contents, reader: SampleReader, fetcher: Fetcher
    ) -> Iterator[list[Any]]:
        """Yield the batches that are left, each counted as done before it is yielded.

        Raises:
            OSError: Something cannot be listed or read.
        """
        if contents.expand is None:
            yield from self._file_batches(contents, reader, fetcher)
        else:
            ordered = contents.in_order(self.seed, self.epoch, is_shuffled=self.is_shuffled)
            with closing(ShardStream(ordered.entry, contents.expand, reader)) as shards:
                if self.division.is_counted:
                    yield from self._counted_batches(ordered, shards)
                else:
                    yield from self._whole_shards(ordered, shards)
        self.is_finished = True

    # Files.

    def _file_batches(
        self, contents: Contents, reader: SampleReader, fetcher: Fetcher
    ) -> Iterator[list[Any]]:
        sizes: deque[int] = deque()  # of the batches that were begun

        def items() -> Iterator[Item]:
            for batch in self._entries(contents):
                sizes.append(len(batch))
                for entry in batch:
                    yield entry.item()

        ready = items()
        if reader.transform is not None:  # else nobody reads here
            ready = fetcher.fetch_ahead(ready)
        for first in ready:
            batch = [first, *itertools.islice(ready, sizes.popleft() - 1)]
            samples = [reader.read(item) for item in batch]
            self._count_batch()
            yield samples

    def _entries(self, contents: Contents) -> Iterator[list[Openable]]:
        if not self.is_shuffled and not self.history and self.division.ranks == 1:
            # One rank's batches begin where the listing does: no need to know where it ends.
            yield from self._entries_as_listed(contents)
            return
        ordered = contents.in_order(self.seed, self.epoch, is_shuffled=self.is_shuffled)
        plan = CountedPlan(ordered.ranges_left(self.history), self.division)
        assert isinstance(self.done, int)
        for ranges in plan.batches(self.seat, self.done):
            yield [ordered.entry(p) for start, stop in ranges for p in range(start, stop)]

    def _entries_as_listed(self, contents: Contents) -> Iterator[list[Openable]]:
        entries, size = contents.stream(), self.division.batch_size
        assert isinstance(self.done, int)
        first = self.done * self.seat.workers + self.seat.worker
        for number in itertools.count():
            batch = [*itertools.islice(entries, size)]
            if not batch or (len(batch) < size and self.division.tail == "drop"):
                return
            if number >= first and number % self.seat.workers == self.seat.worker:
                yield batch

    # Shards.

    def _counted_batches(self, contents: EpochContents, shards: ShardStream) -> Iterator[list[Any]]:
        plan = CountedPlan(contents.ranges_left(self.history), self.division)
        assert isinstance(self.done, int)
        last_shard = self._last_shard(plan, contents)
        for ranges in plan.batches(self.seat, self.done):
            batch: list[Any] = []
            for first, last in ranges:
                for piece in contents.pieces(first, last):
                    following = piece[0] + 1 if piece[0] < last_shard else None
                    batch.extend(shards.samples(piece, following))
            self._count_batch()
            yield batch

    def _last_shard(self, plan: CountedPlan, contents: EpochContents) -> int:
        """Return the last shard of which this reader has samples: what follows is not opened."""
        steps = steps_of(plan.steps, self.seat.worker, self.seat.workers)
        ranges = [one for batch in plan.batches(self.seat, max(steps - 1, 0)) for one in batch]
        return max((contents.shard_at(stop - 1) for _, stop in ranges), default=0)

    def _whole_shards(self, contents: EpochContents, shards: ShardStream) -> Iterator[list[Any]]:
        """Yield batches of a worker's own shards; the last batch is what is left."""
        mine = contents.pieces_left(self.history)[self.seat.worker :: self.seat.workers]
        assert isinstance(self.done, list)
        finished, samples = self.done
        batch: list[Any] = []
        pieces = after(mine, self.done)
        for piece, following in itertools.zip_longest(pieces, pieces[1:]):
            for sample in shards.samples(piece, following and following[0]):
                samples += 1
                batch.append(sample)
                if len(batch) == self.division.batch_size:
                    self.done = [finished, samples]
                    yield batch
                    batch = []
            finished, samples = finished + 1, 0
        self.done = [finished, samples]
        if batch and self.division.tail != "drop":
            yield batch

    def _count_batch(self) -> None:
        assert isinstance(self.done, int)
        self.done += 1
