from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.store.fake import FakeStore
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, arrive, contents, relent, slow_down
from tests.vfs.write_back import WRITE_BACK, save_again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mountfs.store.fake import Request

PART = 64 * 1024


def small_store() -> FakeStore:
    """Return a store that takes two parts at a time, and small ones."""
    store = FakeStore(part_size_bytes=PART, min_part_bytes=PART)
    store.concurrency.limit = 2.0
    return store


def is_part(request: Request) -> bool:
    """Tell whether *request* sends a part."""
    return request.kind == "UPLOAD_PART"


def is_completion(request: Request) -> bool:
    """Tell whether *request* makes an object of parts."""
    return request.kind == "COMPLETE_UPLOAD"


async def test_a_file_that_is_being_uploaded_is_removed_without_waiting_for_the_upload(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """While only parts are sent the upload is given up; the store is left with nothing."""
    store = small_store()
    is_sending = slow_down(store, is_part, seconds=10.0)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"large", bytes(20 * PART))
        await arrive(is_sending)
        await program.unlink(b"large")
        assert 2 == store.requests["UPLOAD_PART"]
        assert [] == store.bucket.uploads()
    assert {} == contents(store)
    assert 0 == store.requests["COMPLETE_UPLOAD"]


async def test_a_file_whose_upload_is_being_completed_is_removed_from_the_store(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """From that request on nobody knows whether there is an object, so it is waited for."""
    store = small_store()
    is_completing = slow_down(store, is_completion, seconds=10.0)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"large", bytes(4 * PART))
        await arrive(is_completing)
        await program.unlink(b"large")
        assert 1 == store.requests["DELETE"]
    assert {} == contents(store)
    assert 0 == store.requests["ABORT_UPLOAD"]


async def test_an_upload_that_was_interrupted_is_made_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The removal that asked for it may be given up before it has come to anything."""
    store = small_store()
    is_sending = slow_down(store, is_part, seconds=10.0)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        data = bytes(range(256)) * (PART // 64)
        await program.save(b"large", data)
        await arrive(is_sending)
        with trio.CancelScope() as scope:
            scope.cancel()
            await program.changes.unlink(1, b"large")
        relent(store)
    assert {"large": data} == contents(store)
    assert 1 == store.requests["ABORT_UPLOAD"]


async def remove(program: Program) -> None:
    """Remove ``a``."""
    await program.unlink(b"a")


async def rename(program: Program) -> None:
    """Rename ``a``."""
    await program.rename(b"a", b"b")


@pytest.mark.parametrize("act", [remove, rename])
async def test_the_mount_ends_while_the_name_of_a_file_goes_that_is_to_be_uploaded(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    act: Callable[[Program], Awaitable[None]],
) -> None:
    """From its first delete on that cannot be cancelled, and the upload is never made."""
    store = FakeStore()
    with trio.CancelScope() as mount:
        async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
            program = Program(vfs)
            await program.save(b"a", b"old")
            await program.changes.sync_all()
            await save_again(program, b"a", b"new")
            is_deleting = slow_down(store, lambda request: request.kind == "DELETE", seconds=3.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(act, program)
                await arrive(is_deleting)
                await trio.sleep(2.0)  # the upload comes due
                mount.cancel()
    assert mount.cancelled_caught
