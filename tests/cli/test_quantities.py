"""What persons write, and what it means."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.command.quantities import (
    BOOLEAN,
    DURATION,
    GID,
    MODE,
    NUMBER,
    PATH,
    SIZE,
    TTL,
    UID,
    URL,
    Kind,
    choice,
)
from mountfs.ttl import Ttl

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (SIZE, "512M", 512 << 20),
        (SIZE, "4G", 4 << 30),
        (SIZE, "1GiB", 1 << 30),
        (SIZE, "1gb", 1 << 30),
        (SIZE, "1.5K", 1536),
        (SIZE, "1048576", 1 << 20),
        (SIZE, "0", 0),
        (DURATION, "60", 60.0),
        (DURATION, "60s", 60.0),
        (DURATION, "5m", 300.0),
        (DURATION, "250ms", 0.25),
        (DURATION, "1h", 3600.0),
        (TTL, "0", Ttl(0.0)),
        (TTL, "inf", Ttl(math.inf)),
        (TTL, "1d", Ttl(86400.0)),
        (BOOLEAN, "YES", True),
        (BOOLEAN, "0", False),
        (BOOLEAN, "off", False),
        (MODE, "644", 0o644),
        (MODE, "0o755", 0o755),
        (NUMBER, "2.5", 2.5),
        (UID, "0", 0),
        (UID, "root", 0),
        (GID, "root", 0),
        (URL, "http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        (choice("auto", "path"), "path", "path"),
    ],
)
def test_a_text_has_this_value(kind: Kind, text: str, value: object) -> None:
    """Examples of every kind."""
    assert value == kind.parse(text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SIZE, ""),
        (SIZE, "-1"),
        (SIZE, "12Q"),
        (SIZE, "1 0M"),
        (DURATION, "0"),
        (DURATION, "inf"),
        (DURATION, "5 minutes"),
        (DURATION, "-3s"),
        (TTL, "-1"),
        (TTL, "nan"),
        (BOOLEAN, "maybe"),
        (BOOLEAN, ""),
        (MODE, "888"),
        (MODE, "10000"),
        (MODE, "-1"),
        (NUMBER, "0"),
        (NUMBER, "inf"),
        (NUMBER, "nan"),
        (UID, "no-such-user"),
        (UID, str(2**32 - 1)),
        (URL, "localhost:9000"),
        (URL, "s3://bucket"),
        (URL, "http://user:secret@host"),
        (choice("auto", "path"), "PATH"),
    ],
)
def test_a_text_is_refused(kind: Kind, text: str) -> None:
    """A value that cannot be meant is a `ValueError`, nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 - its text is what was refused, no more
        kind.parse(text)


VALUES = (
    st.tuples(st.just(SIZE), st.integers(min_value=0, max_value=1 << 50)),
    st.tuples(st.just(DURATION), st.integers(min_value=1, max_value=10**9).map(lambda n: n / 1000)),
    st.tuples(
        st.just(TTL),
        st.one_of(st.just(math.inf), st.integers(min_value=0, max_value=10**9)).map(
            lambda seconds: Ttl(float(seconds))
        ),
    ),
    st.tuples(st.just(BOOLEAN), st.booleans()),
    st.tuples(st.just(MODE), st.integers(min_value=0, max_value=0o7777)),
)


@given(case=st.one_of(*VALUES))
def test_formatting_is_the_inverse_of_parsing(case: tuple[Kind, Any]) -> None:
    """What `format` writes, `parse` reads as the same: ``.mountfs/config`` is a valid file."""
    kind, value = case
    assert value == kind.parse(kind.format(value))


@given(text=st.text(max_size=12))
@pytest.mark.parametrize("kind", [SIZE, DURATION, TTL, BOOLEAN, MODE, NUMBER, URL, UID])
def test_no_text_raises_anything_but_value_error(kind: Kind, text: str) -> None:
    """Whatever is typed ends in one line, not in a traceback."""
    with contextlib.suppress(ValueError):
        kind.parse(text)


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount process leaves the directory in which the command was given."""
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "log") == PATH.parse("log")
