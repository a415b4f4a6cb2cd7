from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.attributes import Caller
from mountfs.store.fake import FakeStore
from tests.vfs.opened import ROOT, look_up, opening_vfs, read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mountfs.store.fake import Fault, Request
    from mountfs.vfs.assembly import Vfs

KIB = 1024
PART_BYTES = 64 * KIB
SIZE_BYTES = 128 * PART_BYTES
MIDDLE = SIZE_BYTES // 2
"""Far from what is fetched at the open, or ahead."""
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(SIZE_BYTES // 4))


def small_parts() -> FakeStore:
    """Return a store whose parts are small, with `CONTENT` at ``d/f``."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    store.bucket.put("d/f", CONTENT)
    return store


def stop_at(store: FakeStore, kind: str) -> trio.Event:
    """Return an event that a request of *kind* sets; its answer takes long, later ones do not."""
    seen = trio.Event()

    def watch(request: Request) -> Fault | None:
        store.latency_seconds = 0.0
        if request.kind == kind:
            store.latency_seconds = 60.0
            seen.set()
        return None

    store.fault_for = watch
    return seen


async def rename_file(vfs: Vfs, parent: int) -> None:
    """Rename ``d/f``."""
    assert vfs.changes is not None
    await vfs.changes.rename(parent, b"f", ROOT, b"g", 0)


async def rename_directory(vfs: Vfs, parent: int) -> None:
    """Rename ``d``."""
    assert vfs.changes is not None
    await vfs.changes.rename(ROOT, b"d", ROOT, b"e", 0)


async def remove(vfs: Vfs, parent: int) -> None:
    """Remove ``d/f``."""
    assert vfs.changes is not None
    await vfs.changes.unlink(parent, b"f")


CHANGES = [
    pytest.param(rename_file, "DELETE", id="rename"),
    pytest.param(rename_directory, "DELETE_MANY", id="rename of its directory"),
    pytest.param(remove, "DELETE", id="unlink"),
]


@pytest.mark.parametrize(("change", "kind"), CHANGES)
async def test_an_open_file_is_read_on_while_its_name_changes(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    change: Callable[[Vfs, int], Awaitable[None]],
    kind: str,
) -> None:
    """Also while the store has deleted the old key and the tree does not know it yet."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        parent = await look_up(vfs, b"d")
        inode = await look_up(vfs, b"f", parent)
        await vfs.filesystem.reading.open(inode, os.O_RDONLY)
        assert CONTENT[:4096] == await read(vfs, inode, 0, 4096)
        deleted = stop_at(store, kind)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, vfs, parent)
            await deleted.wait()
            store.latency_seconds = 0.0
            assert CONTENT[MIDDLE : MIDDLE + 4096] == await read(vfs, inode, MIDDLE, 4096)
        assert CONTENT[-10:] == await read(vfs, inode, SIZE_BYTES - 10, 10)
        assert 0 == vfs.filesystem.reading.stale_count
        vfs.filesystem.reading.release(inode)


async def test_an_open_that_meets_a_rename_opens_the_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The file is somewhere else, and not gone."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        parent = await look_up(vfs, b"d")
        inode = await look_up(vfs, b"f", parent)
        deleted = stop_at(store, "DELETE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rename_file, vfs, parent)
            await deleted.wait()
            await vfs.filesystem.reading.open(inode, os.O_RDONLY)
        assert CONTENT[:10] == await read(vfs, inode, 0, 10)
        assert vfs.filesystem.handles.is_open(inode)
        vfs.filesystem.reading.release(inode)
        assert not vfs.filesystem.handles.is_open(inode)


async def test_what_another_client_deletes_is_stale_and_open_counts_nothing(
    tmp_path: Path,
) -> None:
    """A refused open is no open."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        parent = await look_up(vfs, b"d")
        inode = await look_up(vfs, b"f", parent)
        store.bucket.delete("d/f")
        with pytest.raises(OSError, match="replaced") as caught:
            await vfs.filesystem.reading.open(inode, os.O_RDONLY)
        assert errno.ESTALE == caught.value.errno
        assert not vfs.filesystem.handles.is_open(inode)


async def test_a_file_that_was_written_meanwhile_is_opened_as_it_is_here(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """`O_DIRECT` asks the store first, and somebody writes until the answer comes."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        parent = await look_up(vfs, b"d")
        inode = await look_up(vfs, b"f", parent)
        assert vfs.changes is not None
        handle = await vfs.changes.open_to_write(inode, os.O_RDWR, Caller(0, 0, 0))
        asked = stop_at(store, "LIST")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(vfs.filesystem.reading.open, inode, os.O_DIRECT)
            await asked.wait()
            store.latency_seconds = 0.0
            await vfs.changes.write(handle, 0, b"new")
        assert b"new" + CONTENT[3:10] == await read(vfs, inode, 0, 10)
        vfs.filesystem.reading.release(inode)
        await vfs.changes.flush(handle)
        vfs.changes.release_writer(handle)
    assert b"new" + CONTENT[3:] == store.bucket.read("d/f")
