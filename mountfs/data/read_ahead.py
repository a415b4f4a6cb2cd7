"""What to fetch for a read: the policy, as pure functions over what was read before.

A file has several cursors, because one program reads it in several places at once (`torch.load`
goes to the head, the tail, then the body; a zip reader jumps between the directory and the
members; DataLoader workers share a shard). Each cursor is sequential or not by its own history. It
knows nothing of memory, requests
or time: the caller does what it can of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from mountfs.data.config import MIB

HEAD_BYTES = MIB
"""First request at a file's start. Where a GET takes 20 ms, 1 MiB takes hardly longer than 1
byte."""

SMALL_FILE_BYTES = 2 * MIB
"""Up to here a file is one request: a second one would cost more than it saves."""

TAIL_BYTES = 256 * 1024
"""A read this near to the end fetches all of the end: the directory of a zip, the footer of
Parquet and the index of many formats are read in several small pieces."""

GROWTH = 4
"""Window over what was read in order so far: after three steps of one round trip each it is 64
MiB, and who stops early has fetched at most this many times what it used."""

OUT_OF_ORDER_BYTES = 4 * MIB
"""The kernel sends the pieces of one read-ahead (4 MiB) together; they may be served in any
order."""

SKIP_BYTES = 256 * 1024
"""A stride that skips no more costs less to read through than a request for each step."""

NEAR_BYTES = MIB
"""A read that begins no farther behind a cursor moves it, instead of beginning another one."""

STREAK = 2
"""Reads that each continue the one before, until a reader is a sequential one: of random reads of
1 MiB in 2 GiB, one of a hundred continues another by chance."""

PARTS_PER_WINDOW = 8
"""Requests that a window is spread over: enough to hide the latency of each."""

MAX_CURSORS = 8
"""Places in one file that are read at a time; the least recently used one makes room."""


@dataclass(slots=True, eq=False)  # two cursors may be at the same place
class Cursor:
    """One place that a file is read at.

    Attributes:
        position: where a sequential reader goes on.
        planned_to: up to where data has been asked for on its behalf.
        run_bytes: how much was read in order.
        last_size_bytes: the size of the read before.
        streak: reads that continued the one before; see `STREAK`.
        touched_at: when it was last used, in the caller's clock.
    """

    position: int
    planned_to: int
    run_bytes: int = 0
    last_size_bytes: int = 0
    streak: int = 0
    touched_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one read wants.

    Attributes:
        start, stop: the demanded range, perhaps widened; half-open.
        window_stop: up to where to read ahead; not below *stop*.
    """

    start: int
    stop: int
    window_stop: int


def find_cursor(cursors: list[Cursor], start: int) -> Cursor | None:
    """Return the nearest cursor that a read at *start* continues; None if it is a jump."""
    best: Cursor | None = None
    for cursor in cursors:
        reach = max(cursor.position + NEAR_BYTES, cursor.planned_to)
        if cursor.position - OUT_OF_ORDER_BYTES <= start <= reach and (
            best is None or abs(start - cursor.position) < abs(start - best.position)
        ):
            best = cursor
    return best


def take_cursor(cursors: list[Cursor], start: int) -> tuple[Cursor, Cursor | None]:
    """Return the cursor for a read at *start* and the one that had to make room for it, if any."""
    cursor = find_cursor(cursors, start)
    if cursor is not None:
        return cursor, None
    retired: Cursor | None = None
    if len(cursors) >= MAX_CURSORS:
        retired = min(cursors, key=lambda each: each.touched_at)
        cursors.remove(retired)
    cursor = Cursor(position=start, planned_to=start)
    cursors.append(cursor)
    return cursor, retired


def advance(cursor: Cursor, start: int, stop: int) -> None:
    """Note that ``[start, stop)`` was read at *cursor*."""
    size = stop - start
    gap = start - cursor.position
    if gap > SKIP_BYTES and start > cursor.planned_to:
        # Near, but not in order: two random reads, by chance.
        cursor.run_bytes = size
        cursor.streak = 0
    else:
        # A large read that is not aligned arrives as a full request and a small rest: that is one
        # random read, not the beginning of a stream. So a smaller read does not count.
        if start == 0:
            cursor.streak = STREAK  # who begins at the beginning mostly goes on
        elif gap >= 0 and cursor.run_bytes and size >= cursor.last_size_bytes:
            cursor.streak += 1
        # What a long skip leaves out was not read, though it may have been fetched.
        cursor.run_bytes += max(0, stop - cursor.position) if gap <= OUT_OF_ORDER_BYTES else size
    if gap >= 0:
        cursor.last_size_bytes = size
    cursor.position = max(cursor.position, stop)


def plan_read(
    cursor: Cursor,
    start: int,
    stop: int,
    file_bytes: int,
    max_window_bytes: int,
    *,
    is_whole_expected: bool = False,
) -> Plan:
    """Return what a read of ``[start, stop)`` wants; call it after `advance`.

    Args:
        cursor: where the read belongs.
        start: begin of the read (inclusive).
        stop: end of the read (exclusive), at most *file_bytes*.
        file_bytes: size of the file.
        max_window_bytes: how far ahead is permitted now.
        is_whole_expected: the file will most likely be read to its end; see
            `mountfs.data.habits`. One that begins to be is given the whole window at once.
    """
    if file_bytes <= SMALL_FILE_BYTES:
        return Plan(0, file_bytes, file_bytes)
    if start >= file_bytes - TAIL_BYTES and cursor.streak < STREAK:
        return Plan(min(start, file_bytes - TAIL_BYTES), file_bytes, file_bytes)
    if cursor.streak < STREAK:
        return Plan(start, stop, stop)
    if is_whole_expected and cursor.run_bytes >= HEAD_BYTES:
        window = max_window_bytes
    else:
        window = min(max_window_bytes, max(2 * HEAD_BYTES, GROWTH * cursor.run_bytes))
    return Plan(start, stop, max(stop, min(file_bytes, cursor.position + window)))


def plan_open(file_bytes: int) -> list[tuple[int, int]]:
    """Return what to request when a file is opened, before anything is known of its reader.

    All of a small file. Of a larger one the head, and beside it the piece behind, so that a reader
    who goes on does not wait a second round trip.
    """
    if file_bytes <= SMALL_FILE_BYTES:
        return [(0, file_bytes)] if file_bytes else []
    return [(0, HEAD_BYTES), (HEAD_BYTES, min(file_bytes, 3 * HEAD_BYTES))]


def part_bytes(window_bytes: int, part_size_bytes: int) -> int:
    """Return the size of the requests for a window: whole MiB, at most *part_size_bytes*."""
    wanted = window_bytes // PARTS_PER_WINDOW // MIB * MIB
    return max(min(MIB, part_size_bytes), min(part_size_bytes, wanted))
