"""The read-ahead policy: pure, so tested without a store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mountfs.data.config import MIB
from mountfs.data.read_ahead import (
    HEAD_BYTES,
    MAX_CURSORS,
    SMALL_FILE_BYTES,
    TAIL_BYTES,
    Cursor,
    Plan,
    advance,
    part_bytes,
    plan_open,
    plan_read,
    take_cursor,
)

GIB = 1024 * MIB
WINDOW = 64 * MIB


def read(cursors: list[Cursor], start: int, stop: int, file_bytes: int = 2 * GIB) -> Plan:
    """Do to the cursors what a read does, and return its plan."""
    cursor, _ = take_cursor(cursors, start)
    advance(cursor, start, stop)
    return plan_read(cursor, start, stop, file_bytes, WINDOW)


def test_opening_a_small_file_asks_for_all_of_it() -> None:
    """One request: a second one would cost more than it saves."""
    assert plan_open(0) == []
    assert plan_open(1) == [(0, 1)]
    assert plan_open(SMALL_FILE_BYTES) == [(0, SMALL_FILE_BYTES)]


def test_opening_a_large_file_asks_for_two_pieces_at_once() -> None:
    """Who reads on behind the head does not wait a second round trip."""
    assert plan_open(GIB) == [(0, HEAD_BYTES), (HEAD_BYTES, 3 * HEAD_BYTES)]


def test_a_sequential_reader_gets_the_whole_window_after_few_reads() -> None:
    """The window grows with what was read, to its maximum after 16 MiB."""
    cursors: list[Cursor] = []
    ahead = []
    for index in range(20):
        plan = read(cursors, index * MIB, (index + 1) * MIB)
        ahead.append(plan.window_stop - plan.stop)
    assert ahead[0] == 4 * MIB
    assert ahead == sorted(ahead)
    assert ahead[-1] == WINDOW


def test_a_random_read_fetches_exactly_what_it_needs() -> None:
    """No read-ahead for jumps, whatever was read sequentially before."""
    cursors: list[Cursor] = []
    for index in range(100):
        start = (index * 7919 % 1000 + 500) * 1_000_000 // 4096 * 4096
        assert read(cursors, start, start + 4096) == Plan(start, start + 4096, start + 4096)


def test_the_rest_of_an_unaligned_read_is_not_a_stream() -> None:
    """1 MiB at an odd offset arrives as a full request and a small one: still random."""
    cursors: list[Cursor] = []
    read(cursors, 100 * MIB, 101 * MIB)
    plan = read(cursors, 101 * MIB, 101 * MIB + 4096)
    assert plan.window_stop == plan.stop


def test_a_stream_in_the_middle_of_a_file_is_recognised_at_its_third_read() -> None:
    """A tar member, a tensor: read in order from somewhere."""
    cursors: list[Cursor] = []
    read(cursors, 100 * MIB, 101 * MIB)
    plan = read(cursors, 101 * MIB, 102 * MIB)
    assert plan.window_stop == plan.stop
    plan = read(cursors, 102 * MIB, 103 * MIB)
    assert plan.window_stop - plan.stop == 12 * MIB


def test_regression_random_reads_that_happen_to_be_near_are_not_a_stream() -> None:
    """In a file of 2 GiB, one of fifty aligned reads of 1 MiB falls close behind an earlier one."""
    cursors: list[Cursor] = []
    read(cursors, 100 * MIB, 101 * MIB)
    plan = read(cursors, 102 * MIB, 103 * MIB)
    assert plan.window_stop == plan.stop


def test_a_read_near_the_end_fetches_all_of_the_end() -> None:
    """The directory of a zip and the footer of Parquet are read in several pieces."""
    assert read([], GIB - 22, GIB, GIB) == Plan(GIB - TAIL_BYTES, GIB, GIB)


def test_jumping_to_the_tail_and_back_does_not_reset_a_stream() -> None:
    """Each place that is read has a cursor of its own."""
    cursors: list[Cursor] = []
    for index in range(4):
        read(cursors, index * MIB, (index + 1) * MIB)
    read(cursors, 2 * GIB - 4096, 2 * GIB)
    plan = read(cursors, 4 * MIB, 5 * MIB)
    assert plan.window_stop - plan.stop == 20 * MIB


def test_a_short_stride_is_read_through() -> None:
    """Skipping 64 KiB at each step costs less to fetch than a request a step."""
    cursors: list[Cursor] = []
    for index in range(8):
        plan = read(cursors, index * 128 * 1024, index * 128 * 1024 + 65536)
    assert plan.window_stop - plan.stop >= 2 * MIB


def test_reads_out_of_order_within_the_kernels_read_ahead_stay_one_stream() -> None:
    """The kernel's own read-ahead is several requests at once."""
    cursors: list[Cursor] = []
    for start in (0, 2, 1, 3, 5, 4, 7, 6):
        read(cursors, start * MIB, (start + 1) * MIB)
    assert len(cursors) == 1


@given(st.lists(st.integers(0, 2 * GIB - 4096), max_size=40))
def test_cursors_stay_few_and_plans_inside_the_file(starts: list[int]) -> None:
    """Whatever is read, a plan covers the read, lies inside the file and cursors stay bounded."""
    cursors: list[Cursor] = []
    for start in starts:
        plan = read(cursors, start, start + 4096)
        assert 0 <= plan.start <= start < start + 4096 <= plan.stop <= plan.window_stop <= 2 * GIB
        assert len(cursors) <= MAX_CURSORS


@given(st.integers(0, GIB), st.sampled_from([MIB // 2, MIB, 8 * MIB]))
def test_parts_are_never_larger_than_the_store_takes(window_bytes: int, part_size: int) -> None:
    """And never empty."""
    assert 0 < part_bytes(window_bytes, part_size) <= part_size
