"""What is shown, and told, when a close fails that nobody can repeat."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.store.fake import FakeStore
from tests.vfs.inside import journalled_files, written_files
from tests.vfs.opened import look_up, opening_vfs
from tests.vfs.program import Program, arrive, contents, refuse, relent, slow_down
from tests.vfs.write_back import LONG_SECONDS, WRITE_BACK, failing_disk, save_again
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
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


async def test_a_lost_file_is_counted_once_when_the_kernel_forgets_it_meanwhile(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The last attempt is under way, and fails."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f")
        inode = await look_up(vfs, b"f")
        await program.write(handle, 0, b"data")
        store.latency_seconds = 2.0
        refuse(store, StoreUnavailableError("503"), "PUT")
        program.changes.release_writer(handle)
        await trio.sleep(1.0)
        vfs.filesystem.forget(inode, 10)
        await trio.sleep(LONG_SECONDS)
        relent(store)
        assert vfs.dirty is not None
        assert 1 == vfs.dirty.lost_count


async def fail_to_sync(program: Program, handle: int) -> None:
    """Write more through *handle*, which a full disk does not take."""
    await program.write(handle, 0, b"generation two")
    with failing_disk(errno.ENOSPC), pytest.raises(OSError, match="No space left"):
        await program.changes.fsync(handle)


async def give_up_during_upload(program: Program, store: FakeStore) -> None:
    """Save ``f``; while that is uploaded, close a handle of it that cannot be saved."""
    await program.save(b"f", b"one")
    handle = await program.open_to_write(b"f", flags=os.O_WRONLY | os.O_TRUNC)
    await fail_to_sync(program, handle)
    await arrive(slow_down(store, lambda request: request.kind == "PUT", seconds=5.0))
    program.changes.release_writer(handle)
    await trio.sleep(20.0)
    relent(store)
    assert {"f": b"one"} == contents(store)


async def test_a_file_that_was_given_up_during_an_upload_shows_what_was_uploaded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """And later what anybody else makes of it."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await give_up_during_upload(program, store)
        assert b"one" == await program.load(b"f")
        store.bucket.put("f", b"of somebody else")
        await trio.sleep(LONG_SECONDS)
        assert b"of somebody else" == await program.load(b"f")


async def test_a_file_that_was_given_up_during_an_upload_can_be_renamed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It is a file like any other that is in the store."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await give_up_during_upload(program, store)
        await program.rename(b"f", b"g")
        assert [b"g"] == await program.names()
    assert {"g": b"one"} == contents(store)


async def remove(program: Program) -> None:
    """Remove ``f``."""
    await program.unlink(b"f")


async def rename(program: Program) -> None:
    """Rename ``f``."""
    await program.rename(b"f", b"g")


@pytest.mark.parametrize("act", [remove, rename])
async def test_a_file_that_is_given_up_while_its_name_goes_leaves_nothing_half_done(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    act: Callable[[Program], Awaitable[None]],
) -> None:
    """The store has what is shown, no more and no less, and nothing waits for ever."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"zero")
        await program.changes.sync_all()
        handle = await program.open_to_write(b"f", flags=os.O_WRONLY | os.O_TRUNC)
        await program.write(handle, 0, b"one")
        await program.changes.flush(handle)
        await fail_to_sync(program, handle)
        store.latency_seconds = 5.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(act, program)
            await trio.sleep(1.0)
            program.changes.release_writer(handle)
        relent(store)
        await trio.sleep(LONG_SECONDS)
        names = await program.names()
        assert ([] if act is remove else [b"g"]) == names
        assert {name.decode(): await program.load(name) for name in names} == contents(store)
        assert {} == journalled_files(vfs)
