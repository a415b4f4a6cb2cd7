"""A point of time in the past, as a person names one: a date, a time, or how long ago."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from mountfs.command.quantities import Kind, parse_duration

_AGO = re.compile(r"\d+(?:\.\d+)?\s*[a-z]+")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_past_time(text: str) -> int:
    """Return the time that *text* names, in ns since the epoch.

    RFC 3339, with or without seconds, or the date alone; UTC where no offset stands. A duration
    with a unit, such as ``2h``, is that long ago. (A bare number is refused: it might be a year.)

    Raises:
        ValueError: it names none, or one that has not come yet.
    """
    text = text.strip()
    now_ns = time.time_ns()
    if _AGO.fullmatch(text):
        then_ns = now_ns - int(parse_duration(text) * 1e9)
    elif _TIME.fullmatch(text):
        then = datetime.fromisoformat(text.upper())
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        then_ns = (then - _EPOCH) // _MICROSECOND * 1000
    else:
        raise ValueError(text)
    if not 0 <= then_ns <= now_ns:
        raise ValueError(text)
    return then_ns // 1000 * 1000  # what can be written can be read again


def format_past_time(time_ns: int) -> str:
    """Return the RFC 3339 text of *time_ns*; the inverse of `parse_past_time`."""
    then = _EPOCH + timedelta(microseconds=time_ns // 1000)
    return then.isoformat().replace("+00:00", "Z")


PAST_TIME = Kind(
    metavar="TIME",
    allowed="a time that has passed, such as 2026-01-31, 2026-01-31T12:30:00Z, or 2h (ago)",
    parse=parse_past_time,
    format=format_past_time,
)
