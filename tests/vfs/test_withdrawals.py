"""A file that waits for its upload is removed, replaced or renamed, and something fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import StoreUnavailableError
from mountfs.store.fake import FakeStore
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, arrive, contents, refuse, relent, slow_down
from tests.vfs.write_back import (
    WRITE_BACK,
    failing_disk,
    killed,
    recover_from,
    save_again,
    slow_ends,
)
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_read", [False, True], ids=["store", "store and mount"])
async def test_a_removal_that_the_store_refuses_keeps_what_was_closed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, is_read: bool
) -> None:
    """The store has an older version; the younger one, which was acknowledged, gets there."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"old")
        await program.changes.sync_all()
        await save_again(program, b"f", b"new content")
        refuse(store, StoreUnavailableError("503"), "DELETE")
        with pytest.raises(StoreUnavailableError):
            await program.unlink(b"f")
        relent(store)
        if is_read:
            assert b"new content" == await program.load(b"f")
    assert {"f": b"new content"} == contents(store)


async def test_a_file_is_not_lost_when_the_journal_refuses_to_let_it_replace_another(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It is in the store, and was to replace a file that waits for its upload."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"a", b"precious")
        await program.changes.sync_all()
        await program.save(b"b", b"pending")
        with failing_disk(errno.EIO), pytest.raises(OSError, match="Input/output error"):
            await program.rename(b"a", b"b")
    assert b"precious" in contents(store).values()


async def test_a_file_whose_removal_has_returned_does_not_come_back_after_a_kill(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Also if it was killed when the journal was still to note that it had been uploaded."""
    store = FakeStore()
    with slow_ends(5.0):  # others have much to sync
        async with opening_vfs(store, tmp_path / "cache", write=WRITE_BACK) as vfs:
            program = Program(vfs)
            await program.save(b"f", b"content")
            await arrive(slow_down(store, lambda request: request.kind == "PUT", seconds=0.0))
            await settled()
            assert {"f": b"content"} == contents(store)
            await program.unlink(b"f")
            assert {} == contents(store)
            left = killed(store, tmp_path / "cache", tmp_path / "killed")
    await recover_from(tmp_path / "killed", left)
    assert {} == contents(left)


async def test_a_file_that_was_being_renamed_is_there_after_a_kill(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What the store had has gone, and the journal has not noted the new name: one of both."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path / "cache", write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"a", b"old")
        await program.changes.sync_all()
        await save_again(program, b"a", b"new")
        is_deleting = slow_down(store, lambda request: request.kind == "DELETE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"a", b"b")
            await arrive(is_deleting)
            left = killed(store, tmp_path / "cache", tmp_path / "killed")
        relent(store)
    await recover_from(tmp_path / "killed", left)
    assert contents(left) in ({"a": b"new"}, {"b": b"new"})
