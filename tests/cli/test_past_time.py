"""Times in the past, as people write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.command.past_time import format_past_time, parse_past_time

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31", 1_769_817_600),
        ("2026-01-31 12:30", 1_769_862_600),
        ("2026-01-31T12:30:15", 1_769_862_615),
        ("2026-01-31t12:30:15z", 1_769_862_615),
        ("2026-01-31T12:30:15.5Z", 1_769_862_615.5),
        ("2026-01-31 12:30:15+02:00", 1_769_855_415),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, seconds: float) -> None:
    """With and without seconds, fraction and offset."""
    assert int(seconds * 10) * SECOND // 10 == parse_past_time(text)


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90s", 90), ("1d", 86400)])
def test_a_duration_is_that_long_ago(text: str, seconds: int) -> None:
    """Counted from when it is read."""
    earliest = time.time_ns() - seconds * SECOND
    then = parse_past_time(text)
    assert earliest - 1000 <= then <= time.time_ns() - seconds * SECOND


@pytest.mark.parametrize(
    "text",
    ["", "2026", "60", "2026-13-01", "2026-02-30", "2999-01-01", "1969-12-31", "noon", "inf", "-2h",
     "2026-01-31T25:00", "2026-W05-6", "20260131", "9" * 30 + "d"],
)  # fmt: skip
def test_what_is_no_time_in_the_past_is_refused(text: str) -> None:
    """Also what might be a year or a number of seconds."""
    with pytest.raises(ValueError, match=r".*"):
        parse_past_time(text)


@given(st.integers(min_value=0, max_value=1_700_000_000 * 10**6))
def test_a_time_that_was_written_is_read_again(microseconds: int) -> None:
    """To the microsecond."""
    assert microseconds * 1000 == parse_past_time(format_past_time(microseconds * 1000))
