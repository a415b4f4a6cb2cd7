"""How the bytes of a file become the parts of a multipart upload.

Pure. The store copies what it has itself, and gets sent the rest, under its rules for parts: none
but the last may be smaller than the minimum, none larger than the maximum, and there may not be too
many.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024 * 1024

COPY_BYTES = 512 * MIB
"""What one request copies: the store works on several at a time. Much smaller ones only cost
requests."""

STREAM_BYTES = 5 * 1024 * 1024 * MIB
"""How long a stream may become: as long as an object may be."""

STREAM_PARTS = 10_000
"""In how many parts."""

STREAM_STEP_PARTS = 800
"""So many parts of a stream are of one size. The sizes double: 8 MiB until 6 GiB, 64 MiB until
93 GiB. A longer first step would make the last ones larger."""


@dataclass(frozen=True, slots=True)
class CopyPart:
    """Bytes that the base object has at the same place."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class DataPart:
    """Bytes that have to be sent."""

    start: int
    stop: int


Part = CopyPart | DataPart


@dataclass(slots=True)
class _Run:
    """A stretch that is copied, or sent, as a whole."""

    start: int
    stop: int
    is_copy: bool

    @property
    def size(self) -> int:
        return self.stop - self.start


def plan_parts(
    *,
    size_bytes: int,
    base_bytes: int,
    extents: Sequence[tuple[int, int]],
    part_bytes: int,
    min_part_bytes: int,
    max_part_bytes: int,
    max_parts: int,
) -> list[Part]:
    """Return the parts of ``[0, size_bytes)``, in order, so that little has to be sent.

    What is sent beyond what was written is at most about `min_part_bytes` at each side of a change.
    A part to be sent has at most `part_bytes`, or twice `min_part_bytes`, unless `max_parts` forces
    larger ones.

    Args:
        size_bytes: of the file.
        base_bytes: of the base object, as far as it is visible.
        extents: what was written over it: merged, in order.
        part_bytes: what a part to be sent should have.
        min_part_bytes: what each part but the last must have.
        max_part_bytes: what no part may exceed.
        max_parts: how many parts there may be.

    Raises:
        ValueError: so many bytes do not fit into the parts.
    """
    if size_bytes > max_parts * max_part_bytes:
        raise ValueError(f"{size_bytes} bytes do not fit into {max_parts} parts")
    runs = _find_runs(size_bytes, min(base_bytes, size_bytes), extents)
    runs = _join_across_small_copies(runs, min_part_bytes)
    runs = _widen(runs, min_part_bytes)
    runs = _limit_runs(runs, max_parts // 2)
    cut = _Cut(min_part_bytes, max_part_bytes, max_parts)
    return cut.cut(runs, part_bytes) or cut.cut_evenly(runs, size_bytes)


def stream_part_bytes(number: int, part_bytes: int) -> int:
    """Return the size of part *number* (from 1) of a stream whose length is not known.

    A multiple of *part_bytes* that doubles from step to step, up to the least size with which all
    parts together carry `STREAM_BYTES`.
    """
    doubled = part_bytes << min((number - 1) // STREAM_STEP_PARTS, 40)
    return min(doubled, _largest_stream_part_bytes(part_bytes))


@functools.cache
def _largest_stream_part_bytes(part_bytes: int) -> int:
    """Return what the last parts of a stream have to have."""
    carried = 0
    size = part_bytes
    for first in range(0, STREAM_PARTS, STREAM_STEP_PARTS):
        left = STREAM_PARTS - first
        needed = -(-(STREAM_BYTES - carried) // left)
        if needed <= size:
            # All parts from here on may be of one size, between the last step and this one.
            return max(-(-needed // part_bytes) * part_bytes, part_bytes)
        carried += size * min(STREAM_STEP_PARTS, left)
        size *= 2
    return size // 2


def _find_runs(size: int, base: int, extents: Sequence[tuple[int, int]]) -> list[_Run]:
    """Return what is untouched of the base, and what is not, in turn."""
    runs: list[_Run] = []
    at = 0
    for start, stop in [*extents, (base, size)]:
        start, stop = max(min(start, base), at), min(max(stop, at), size)
        if at < start:
            runs.append(_Run(at, start, is_copy=True))
        _append_data(runs, start, stop)
        at = max(at, stop)
    return runs


def _append_data(runs: list[_Run], start: int, stop: int) -> None:
    if start >= stop:
        return
    if runs and not runs[-1].is_copy:
        runs[-1].stop = stop
    else:
        runs.append(_Run(start, stop, is_copy=False))


def _join_across_small_copies(runs: list[_Run], minimum: int) -> list[_Run]:
    """Send what is too small to be copied, or what costs no more to send than to go around."""
    joined: list[_Run] = []
    for index, run in enumerate(runs):
        is_last = index == len(runs) - 1
        if not run.is_copy:
            _append_data(joined, run.start, run.stop)
        elif _is_worth_a_copy(joined, run, None if is_last else runs[index + 1], minimum):
            joined.append(run)
        else:
            _append_data(joined, run.start, run.stop)
    return joined


def _is_worth_a_copy(before: list[_Run], run: _Run, after: _Run | None, minimum: int) -> bool:
    if after is None:
        return True  # the last part may be small
    if run.size < minimum:
        return False
    if not before:
        return True
    apart = max(before[-1].size, minimum) + max(after.size, minimum)
    return before[-1].size + run.size + after.size > apart


def _widen(runs: list[_Run], minimum: int) -> list[_Run]:
    """Let each run to be sent but the last have the minimum, at the cost of its neighbours."""
    widened: list[_Run] = []
    pending = list(reversed(runs))
    while pending:
        run = pending.pop()
        before = widened[-1] if widened else None
        after = pending[-1] if pending else None
        missing = minimum - run.size
        if run.is_copy or after is None or missing <= 0:
            widened.append(run)
        elif after.size - missing >= minimum or (len(pending) == 1 and after.size > missing):
            run.stop = after.start = run.stop + missing
            widened.append(run)
        elif before is not None and before.size - missing >= minimum:
            run.start = before.stop = run.start - missing
            widened.append(run)
        elif before is not None and before.size < after.size:
            # Both are too small to give something and go on to be copies.
            widened.pop()
            run.start = before.start
            if widened:
                run.start = widened.pop().start
            pending.append(run)
        else:
            pending.pop()
            run.stop = after.stop
            if pending:
                run.stop = pending.pop().stop
            pending.append(run)
    return widened


def _limit_runs(runs: list[_Run], limit: int) -> list[_Run]:
    """Send the smallest of what could be copied, so that there are at most *limit* runs."""
    if len(runs) <= limit:
        return runs
    copies = sorted((run for run in runs if run.is_copy), key=lambda run: run.size)
    # Each that goes joins its neighbours: two runs less, but one at either end.
    for run in copies[: (len(runs) - limit) // 2 + 1]:
        run.is_copy = False
    limited: list[_Run] = []
    for run in runs:
        if run.is_copy:
            limited.append(run)
        else:
            _append_data(limited, run.start, run.stop)
    return limited


class _Cut:
    """Cuts runs into parts."""

    def __init__(self, minimum: int, maximum: int, max_parts: int) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._max_parts = max_parts

    def cut(self, runs: list[_Run], part_bytes: int) -> list[Part]:
        """Return the parts, or none if there would be too many.

        Copies get larger first, which costs nothing, then what is sent.
        """
        copy_bytes = min(max(COPY_BYTES, self._minimum), self._maximum)
        data_bytes = min(part_bytes, self._maximum)
        while True:
            counts = {
                is_copy: sum(
                    len(self._sizes(run, runs, copy_bytes if is_copy else data_bytes))
                    for run in runs
                    if run.is_copy is is_copy
                )
                for is_copy in (True, False)
            }
            if sum(counts.values()) <= self._max_parts:
                break
            if copy_bytes < self._maximum and counts[True] > self._max_parts // 4:
                copy_bytes = min(2 * copy_bytes, self._maximum)
            elif data_bytes < self._maximum:
                data_bytes = min(self._larger(runs, data_bytes, counts, part_bytes), self._maximum)
            elif copy_bytes < self._maximum:
                copy_bytes = min(2 * copy_bytes, self._maximum)
            else:
                return []
        parts: list[Part] = []
        for run in runs:
            start = run.start
            for size in self._sizes(run, runs, copy_bytes if run.is_copy else data_bytes):
                parts.append((CopyPart if run.is_copy else DataPart)(start, start + size))
                start += size
        return parts if all(part.stop - part.start <= self._maximum for part in parts) else []

    def cut_evenly(self, runs: list[_Run], size_bytes: int) -> list[Part]:
        """Return parts of one size, as many as there may be; whatever was written to is sent.

        For what fits no other way: a file close to the limits.
        """
        step = max(-(-size_bytes // self._max_parts), self._minimum)
        data = [run for run in runs if not run.is_copy]
        parts: list[Part] = []
        for start in range(0, size_bytes, step):
            stop = min(start + step, size_bytes)
            is_touched = any(run.start < stop and start < run.stop for run in data)
            parts.append((DataPart if is_touched else CopyPart)(start, stop))
        return parts

    def _larger(
        self, runs: list[_Run], data_bytes: int, counts: dict[bool, int], part_bytes: int
    ) -> int:
        """Return a larger size for what is sent: what the limit asks for, in multiples."""
        total = sum(run.size for run in runs if not run.is_copy)
        spare = self._max_parts - counts[True] - sum(not run.is_copy for run in runs)
        fitting = -(-total // max(spare, 1))
        return max(-(-fitting // part_bytes) * part_bytes, data_bytes + part_bytes)

    def _sizes(self, run: _Run, runs: list[_Run], size: int) -> list[int]:
        """Return the sizes of the parts of a run."""
        count = -(-run.size // size)
        if run is runs[-1] and not run.is_copy:
            return [min(size, run.size - at) for at in range(0, run.size, size)]
        if count > 1 and run.size // count < self._minimum:
            count = max(run.size // self._minimum, 1)
        each, more = divmod(run.size, count)
        return [each + (index < more) for index in range(count)]
