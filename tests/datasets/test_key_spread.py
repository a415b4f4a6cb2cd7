from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.key_spread import KeySpread


def test_directories_are_dealt_out_in_turn() -> None:
    """Ranks beyond their number begin again."""
    spread = KeySpread.round_robin(["a", "b/c/"])
    assert ["a", "b/c", "a"] == [spread.directory_of(rank) for rank in range(3)]
    assert spread == pickle.loads(pickle.dumps(spread))


def test_numbers_differ_in_their_first_characters() -> None:
    """So the lowest digit comes first."""
    assert ("00", "10", "20", "30", "40", "50", "60", "70", "80", "90", "01") == (
        KeySpread.numeric(11).directories
    )
    assert ("000", "100", "010") == KeySpread.binary(3, digits=3).directories
    assert "f0" == KeySpread.hexadecimal(16, digits=2).directory_of(15)
    assert ("0",) == KeySpread.numeric(1).directories


@given(
    kind=st.sampled_from([KeySpread.numeric, KeySpread.binary, KeySpread.hexadecimal]),
    count=st.integers(1, 300),
    digits=st.integers(0, 10),
)
def test_every_directory_is_another(kind: object, count: int, digits: int) -> None:
    """All have the same length, which is at least what was asked for."""
    spread = kind(count, digits=digits)  # type: ignore[operator]
    assert count == len({*spread.directories})
    lengths = {len(directory) for directory in spread.directories}
    assert 1 == len(lengths)
    assert digits <= lengths.pop()


@pytest.mark.parametrize("directories", [[], [""], ["a", "../b"], ["a//b"], ["."]], ids=str)
def test_what_is_no_directory_below_is_refused(directories: list[str]) -> None:
    """The files must stay in the checkpoint."""
    with pytest.raises(ValueError, match="director"):
        KeySpread.round_robin(directories)
