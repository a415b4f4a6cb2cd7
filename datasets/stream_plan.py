"""Which samples of which shards a reader streams, also after an interruption. Pure.

Two ways to divide an epoch. Where the number of samples of every shard is known, positions are cut
and dealt as ``partition`` says: equally many batches for every rank, each sample once. Where it is
not (one rank only), workers take whole shards.

An epoch that was interrupted is a history of *segments*: how it was divided, and how far each
worker came. What these left over is divided again, among however many readers there are now.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from mountfs.datasets.partition import Seat, Tail, batch_number, cut_by_count, rest_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Piece: TypeAlias = tuple[int, int, int | None]
"""A shard's place in the order of the epoch, its first sample, and its end where that is known."""

Done: TypeAlias = "int | list[int]"
"""How far a worker came: batches; or, of whole shards, how many, and samples of the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How an epoch, or what was left of it, is divided."""

    ranks: int
    workers: int
    batch_size: int
    tail: Tail
    is_counted: bool
    is_in_runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A division, and how far each worker came; None where only the worker itself knows."""

    division: Division
    done: tuple[Done | None, ...]

    def to_state(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"division": asdict(self.division), "done": [*self.done]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Segment:
        """Return what ``to_state`` was made of."""
        return cls(division=Division(**state["division"]), done=tuple(state["done"]))

    def turns(self) -> int | None:
        """Return how many batches a rank had, if its workers had them in turns; else None."""
        workers = self.division.workers
        if not self.division.is_counted or not all(isinstance(one, int) for one in self.done):
            return None
        steps = sum(one for one in self.done if isinstance(one, int))
        is_in_turns = self.done == tuple(steps_of(steps, w, workers) for w in range(workers))
        return steps if is_in_turns else None


class CountedPlan:
    """The division of samples whose number is known.

    Args:
        ranges: Positions in the order of the epoch that are to be read.
        division: Among whom.

    Raises:
        ValueError: ``exact`` is not possible.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]], division: Division) -> None:
        self._ranges = ranges
        self._division = division
        # Where each range starts among the positions that are counted without gaps.
        self._starts = [0, *accumulate(stop - start for start, stop in ranges)]
        self._total = self._starts[-1]
        self._cuts = cut_by_count(
            self._total, division.batch_size, division.ranks, division.tail
        )  # fmt: skip
        self.steps = (len(self._cuts) - 1) // division.ranks

    def batches(self, seat: Seat, done: int) -> Iterator[list[tuple[int, int]]]:
        """Yield a worker's batches after the first ones, each as ranges of positions."""
        is_in_runs = self._division.is_in_runs
        for step in range(done, steps_of(self.steps, seat.worker, seat.workers)):
            number = batch_number(step, seat, self.steps, is_in_runs=is_in_runs)
            yield [*self._positions(self._cuts[number], self._cuts[number + 1])]

    def rest(self, done: Sequence[int]) -> list[tuple[int, int]]:
        """Return the ranges of positions that nobody read, if each worker came so far."""
        division = self._division
        left = rest_of(
            self._cuts, self._total, division.ranks, done, is_in_runs=division.is_in_runs
        )  # fmt: skip
        return [one for start, stop in left for one in self._positions(start, stop)]

    def _positions(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield what a range without gaps means; past the end it begins again."""
        while start < stop:
            round_start = start - start % self._total
            local = start - round_start
            index = bisect_right(self._starts, local) - 1
            first, last = self._ranges[index]
            skipped = local - self._starts[index]
            count = min(stop - start, last - first - skipped)
            yield first + skipped, first + skipped + count
            start += count


def ranges_left(
    ranges: Sequence[tuple[int, int]], history: Iterable[Segment]
) -> Sequence[tuple[int, int]]:
    """Return which positions of these are left after counted segments."""
    for segment in history:
        done = [one for one in segment.done if isinstance(one, int)]
        assert len(done) == segment.division.workers
        ranges = CountedPlan(ranges, segment.division).rest(done)
    return ranges


def pieces_left(shards: int, history: Iterable[Segment]) -> list[Piece]:
    """Return what an epoch of shards of unknown length has left."""
    pieces: list[Piece] = [(number, 0, None) for number in range(shards)]
    for segment in history:
        left: list[Piece] = []
        for worker, done in enumerate(segment.done):
            assert isinstance(done, list)
            left += after(pieces[worker :: segment.division.workers], done)
        pieces = sorted(left, key=lambda piece: piece[0])
    return pieces


def after(pieces: Sequence[Piece], done: Sequence[int]) -> list[Piece]:
    """Return a worker's pieces without those that are finished, nor the start of the next one."""
    finished, samples = done
    left = [*pieces[finished:]]
    if left and samples:
        shard, start, stop = left[0]
        left[0] = (shard, start + samples, stop)
    return left


def shard_pieces(starts: Sequence[int], first: int, last: int) -> Iterator[Piece]:
    """Yield the pieces of shards that are the positions ``[first, last)``.

    Args:
        starts: The position at which each shard starts, and that of the end.
        first: (inclusive)
        last: (exclusive)
    """
    while first < last:
        shard = bisect_right(starts, first) - 1
        stop = min(last, starts[shard + 1])
        yield shard, first - starts[shard], stop - starts[shard]
        first = stop
