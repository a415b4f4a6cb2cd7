"""An item is a file: the same bytes, positions and errors, opened late."""

from __future__ import annotations

import errno
import io
import os
import pickle
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.item import Item
from tests.datasets.conftest import BOTH, new_directory

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 3 + b"line\nother line\n\nlast"

operations = st.one_of(
    st.tuples(st.sampled_from(["read", "read1", "readline"]), st.integers(0, 900)),
    st.tuples(st.just("read"), st.sampled_from([-1, None])),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), st.integers(0, 900)),
    st.tuples(st.just("readline"), st.just(-1)),
    st.tuples(st.sampled_from(["readlines", "readable", "seekable", "flush", "isatty"])),
    st.tuples(st.just("seek"), st.integers(0, 1200), st.just(os.SEEK_SET)),
    st.tuples(st.just("seek"), st.integers(-50, 300), st.just(os.SEEK_CUR)),
    st.tuples(st.just("seek"), st.integers(-900, 200), st.just(os.SEEK_END)),
    st.tuples(st.just("tell")),
    st.tuples(st.just("next")),
)


def perform(file: Any, operation: tuple[Any, ...]) -> object:
    """Return what an operation gives, or which kind of error."""
    name, *arguments = operation
    try:
        if name.startswith("readinto"):
            buffer = bytearray(arguments[0])
            count = getattr(file, name)(buffer)
            return count, bytes(buffer)
        if name == "next":
            return next(file, None)
        return getattr(file, name)(*arguments)
    except (OSError, ValueError) as error:
        return isinstance(error, OSError | ValueError)


@pytest.fixture(scope="module", params=BOTH)
def path(request: pytest.FixtureRequest) -> Path:
    """Return a file with some content."""
    path = new_directory(request, request.param) / "content"
    path.write_bytes(CONTENT)
    return path


@given(steps=st.lists(operations, max_size=25), is_fetched=st.booleans())
def test_every_operation_is_that_of_a_file_in_memory(
    path: Path, steps: list[tuple[Any, ...]], is_fetched: bool
) -> None:
    """Same results, positions and errors as BytesIO, past the end too, fetched ahead or not."""
    model = io.BytesIO(CONTENT)
    with Item.of(str(path)) as item:
        if is_fetched:
            item.fetch(len(CONTENT))
        for step in steps:
            if step[0] == "seek" and step[2] == os.SEEK_CUR and model.tell() + step[1] < 0:
                continue  # BytesIO goes to the start, a file refuses; the next test says which
            if step[0] == "seek" and step[2] == os.SEEK_END and len(CONTENT) + step[1] < 0:
                continue
            assert perform(model, step) == perform(item, step)
            assert model.tell() == item.tell()


def test_a_position_before_the_start_is_refused_as_a_file_does(path: Path) -> None:
    """EINVAL, and the position stays."""
    with Item.of(str(path)) as item:
        item.seek(5)
        with pytest.raises(OSError, match="Invalid argument") as caught:
            item.seek(-6, os.SEEK_CUR)
        assert caught.value.errno == errno.EINVAL
        assert str(path) == caught.value.filename
        assert item.tell() == 5


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    """An item of a file that does not exist fails where it is read, with the name of the file."""
    item = Item.of(str(tmp_path / "missing"), label=7)
    assert item.tell() == 0
    assert (7, str(tmp_path / "missing")) == (item.label, item.name)
    for use in (item.read, item.fileno, lambda: item.seek(1), lambda: item.size):
        with pytest.raises(FileNotFoundError) as caught:
            use()
        assert str(tmp_path / "missing") == caught.value.filename
    item.close()


def test_an_open_item_pickles_as_one_that_nobody_opened(path: Path) -> None:
    """The copy starts at the beginning and keeps name and label."""
    with Item.of(str(path), label="cat") as item:
        item.read(100)
        with pickle.loads(pickle.dumps(item)) as copy:
            assert (item.path, "cat") == (copy.path, copy.label)
            assert copy.tell() == 0
            assert copy.read() == CONTENT


def test_a_closed_item_refuses_everything(path: Path) -> None:
    """ValueError, as for a closed file; closing again is allowed."""
    item = Item.of(str(path))
    item.read(1)
    item.close()
    item.close()
    assert item.closed
    for use in (item.read, item.tell, item.readable, item.fileno, item.readline):
        with pytest.raises(ValueError, match="closed file"):
            use()


def test_a_read_that_fails_names_the_file(path: Path) -> None:
    """The kernel's EBADF for reading a descriptor that only writes gets the name it lacks."""

    def open_for_writing() -> BinaryIO:
        return cast("BinaryIO", io.FileIO(os.open(path, os.O_WRONLY), "r"))

    with (
        Item(open_for_writing, path=str(path)) as item,
        pytest.raises(OSError, match="Bad file descriptor") as caught,
    ):
        item.read(1)
    assert str(path) == caught.value.filename


def test_content_that_ends_early_is_an_error_not_less_content(path: Path) -> None:
    """A whole read that misses bytes says how many, and in which file and member."""
    with (
        Item(lambda: io.BytesIO(b"abc"), path=str(path), name="inner", size_bytes=5) as item,
        pytest.raises(OSError, match="the last 2 of 5 bytes are missing") as caught,
    ):
        item.read()
    assert caught.value.errno == errno.EIO
    assert f"{path}: inner" == caught.value.filename


def test_a_fetched_item_still_has_a_descriptor(path: Path) -> None:
    """Whoever maps the file gets the file, at the position where the reader was."""
    with Item.of(str(path)) as item:
        item.fetch(1 << 20)
        item.seek(10)
        assert os.pread(item.fileno(), 4, 0) == CONTENT[:4]
        assert item.read(3) == CONTENT[10:13]
        assert item.size == len(CONTENT)


def test_fetching_does_not_raise_and_does_not_hide(tmp_path: Path) -> None:
    """The error of a file that cannot be read comes to its reader."""
    item = Item.of(str(tmp_path / "missing"))
    item.fetch(100)
    with pytest.raises(FileNotFoundError):
        item.read()


def test_an_item_is_bucket_less_where_nothing_is_mounted(tmp_path: Path) -> None:
    """A local file has no bucket, and its path is its key."""
    item = Item.of(str(tmp_path))
    assert (None, str(tmp_path)) == (item.bucket, item.key)
