"""Who reads what: cuts a sequence of samples into batches, and deals these to ranks and workers.

Pure arithmetic on positions in the order of an epoch. Knows nothing of files, processes or torch.
Everything holds for any number of ranks and workers, and for what an interrupted epoch left over.

A *cut list* holds where batches end: batch ``k`` is the positions ``[cuts[k], cuts[k + 1])``. It
always has the same number of batches for every rank, none of them empty. A step is one batch on
each rank.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Tail: TypeAlias = Literal["exact", "pad", "drop"]
"""What becomes of the samples that do not fill a step: shared evenly, repeated or left out."""

TAILS: tuple[Tail, ...] = ("exact", "pad", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which of how many readers somebody is: the rank's process, and the worker within it."""

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1


def cut_by_count(total: int, batch_size: int, ranks: int, tail: Tail) -> array[int]:
    """Cut into batches of equally many samples.

    All steps are full but the last ones. What is left for these, fewer than a step takes, is with

    - ``exact`` shared evenly, so that each sample comes once and no batch is too large;
    - ``pad`` filled up to the same number on each rank, with positions from ``total`` on, which
      mean the sequence from its start again;
    - ``drop`` left out.

    Raises:
        ValueError: ``exact`` has no solution: fewer samples than ranks, or a batch size of one and
            a number of samples that the ranks do not divide.
    """
    step = ranks * batch_size
    full_steps, rest = divmod(total, step)
    cuts = array("q", range(0, full_steps * step + 1, batch_size))
    if not rest or tail == "drop":
        return cuts
    if tail == "pad":
        _share(cuts, -(-rest // ranks) * ranks, ranks)
        return cuts
    if rest >= ranks:
        _share(cuts, rest, ranks)
        return cuts
    if batch_size == 1 or not full_steps:
        raise ValueError(
            f"tail='exact' cannot give {ranks} ranks equally many batches of up to {batch_size} "
            f"of {total} samples: use larger batches, tail='pad' or tail='drop'"
        )
    # Too few for a step of their own: each rank's last full batch gives up what the next one lacks.
    del cuts[-ranks:]
    _share(cuts, step + rest - ranks, ranks)
    _share(cuts, ranks, ranks)
    return cuts


def _share(cuts: array[int], count: int, ranks: int) -> None:
    """Append one step of so many samples, spread evenly."""
    each, more = divmod(count, ranks)
    for rank in range(ranks):
        cuts.append(cuts[-1] + each + (rank < more))


def cut_by_bytes(
    sizes_bytes: Iterable[int], limit_bytes: int, ranks: int, tail: Tail
) -> array[int]:
    """Cut into batches of at most so many bytes; a larger sample is a batch of its own.

    Where the batches do not divide by the ranks, ``exact`` halves batches from the end, ``pad``
    repeats the first ones and ``drop`` leaves out the last ones.

    Raises:
        ValueError: ``exact`` has no solution: fewer samples than ranks, or too many of them alone
            in their batches.
    """
    cuts = array("q", [0])
    count = filled_bytes = 0
    for size_bytes in sizes_bytes:
        if count > cuts[-1] and filled_bytes + size_bytes > limit_bytes:
            cuts.append(count)
            filled_bytes = 0
        filled_bytes += size_bytes
        count += 1
    if count > cuts[-1]:
        cuts.append(count)
    surplus = (len(cuts) - 1) % ranks
    if surplus and tail == "drop":
        del cuts[-surplus:]
    elif surplus and tail == "pad":
        batches = len(cuts) - 1
        for number in range(batches, batches + ranks - surplus):
            round_number, first = divmod(number, batches)
            cuts.append(count * round_number + cuts[first + 1])
    elif surplus:
        return _split_batches(cuts, ranks - surplus)
    return cuts


def _split_batches(cuts: array[int], missing: int) -> array[int]:
    """Halve batches from the end, again where need be, until there are so many more."""
    pieces = [(start, stop) for start, stop in pairwise(cuts)]
    kept: list[tuple[int, int]] = []  # from the end, what was looked at
    while pieces and missing:
        start, stop = pieces.pop()
        count = min(stop - start, missing + 1)
        missing -= count - 1
        bounds = [start + (stop - start) * part // count for part in range(count + 1)]
        kept.extend(reversed([*pairwise(bounds)]))
    if missing:
        raise ValueError(
            f"tail='exact' finds {missing} samples too few for equally many batches on every "
            "rank: use tail='pad' or tail='drop'"
        )
    pieces.extend(reversed(kept))
    return array("q", [0, *(stop for _, stop in pieces)])


def steps_of(steps: int, worker: int, workers: int) -> int:
    """Return how many of the first steps of a rank are the worker's, who come in turns."""
    return max(0, -(-(steps - worker) // workers))


def batch_number(step: int, seat: Seat, steps: int, *, is_in_runs: bool) -> int:
    """Return which batch is a worker's ``step``-th (of this worker alone).

    Dealt like cards, all readers together go through the batches in order: right for samples that
    are files. In runs, each reader has neighbouring batches only: right for samples that share
    files, which then hardly anybody shares.

    Args:
        step: How many batches the worker had before.
        seat: Who is asking.
        steps: How many steps there are, over all workers of a rank.
        is_in_runs: Which of both.
    """
    if not is_in_runs:
        return (step * seat.workers + seat.worker) * seat.ranks + seat.rank
    before = sum(steps_of(steps, worker, seat.workers) for worker in range(seat.worker))
    return seat.rank * steps + before + step


def rest_of(
    cuts: Sequence[int], total: int, ranks: int, done: Sequence[int], *, is_in_runs: bool
) -> list[tuple[int, int]]:
    """Return the ranges of positions that nobody read yet.

    Args:
        cuts: What was dealt.
        total: How many positions there were; what ``drop`` left out is still there, what ``pad``
            repeated is not.
        ranks: To how many ranks it was dealt.
        done: How many batches each worker had; the same on every rank.
        is_in_runs: How it was dealt.
    """
    batches = len(cuts) - 1
    steps = batches // ranks
    is_done = bytearray(batches)
    for rank in range(ranks):
        for worker, count in enumerate(done):
            seat = Seat(rank=rank, ranks=ranks, worker=worker, workers=len(done))
            for step in range(min(count, steps_of(steps, worker, len(done)))):
                is_done[batch_number(step, seat, steps, is_in_runs=is_in_runs)] = 1
    left = [(cuts[k], cuts[k + 1]) for k in range(batches) if not is_done[k]]
    left.append((cuts[-1], total))
    return [*_joined((start, min(stop, total)) for start, stop in left)]


def _joined(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join neighbours; leave out what is empty."""
    current: tuple[int, int] | None = None
    for start, stop in ranges:
        if start >= stop:
            continue
        if current is not None and current[1] == start:
            current = (current[0], stop)
            continue
        if current is not None:
            yield current
        current = (start, stop)
    if current is not None:
        yield current
