"""Uploads of one key while a younger version is saved there, or another file gets its name."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import trio
import trio.testing

from mountfs.data.journal import Journal
from mountfs.errors import AccessDeniedError
from mountfs.store.fake import FakeStore
from tests.vfs.inside import journalled_files
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, contents, refuse, relent, slow_down
from tests.vfs.write_back import (
    CAUTIOUS_WRITE_BACK,
    LONG_SECONDS,
    WRITE_BACK,
    save_again,
    slow_disk,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mountfs.data.config import WriteConfig

MIB = 1024 * 1024
OLD = b"o" * (2 * MIB)
NEW = b"n" * (2 * MIB)
"""Too large for the journal itself: a close writes them to files, which takes its time."""


async def save_twice(program: Program) -> None:
    """Save ``f`` twice; the first version becomes due while the second is written to the disk."""
    await program.save(b"f", OLD)
    with slow_disk():
        await save_again(program, b"f", NEW)


def letters(store: FakeStore) -> dict[str, bytes]:
    """Return how each object begins."""
    return {key: content[:1] for key, content in contents(store).items()}


@pytest.mark.parametrize("write", [WRITE_BACK, CAUTIOUS_WRITE_BACK], ids=["overwrite", "fail"])
async def test_of_two_versions_only_the_younger_is_uploaded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig
) -> None:
    """The older one is no conflict for the younger one either."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        await save_twice(Program(vfs))
    assert {"f": b"n"} == letters(store)
    assert 1 == store.requests["PUT"]


async def remove(program: Program) -> dict[str, bytes]:
    """Remove ``f``; return what the store is to have then."""
    await program.unlink(b"f")
    return {}


async def rename(program: Program) -> dict[str, bytes]:
    """Rename ``f``; return what the store is to have then."""
    await program.rename(b"f", b"g")
    return {"g": b"n"}


@pytest.mark.parametrize("act", [remove, rename])
async def test_an_older_version_does_not_come_back_under_a_name_that_is_gone(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    act: Callable[[Program], Awaitable[dict[str, bytes]]],
) -> None:
    """It was still waiting when the younger one was removed, or renamed."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await save_twice(program)
        expected = await act(program)
    assert expected == letters(store)


async def test_a_version_that_was_held_back_with_an_older_one_goes_up_with_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The older one could not be ended, and then a removal, for which both wait, is refused."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"zero")
        await program.changes.sync_all()
        await save_again(program, b"f", b"one")
        broken = OSError(errno.EIO, "broken")
        with mock.patch.object(Journal, "end", side_effect=broken) as end:
            with slow_disk():
                await save_again(program, b"f", NEW)
            await trio.sleep(0.1)
            assert end.called
            refuse(store, AccessDeniedError("no"), "DELETE")
            with pytest.raises(AccessDeniedError):
                await program.unlink(b"f")
            relent(store)
        await trio.sleep(LONG_SECONDS)
        assert {"f": b"n"} == letters(store)
        assert {} == journalled_files(vfs)


async def test_a_file_that_replaces_one_whose_upload_becomes_due_is_uploaded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The rename has both names while the store deletes what the file had been; then fsync."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"a", b"old")
        await program.changes.sync_all()
        slow_down(store, lambda request: request.kind == "DELETE", seconds=2.0)
        await program.save(b"b", b"replaced")
        handle = await program.open_to_write(b"a", flags=os.O_WRONLY | os.O_TRUNC)
        await program.write(handle, 0, b"new")
        await program.changes.flush(handle)
        await program.rename(b"a", b"b")
        with trio.fail_after(LONG_SECONDS):
            await program.changes.fsync(handle)
        program.changes.release_writer(handle)
        await trio.sleep(LONG_SECONDS)
        assert {"b": b"new"} == contents(store)
        assert {} == journalled_files(vfs)
