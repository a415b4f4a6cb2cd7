"""A manifest lists files, with labels or without."""

from __future__ import annotations

import io
import os
import pickle
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.entry import Entry
from mountfs.datasets.manifest import Manifest, parse_manifest
from mountfs.datasets.paths import NotMountedError
from mountfs.datasets.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def parse(content: bytes) -> list[str | tuple[str, str]]:
    """Return what the lines say."""
    return [*parse_manifest(io.BytesIO(content))]


def read_fields(reader: BinaryIO) -> Iterator[tuple[str, int]]:
    """Parse lines as a user might."""
    for line in reader.read().decode().splitlines():
        number, name = line.split(";")
        yield name, int(number)


def test_a_line_is_a_name_or_a_name_and_a_label() -> None:
    """After a space or a tab, with any end of line, and with empty lines between."""
    expected = ["a.png", ("b.png", "label1"), ("c d.png", "two words"), "e f.png", ("g", "h")]
    lines = [b"a.png", b"b.png label1", b"", b"c d.png\ttwo words", b"e f.png\t", b" ", b"g h"]
    assert expected == parse(b"\n".join(lines))
    assert expected == parse(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    assert [] == parse(b"")


def test_what_could_be_meant_in_two_ways_is_an_error(tmp_path: Path) -> None:
    """The text names file, line, and what to do."""
    path = tmp_path / "manifest"
    path.write_bytes(b"a.png 1\nb c.png 1\n")
    entries = Source.from_manifest(path).entries()
    assert Entry(str(tmp_path / "a.png"), "1") == next(entries)
    with pytest.raises(ValueError, match="manifest, line 2: several spaces: put a tab"):
        next(entries)


TEXT = st.characters(codec="utf-8", exclude_characters="\t\r\n\0")
NAMES = st.text(TEXT, min_size=1).filter(str.strip)


@given(st.lists(st.tuples(NAMES, st.text(TEXT))))
def test_what_was_written_with_tabs_is_read(lines: list[tuple[str, str]]) -> None:
    """Any name, any label."""
    lines = [(name, label) for name, label in lines if not name.startswith("\ufeff")]
    content = "".join(f"{name}\t{label}\n" for name, label in lines)
    expected = [(name, label) if label else name for name, label in lines]
    assert expected == parse(content.encode())


def test_names_are_relative_to_the_root_or_to_the_manifest(place: Path) -> None:
    """Absolute ones to nothing; a manifest is read again each time."""
    (place / "manifest").write_text("a.png 1\n/absolute.png 2\nsub/c.png\n")
    expected = [
        Entry(str(place / "a.png"), "1"),
        Entry("/absolute.png", "2"),
        Entry(str(place / "sub/c.png")),
    ]
    source = pickle.loads(pickle.dumps(Source.from_manifest(place / "manifest")))
    assert expected == [*source]
    assert expected == [*source]
    expected[0], expected[2] = Entry("/root/a.png", "1"), Entry("/root/sub/c.png")
    assert expected == [*Source.from_manifest(place / "manifest", root="/root")]


def test_a_parser_of_the_user_is_used(place: Path) -> None:
    """It gets the open manifest, and its labels may be anything."""
    (place / "manifest").write_text("7;a.png\n9;b.png\n")
    found = [*Manifest(str(place / "manifest"), "/root", read_fields).entries()]
    assert [Entry("/root/a.png", 7), Entry("/root/b.png", 9)] == found


def test_names_that_are_not_utf_8_survive(tmp_path: Path) -> None:
    """They lead to the files that have them."""
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).write_bytes(b"content")
    (tmp_path / "manifest").write_bytes(os.fsencode(name) + b"\n")
    (entry,) = Source.from_manifest(tmp_path / "manifest")
    with entry.item() as item:
        assert b"content" == item.read()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A manifest that is not there, a bucket that is not mounted, a line without a name."""
    with pytest.raises(FileNotFoundError, match="absent"):
        [*Source.from_manifest(tmp_path / "absent")]
    (tmp_path / "manifest").write_text("s3://no-such-bucket/a.png\n")
    with pytest.raises(NotMountedError, match="no-such-bucket"):
        [*Source.from_manifest(tmp_path / "manifest")]
    (tmp_path / "manifest").write_text("\tlabel\n")
    with pytest.raises(OSError, match="without a name"):
        [*Source.from_manifest(tmp_path / "manifest")]
