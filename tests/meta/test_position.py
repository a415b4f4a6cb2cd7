"""Where a listing has to begin so that it holds a given name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mountfs.keys import sort_key
from mountfs.meta.position import after_directory, after_file, start_after

names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0\U0010ffff"), min_size=1, max_size=5
)


@given(names)
def test_a_listing_that_starts_after_it_holds_the_name_itself(name: str) -> None:
    """`start-after` excludes its key, so it must lie before the name."""
    assert sort_key(start_after(sort_key(name))) < sort_key(name)


@given(names, names)
def test_hardly_anything_lies_between_it_and_the_name(name: str, other: str) -> None:
    """No siblings are listed twice: what sorts before the name is not listed."""
    if ord(name[-1]) > 0x20 and ord(name[-1]) != 0xE000 and sort_key(other) < sort_key(name):
        assert sort_key(other) <= sort_key(start_after(sort_key(name)))


@given(names, names)
def test_the_position_after_a_file_is_the_next_possible_key(name: str, other: str) -> None:
    """A page that ends with a file is continued behind exactly that file."""
    position = after_file(sort_key(name))
    assert start_after(position) == name
    if sort_key(other) > sort_key(name):
        assert sort_key(other) >= position


@given(names, names)
def test_the_position_after_a_directory_skips_all_that_is_in_it(name: str, other: str) -> None:
    """Listing goes on behind a directory without listing what it holds."""
    after = start_after(after_directory(sort_key(name)))
    assert sort_key(f"{name}/{other}") < sort_key(after) < sort_key(name + "0")


def test_bytes_that_are_no_utf8_stay_as_they_are() -> None:
    """Their order among themselves is not that of their surrogates, so the listing starts early."""
    assert start_after(b"a\xff") == "a"
