"""What is shown, and told, when a close fails that nobody can repeat."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import AccessDeniedError
from mountfs.store.fake import FakeStore
from tests.vfs.inside import written_files
from tests.vfs.opened import look_up, opening_vfs
from tests.vfs.program import Program, contents, refuse
from tests.vfs.write_back import LONG_SECONDS, WRITE_BACK, failing_disk, save_again
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path


async def save_and_fail_to_save_again(program: Program) -> int:
    """Save ``f``, and again on a full disk while the first version waits for its upload.

    Returns the inode number, which has failed.
    """
    await program.save(b"f", b"one")
    inode = await look_up(program.vfs, b"f")
    with failing_disk(errno.ENOSPC), pytest.raises(OSError, match="No space left"):
        await save_again(program, b"f", b"two, and longer")
    return inode


async def test_a_close_that_fails_leaves_what_was_acknowledged_before(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The older version is uploaded, and is what the name shows before and after that."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await save_and_fail_to_save_again(program)
        await settled()
        assert {} == contents(store)
        assert b"one" == await program.load(b"f")
        await trio.sleep(LONG_SECONDS)
        assert {"f": b"one"} == contents(store)
        assert b"one" == await program.load(b"f")


async def test_nothing_is_left_of_a_failed_close_when_the_kernel_has_forgotten_the_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Until then who has it open gets the error; there is nothing to be uploaded."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        inode = await save_and_fail_to_save_again(Program(vfs))
        await trio.sleep(LONG_SECONDS)
        assert vfs.dirty is not None
        assert (0, 0) == (vfs.dirty.dirty_count, vfs.dirty.pending_count)
        assert [inode] == list(written_files(vfs))
        vfs.filesystem.forget(inode, 100)
        await settled()
        assert {} == written_files(vfs)


async def test_a_file_can_be_saved_again_after_a_close_that_failed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The failure was that of one writer; the last version is the one that gets there."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await save_and_fail_to_save_again(program)
        await settled()
        await save_again(program, b"f", b"three")
        assert b"three" == await program.load(b"f")
    assert {"f": b"three"} == contents(store)


async def test_a_file_of_a_killed_program_that_cannot_be_stored_is_counted_as_lost(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It had not been closed, so nobody waited for it: the end of the mount has to tell."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f")
        await program.write(handle, 0, b"data")
        refuse(store, AccessDeniedError("no"), "PUT")
        program.changes.release_writer(handle)
        assert vfs.dirty is not None
        await vfs.dirty.drain()
        assert 1 == vfs.dirty.lost_count
