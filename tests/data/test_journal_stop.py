"""The end of a journal: whoever waits for the disk then is told what became of it."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.journal import open_journal
from mountfs.data.staging_directory import StagingConfig, open_staging
from tests.data.journal_content import commit, make_generation, read_all

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.data.journal import Journal


async def test_a_close_that_is_syncing_its_file_is_not_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount is given up meanwhile: the record is still written, as the close will be told."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging:
        file = await staging.create_file()
        await file.write(0, [b"content"])
        sync = file.sync
        is_syncing, may_sync = trio.Event(), trio.Event()

        async def slow_sync() -> None:
            is_syncing.set()
            await may_sync.wait()
            await sync()

        monkeypatch.setattr(type(file), "sync", lambda _: slow_sync())
        numbers: list[int] = []

        async def close() -> None:
            entry = await journal.append(make_generation("key", b"content"), file=file)
            numbers.append(entry.number)

        with trio.fail_after(5), trio.CancelScope() as scope:
            async with open_journal(staging.path) as journal, trio.open_nursery() as nursery:
                nursery.start_soon(close)
                await is_syncing.wait()
                scope.cancel()
                may_sync.set()
        await file.close()
        async with open_journal(staging.path) as journal:
            assert {"key": b"content"} == await read_all(journal)
            assert numbers == list(journal.entries)
            await journal.end(numbers[0], "")


async def test_what_is_with_the_disk_at_the_end_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told a lie: it is durable, so is what was queued behind it, and they say so."""
    sync = os.fdatasync
    is_syncing, may_sync = threading.Event(), threading.Event()

    def slow_sync(fd: int) -> None:
        is_syncing.set()
        assert may_sync.wait(5)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    done: list[int] = []

    async def save(journal: Journal, key: str) -> None:
        done.append(await commit(journal, key, b"x"))

    async with trio.open_nursery() as nursery:
        with trio.fail_after(5):
            async with open_journal(tmp_path) as journal:
                nursery.start_soon(save, journal, "a")
                await trio.to_thread.run_sync(is_syncing.wait)
                nursery.start_soon(save, journal, "b")
                await trio.testing.wait_all_tasks_blocked()
                may_sync.set()
    assert [1, 2] == sorted(done)
    async with open_journal(tmp_path) as journal:
        assert {"a": b"x", "b": b"x"} == await read_all(journal)


async def test_who_comes_after_the_end_is_refused(tmp_path: Path) -> None:
    """It says that nothing was written, and a large file can be kept elsewhere."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging:
        async with open_journal(staging.path) as journal:
            number = await commit(journal, "key", b"x")
        file = await staging.create_file()
        await file.write(0, [b"content"])
        generation = make_generation("late", b"content")
        with trio.fail_after(5):
            with pytest.raises(OSError, match="being closed") as refused:
                await journal.append(generation, file=file)
            assert errno.ESHUTDOWN == refused.value.errno
            with pytest.raises(OSError, match="being closed"):
                await journal.rename(number, "other")
            with pytest.raises(OSError, match="being closed"):
                await journal.end(number, "")
        await file.close()
        async with open_journal(staging.path) as journal:
            assert {"key": b"x"} == await read_all(journal)
            await journal.end(number, "")


async def test_a_bug_of_the_writer_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the mount, and whoever waits is told that his file is not safe."""
    failed: list[int | None] = []

    async def save(journal: Journal, key: str) -> None:
        try:
            await commit(journal, key, b"x")
        except OSError as error:
            failed.append(error.errno)

    def fail(fd: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(os, "fdatasync", fail)
    with trio.fail_after(5):
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with open_journal(tmp_path) as journal, trio.open_nursery() as nursery:
                nursery.start_soon(save, journal, "a")
                nursery.start_soon(save, journal, "b")
    assert [errno.ESHUTDOWN] * 2 == failed
