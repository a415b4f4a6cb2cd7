from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import AccessDeniedError, StoreError, ThrottledError
from mountfs.store.fake import FakeStore
from tests.vfs.opened import ROOT, opening_vfs, read
from tests.vfs.program import Program, contents, refuse, relent
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import trio.testing

THEIRS = b"VERSION 2 OF ANOTHER HOST"


def one_file() -> FakeStore:
    """Return a store that has ``a``, and a source to move over it."""
    store = FakeStore()
    store.bucket.put("a", b"version 1")
    store.bucket.put("source", b"source")
    return store


async def fail_to_remove(program: Program, store: FakeStore) -> None:
    """Ask for a removal of ``a`` that the store refuses."""
    refuse(store, AccessDeniedError("no deletes here", status=403), "DELETE")
    with pytest.raises(AccessDeniedError):
        await program.unlink(b"a")
    relent(store)


async def fail_to_replace(program: Program, store: FakeStore) -> None:
    """Ask for a rename over ``a`` whose copy fails."""
    refuse(store, ThrottledError("slow down", status=503), "COPY")
    with pytest.raises(StoreError):
        await program.rename(b"source", b"a")
    relent(store)


FAILURES = [
    pytest.param(fail_to_remove, id="unlink"),
    pytest.param(fail_to_replace, id="rename over it"),
]


@pytest.mark.parametrize("fail", FAILURES)
async def test_what_was_fetched_for_a_removal_that_failed_is_not_uploaded(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    fail: Callable[[Program, FakeStore], Awaitable[None]],
) -> None:
    """Somebody reads the file meanwhile; what another host puts there later, stays."""
    store = one_file()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        inode = await program.open_to_read(b"a")
        await fail(program, store)
        assert b"version 1" == await read(vfs, inode, 0, 100)
        store.bucket.put("a", THEIRS)
        vfs.filesystem.reading.release(inode)
        vfs.filesystem.forget(inode, 100)
        await settled()
        await program.changes.sync_all()
    assert THEIRS == store.bucket.read("a")
    assert b"source" == store.bucket.read("source")
    assert 0 == store.requests["PUT"] + store.requests["CREATE_UPLOAD"]


@pytest.mark.parametrize("fail", FAILURES)
async def test_a_writer_that_has_written_nothing_uploads_nothing_after_a_failed_removal(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    fail: Callable[[Program, FakeStore], Awaitable[None]],
) -> None:
    """To hold a file open is no change."""
    store = one_file()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.open_to_write(b"a", flags=os.O_RDWR)
        await fail(program, store)
        store.bucket.put("a", THEIRS)
        await program.close(handle)
    assert THEIRS == store.bucket.read("a")
    assert 0 == store.requests["PUT"] + store.requests["CREATE_UPLOAD"]


@pytest.mark.parametrize("fail", FAILURES)
async def test_what_was_written_is_published_after_a_failed_removal(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    fail: Callable[[Program, FakeStore], Awaitable[None]],
) -> None:
    """The file has kept its name, so its close stores it."""
    store = one_file()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.open_to_write(b"a", flags=os.O_RDWR)
        await program.write(handle, 0, b"VERSION")
        await fail(program, store)
        await program.write(handle, 8, b"3")
        await program.close(handle)
        assert b"VERSION 3" == await program.load(b"a")
    assert {"a": b"VERSION 3", "source": b"source"} == contents(store)


async def test_a_removed_file_is_read_and_written_on_and_leaves_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Its content was fetched before the object went."""
    store = one_file()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        inode = await program.open_to_read(b"a")
        handle = await program.open_to_write(b"a", flags=os.O_RDWR)
        await program.unlink(b"a")
        await program.write(handle, 0, b"VERSION")
        assert b"VERSION 1" == await read(vfs, inode, 0, 100)
        assert [b"source"] == await program.names(ROOT)
        await program.close(handle)
        vfs.filesystem.reading.release(inode)
    assert {"source": b"source"} == contents(store)
