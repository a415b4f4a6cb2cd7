"""A staging directory without room: one close fails, and what frees space goes on."""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.data import journal_writer
from mountfs.data.journal import open_journal
from mountfs.data.journal_segment import create_segment
from tests.data.journal_content import commit, read_all

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.data.journal_segment import Segment


async def test_a_full_disk_fails_one_close_and_harms_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch what fits is written, what does not fails, and later closes succeed again."""
    real_write = os.pwritev
    limit = 3000

    def write(fd: int, buffers: list[memoryview], offset: int) -> int:
        room = limit - offset
        if room <= 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real_write(fd, [b"".join(buffers)[:room]], offset)

    monkeypatch.setattr(os, "pwritev", write)
    failed: list[int | None] = []

    async def try_commit(key: str, size_bytes: int) -> None:
        try:
            await commit(journal, key, key.encode() * size_bytes)
        except OSError as error:
            failed.append(error.errno)

    async with open_journal(tmp_path) as journal:
        await commit(journal, "a", b"a" * 100)
        async with trio.open_nursery() as nursery:
            for key, size_bytes in (("b", 500), ("c", 5000), ("d", 500)):
                nursery.start_soon(try_commit, key, size_bytes)
        assert [errno.ENOSPC] == failed
        limit = 10**6
        await commit(journal, "e", b"e")
        expected = {"a": b"a" * 100, "b": b"b" * 500, "d": b"d" * 500, "e": b"e"}
        assert expected == await read_all(journal)
    async with open_journal(tmp_path) as journal:
        assert expected == await read_all(journal)
        assert not journal.is_damaged


async def test_a_full_disk_still_takes_what_frees_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing, renaming and deleting go on: the journal has a little space set aside."""
    real_write = os.pwritev
    is_full = False

    def write(fd: int, buffers: list[memoryview], offset: int) -> int:
        if is_full and (tmp_path / "tmp-reserve").exists():
            raise OSError(errno.ENOSPC, "no space left on device")
        return real_write(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", write)
    async with open_journal(tmp_path) as journal:
        renamed, ended = [await commit(journal, key, b"x") for key in ("a", "b")]
        is_full = True
        with pytest.raises(OSError, match="no space left"):
            await commit(journal, "c", b"x")
        await journal.rename(renamed, "d")
        await journal.end(ended, "")
    async with open_journal(tmp_path) as journal:
        assert {"d": b"x"} == await read_all(journal)


async def test_a_full_disk_still_takes_a_segment_for_what_frees_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some file systems a new file needs blocks of its own."""
    is_full = False

    def create_if_room(directory: Path, number: int) -> Segment:
        if is_full and (tmp_path / "tmp-reserve").exists():
            raise OSError(errno.ENOSPC, "no space left on device")
        return create_segment(directory, number)

    monkeypatch.setattr(journal_writer, "create_segment", create_if_room)
    async with open_journal(tmp_path) as journal:
        ended = await commit(journal, "a", b"x")
        is_full = True
        monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 1)
        with pytest.raises(OSError, match="no space left"):
            await commit(journal, "b", b"x")
        await journal.end(ended, "")
        assert {} == await read_all(journal)


async def test_a_real_limit_of_the_system_fails_the_close(tmp_path: Path) -> None:
    """The kernel itself cuts a write short (`RLIMIT_FSIZE`); the journal ends whole."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        async with open_journal(tmp_path) as journal:
            await commit(journal, "a", b"a")
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
            with pytest.raises(OSError, match="File too large"):
                await commit(journal, "b", bytes(8192))
            await commit(journal, "c", b"c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    async with open_journal(tmp_path) as journal:
        assert {"a": b"a", "c": b"c"} == await read_all(journal)
