"""A source lists what an object store would list, lazily, in the order of keys."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets import Entry, IterableDataset, Listing, MapDataset, Source
from mountfs.datasets.pattern import expand_braces
from tests.datasets.conftest import BOTH, new_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mountfs.datasets import Item

KEYS = ["0", "00/a", "01", "1/x", "a!b", "a/0", "a/b/c", "a/b.c", "a0", "b/.hidden", "ü/é"]


def make(root: Path, keys: list[str]) -> None:
    """Make files of these names."""
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())


def keys_of(source: Any, root: Path) -> list[str]:
    """Return what is listed, relative to the root."""
    return [entry.path.removeprefix(f"{root}/") for entry in source]


@pytest.fixture(scope="module", params=BOTH)
def root(request: pytest.FixtureRequest) -> Path:
    """Return a directory with all kinds of names."""
    root = new_directory(request, request.param)
    make(root, KEYS)
    return root


def test_a_directory_is_everything_below_it_in_the_order_of_keys(root: Path) -> None:
    """Sorted by the bytes of the whole key, as S3 lists, not directory by directory."""
    expected = sorted(KEYS, key=os.fsencode)
    assert expected == keys_of(Source.of(root), root)
    assert expected == keys_of(Source.of(f"{root}/"), root)
    assert expected == keys_of(Source.from_prefix(f"{root}/"), root)


def test_a_prefix_is_what_starts_with_these_characters(root: Path) -> None:
    """Files and directories alike; ``of`` prefers what exists under the exact name."""
    assert ["0", "00/a", "01"] == keys_of(Source.from_prefix(root / "0"), root)
    assert ["a!b", "a/0", "a/b.c", "a/b/c", "a0"] == keys_of(Source.from_prefix(root / "a"), root)
    assert ["a/0", "a/b.c", "a/b/c"] == keys_of(Source.of(root / "a"), root)
    assert ["a/b.c"] == keys_of(Source.of(root / "a/b."), root)
    assert ["0"] == keys_of(Source.of(root / "0"), root)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", sorted(KEYS, key=os.fsencode)),
        ("a*", ["a!b", "a/0", "a/b.c", "a/b/c", "a0"]),
        ("a/*", ["a/0", "a/b.c", "a/b/c"]),
        ("?", ["0", "1/x", "a/0", "a/b.c", "a/b/c", "b/.hidden", "ü/é"]),
        ("0[01]", ["00/a", "01"]),
        ("[!a-z0]*", ["1/x", "ü/é"]),
        ("**/c", ["a/b/c"]),
        ("**", ["0", "00/a", "01", "1/x", "a!b", "a/0", "a/b.c", "a/b/c", "a0", "ü/é"]),
        ("a/**/?", ["a/0", "a/b/c"]),
        ("**/*.c", ["a/b.c"]),
        ("*/.h*", ["b/.hidden"]),
        ("*/", ["00/a", "1/x", "a/0", "a/b.c", "a/b/c", "b/.hidden", "ü/é"]),
        ("{a,1}", ["a/0", "a/b.c", "a/b/c", "1/x"]),
        ("0{1..0}", ["01", "00/a"]),
        ("a/{b..c}", []),
    ],
)
def test_patterns_and_ranges(root: Path, pattern: str, expected: list[str]) -> None:
    """As a shell has them, but a directory that matches stands for what is below it."""
    if not expected:
        with pytest.raises(FileNotFoundError) as caught:
            list(Source.of(f"{root}/{pattern}"))
        assert f"{root}/{pattern}" == caught.value.filename
        return
    assert expected == keys_of(Source.of(f"{root}/{pattern}"), root)


def test_an_existing_name_is_meant_literally(tmp_path: Path) -> None:
    """A file whose name looks like a pattern is itself."""
    make(tmp_path, ["[ab]", "a", "{1..2}", "1"])
    assert ["[ab]"] == keys_of(Source.of(tmp_path / "[ab]"), tmp_path)
    assert ["{1..2}"] == keys_of(Source.of(tmp_path / "{1..2}"), tmp_path)
    assert ["*"] == keys_of(Source.from_objects([tmp_path / "*"]), tmp_path)


@given(first=st.integers(0, 300), last=st.integers(0, 300), width=st.integers(1, 5))
def test_a_range_counts_both_ends_in_either_direction(first: int, last: int, width: int) -> None:
    """Padded where an end is."""
    ends = f"{first:0{width}}..{last:0{width}}"
    texts = [*expand_braces("x{" + ends + "}.tar")]
    step = 1 if first <= last else -1
    is_padded = any(len(str(end)) < width for end in (first, last))
    used = max(width, len(str(first)), len(str(last))) if is_padded else 1
    assert [f"x{n:0{used}}.tar" for n in range(first, last + step, step)] == texts


def test_several_pieces_follow_one_another_as_given(root: Path) -> None:
    """Lists, sources and sums keep their order, and repeat what is given twice."""
    expected = ["1/x", "0", "01", "0"]
    one = Source.of([root / "1", [root / "0"]], Source.of(root / "01"), root / "0")
    two = Source.of(root / "1", root / "0") + Source.from_objects([root / "01", root / "0"])
    assert expected == keys_of(one, root)
    assert expected == keys_of(two, root)
    assert len(one) == 4


def test_nothing_is_touched_before_it_is_iterated_and_each_time_again(place: Path) -> None:
    """A source of what does not exist can be made and pickled; it sees what comes later."""
    source = pickle.loads(pickle.dumps(Source.of(place / "later")))
    with pytest.raises(FileNotFoundError):
        list(source)
    make(place, ["later/a"])
    assert ["later/a"] == keys_of(source, place)
    make(place, ["later/b"])
    assert ["later/a", "later/b"] == keys_of(source, place)


def test_an_empty_directory_is_empty_and_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    """Only what does not exist is refused."""
    assert [] == list(Source.of(tmp_path))
    assert [] == list(Source.from_prefix(f"{tmp_path}/"))
    for source in (Source.of(tmp_path / "x"), Source.from_prefix(f"{tmp_path}/x/")):
        with pytest.raises(FileNotFoundError):
            list(source)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    """A link to a directory above says ELOOP; a link to nothing is listed and fails at open."""
    make(tmp_path, ["real/a"])
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "nothing").symlink_to("missing")
    os.mkfifo(tmp_path / "pipe")
    assert ["link/a", "nothing", "real/a"] == keys_of(Source.of(tmp_path), tmp_path)
    (tmp_path / "real" / "circle").symlink_to("..")
    with pytest.raises(OSError, match="link to a directory above it"):
        list(Source.of(tmp_path))


def test_a_bucket_that_is_not_mounted_is_named() -> None:
    """The error is an OSError that says which bucket."""
    with pytest.raises(OSError, match="no-such-bucket"):
        list(Source.of("s3://no-such-bucket/train/"))


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Endless:
    """A piece of a source with very many files, which no disk could hold in a test's time."""

    def __init__(self, count: int) -> None:
        self.count = count

    def entries(self) -> Iterator[Entry]:
        """Yield as a listing would."""
        return (
            Entry(f"/mnt/bucket/train/part-{n // 1000:04}/image-{n:08}.jpg", f"class {n % 1000}")
            for n in range(self.count)
        )


def test_a_million_files_are_iterated_in_constant_and_listed_in_little_memory() -> None:
    """Nothing is kept while iterating; a listing takes what the names take, and 20 bytes each."""
    count = 1_000_000
    source = Source((Endless(count),))
    before_bytes = resident_bytes()
    seen = sum(1 for _ in source)
    assert resident_bytes() - before_bytes < 8 << 20
    assert count == seen
    listing = source.listing()
    assert count == len(listing)
    pickled = pickle.dumps(listing)
    names_bytes = count * len("/mnt/bucket/train/part-0000/image-00000000.jpg")
    assert len(pickled) < names_bytes + 20 * count
    last = pickle.loads(pickled)[-1]
    assert ("/mnt/bucket/train/part-0999/image-00999999.jpg", "class 999") == (
        last.path, last.label,
    )  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=9),
            st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.lists(st.integers())),
        ),
        max_size=20,
    )
)
def test_a_listing_is_the_list_of_its_entries(pairs: list[tuple[str, Any]]) -> None:
    """Whatever the names and labels, also such that are equal but not the same, or unhashable."""
    pairs = [(path, label) for path, label in pairs if path.isprintable()]
    listing = Listing(Entry(path, label) for path, label in pairs)
    assert [(path, repr(label)) for path, label in pairs] == [
        (entry.path, repr(entry.label)) for entry in listing
    ]
    assert [*listing][1:] == listing[1:]


@dataclass(frozen=True)
class Part:
    """A part of a file: like an entry, but with more to keep."""

    path: str
    offset: int
    label: Any = None

    def item(self) -> Item:
        """Return what to read."""
        raise NotImplementedError


def test_what_a_listing_could_not_keep_is_refused() -> None:
    """Rather than turned into the whole file."""
    with pytest.raises(TypeError, match=r"would lose the rest of Part\(path='x', offset=7"):
        Listing([Part("x", 7)])  # type: ignore[list-item]


@pytest.mark.parametrize("place", [None, 3, b"/train", [b"/train"], [None]], ids=str)
def test_what_is_no_place_is_refused_at_once(place: Any) -> None:
    """With the value, before anything is listed."""
    for make in (Source.of, MapDataset, IterableDataset):
        with pytest.raises(TypeError, match=r"a source is a path, .* not (None|3|b'/train')"):
            make(place)


def test_a_manifest_is_read_at_each_iteration_with_a_parser_of_ones_own(tmp_path: Path) -> None:
    """Names are relative to the root; labels come along."""
    make(tmp_path, ["data/a", "data/b"])
    (tmp_path / "list").write_text("a;1\nb;2\n")
    source = Source.from_manifest(tmp_path / "list", root=tmp_path / "data", parser=parse)
    assert [("data/a", "1"), ("data/b", "2")] == [
        (entry.path.removeprefix(f"{tmp_path}/"), entry.label) for entry in source
    ]
    assert b"data/b" == next(iter(source.listing()[1:])).item().read()


def parse(reader: BinaryIO) -> Iterator[tuple[str, str]]:
    """Parse a manifest with semicolons."""
    for line in reader.read().decode().splitlines():
        name, label = line.split(";")
        yield name, label
