"""A file is opened in the moment in which it loses its name, or its object."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.config import WriteConfig
from mountfs.errors import AccessDeniedError
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore
from tests.vfs.opened import look_up, opening_vfs, read
from tests.vfs.program import CALLER, Program, arrive, contents, slow_down

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.errors import StoreError
    from mountfs.store.fake import Request

BOTH_MODES = pytest.mark.parametrize("is_write_back", [False, True])


def is_delete(request: Request) -> bool:
    """Tell whether *request* deletes an object."""
    return request.kind == "DELETE"


async def open_until_it_is_there(program: Program, name: bytes) -> bytes:
    """Open *name* as the kernel does, which looks up again upon ESTALE, and return its content."""
    for _ in range(3):
        try:
            inode = await program.open_to_read(name)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        else:
            content = await read(program.vfs, inode, 0, 100)
            program.vfs.filesystem.reading.release(inode)
            return content
    raise AssertionError(f"{name!r} is always stale")


@BOTH_MODES
async def test_who_opens_a_file_that_is_being_replaced_gets_the_new_one(
    is_write_back: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Neither EIO nor ESTALE at a read: what was opened stays."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WriteConfig(write_back=is_write_back)) as vfs:
        program = Program(vfs)
        await program.save(b"old", b"old")
        await program.save(b"new", b"new")
        await program.changes.sync_all()
        is_deleting = slow_down(store, is_delete, seconds=10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"new", b"old")
            await arrive(is_deleting)
            assert b"new" == await open_until_it_is_there(program, b"old")
    assert {"old": b"new"} == contents(store)


@BOTH_MODES
async def test_who_writes_to_a_file_that_is_being_removed_makes_another_one(
    is_write_back: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Not one that is lost with the name."""
    store = FakeStore()
    await store.put("f", (b"old",), ObjectHeaders())
    async with opening_vfs(store, tmp_path, write=WriteConfig(write_back=is_write_back)) as vfs:
        program = Program(vfs)
        inode = await look_up(vfs, b"f")
        is_deleting = slow_down(store, is_delete, seconds=10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.unlink, b"f")
            await arrive(is_deleting)
            with pytest.raises(OSError, match="replaced") as caught:
                await program.changes.open_to_write(inode, os.O_WRONLY, CALLER)
            assert errno.ESTALE == caught.value.errno
    assert {} == contents(store)


async def test_who_opens_a_file_whose_removal_is_refused_gets_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever waited for the outcome opens what is still there."""
    store = FakeStore()
    await store.put("f", (b"content",), ObjectHeaders())
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await look_up(vfs, b"f")
        is_deleting = trio.Event()

        def refuse_slowly(request: Request) -> StoreError | None:
            store.latency_seconds = 0.0
            if not is_delete(request):
                return None
            store.latency_seconds = 10.0
            is_deleting.set()
            return AccessDeniedError("no")

        async def try_to_remove() -> None:
            with pytest.raises(AccessDeniedError):
                await program.unlink(b"f")

        store.fault_for = refuse_slowly
        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_to_remove)
            await is_deleting.wait()
            assert b"content" == await open_until_it_is_there(program, b"f")
    assert {"f": b"content"} == contents(store)
