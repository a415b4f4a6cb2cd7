from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mountfs.datasets.checkpoint import Checkpoint
from mountfs.datasets.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_appears_when_it_is_closed(place: Path) -> None:
    """Until then readers see what was there before, and nothing else is left afterwards."""
    path = place / "new" / "weights.bin"
    writer = Writer(path)
    writer.write(b"one")
    writer.flush()
    assert not path.exists()
    writer.close()
    writer.close()
    assert b"one" == path.read_bytes()
    with Writer(path) as again:
        again.write(b"two")
        again.flush()
        assert b"one" == path.read_bytes()
    assert b"two" == path.read_bytes()
    assert ["weights.bin"] == os.listdir(path.parent)


def write_half(writer: Writer) -> None:
    """Do as a program does that fails while it writes."""
    writer.write(b"half")
    raise KeyError


def test_an_exception_leaves_everything_as_it_was(place: Path) -> None:
    """Whether there was a file before or not."""
    path = place / "weights.bin"
    for before in ([], ["weights.bin"]):
        with pytest.raises(KeyError), Writer(path) as writer:
            write_half(writer)
        assert before == os.listdir(place)
        path.write_bytes(b"old")
    assert b"old" == path.read_bytes()


def test_a_writer_that_is_forgotten_publishes_nothing(place: Path) -> None:
    """The garbage collector closes files, but this is half a file."""
    writer = Writer(place / "weights.bin")
    writer.write(b"half")
    del writer
    assert [] == os.listdir(place)


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, for example: the error of the close is the one of the disk."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    writer = Writer(path)
    writer.write(b"new")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert writer.closed
    assert (b"old", ["weights.bin"]) == (path.read_bytes(), os.listdir(tmp_path))


def test_a_forked_process_neither_publishes_nor_discards(tmp_path: Path) -> None:
    """A worker that inherits an open writer, and ends, must not touch the file."""
    path = tmp_path / "weights.bin"
    with Writer(path) as writer:
        writer.write(b"of the parent")
        child = os.fork()
        if child == 0:
            writer.close()
            os._exit(0)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert not path.exists()
        writer.write(b"!")
    assert b"of the parent!" == path.read_bytes()


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file that it points to is replaced, not the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    with Writer(tmp_path / "link") as writer:
        writer.write(b"x")
    assert b"x" == (tmp_path / "real" / "file").read_bytes()
    assert (tmp_path / "link").is_symlink()


def test_a_name_may_have_the_full_length(tmp_path: Path) -> None:
    """The hidden name must not be longer than the file system allows."""
    for name in ("x" * 255, "\u00fc" * 127, "\U0001f600" * 63):
        with Writer(tmp_path / name) as writer:
            writer.write(b"x")
        assert (tmp_path / name).exists()


@given(
    operations=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.binary(max_size=50)),
            st.tuples(st.just("seek"), st.integers(0, 100)),
            st.tuples(st.just("truncate"), st.none()),
        ),
        max_size=12,
    )
)
def test_a_writer_writes_what_a_file_would(
    operations: list[tuple[str, bytes | int | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Write, seek and truncate have the same results and the same content."""
    directory = tmp_path_factory.mktemp("writer")
    with open(directory / "model", "wb") as model, Writer(directory / "file") as writer:
        for name, argument in operations:
            assert getattr(model, name)(argument) == getattr(writer, name)(argument)
            assert model.tell() == writer.tell()
    assert (directory / "model").read_bytes() == (directory / "file").read_bytes()


def test_a_checkpoint_is_written_and_read_by_name(place: Path) -> None:
    """Names are relative to the root; absolute paths are taken as they are."""
    checkpoint = pickle.loads(pickle.dumps(Checkpoint(place)))
    state = {"weight": torch.arange(10.0), "step": 3}
    for name in ("run/epoch0.ckpt", place / "elsewhere" / "epoch1.ckpt"):
        with checkpoint.writer(name) as writer:
            torch.save(state, writer)
        with checkpoint.reader(name) as reader:
            loaded = torch.load(reader, weights_only=True)
        assert torch.equal(state["weight"], loaded["weight"])  # type: ignore[arg-type]
        assert 3 == loaded["step"]
    assert (place / "run" / "epoch0.ckpt").exists()


def test_a_checkpoint_that_is_absent_is_an_error_as_for_a_file(place: Path) -> None:
    """It comes at the first use and has the name."""
    with pytest.raises(FileNotFoundError, match=r"epoch9\.ckpt"):
        Checkpoint(place).reader("epoch9.ckpt").read()
