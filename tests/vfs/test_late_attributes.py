"""Attributes that are set while a file is uploaded: the store gets them after its content."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

from mountfs.attributes import AttributeChanges
from mountfs.store.fake import FakeStore
from tests.vfs.inside import written_files
from tests.vfs.opened import look_up, opening_vfs
from tests.vfs.program import CALLER, Program, arrive, slow_down
from tests.vfs.write_back import LONG_SECONDS
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mountfs.vfs.assembly import Vfs

PART_BYTES = 64 * 1024


@asynccontextmanager
async def publishing_late_attributes(
    store: FakeStore, vfs: Vfs
) -> AsyncIterator[tuple[int, trio.CancelScope]]:
    """Provide a handle whose file has all of its content in the store, but not yet its mode.

    A close of it is under way, which the scope kills.
    """
    program = Program(vfs)
    handle = await program.create(b"f")
    await program.write(handle, 0, b"x" * (3 * PART_BYTES))
    await settled()
    inode = await look_up(vfs, b"f")
    await program.changes.set_attributes(inode, AttributeChanges(mode=0o600), None, CALLER)
    is_copying = slow_down(store, lambda request: request.kind == "COPY", seconds=10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.changes.flush, handle)
        await arrive(is_copying)
        yield handle, nursery.cancel_scope
    program.changes.release_writer(handle)


async def test_nothing_is_left_of_a_file_that_is_released_while_its_attributes_are_saved(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The program is killed then: it is an ordinary file when the store has them."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        async with publishing_late_attributes(store, vfs) as (_, scope):
            scope.cancel()
        await trio.sleep(LONG_SECONDS)
        await settled()
        assert {} == written_files(vfs)


async def test_an_fsync_waits_for_attributes_that_a_close_is_saving(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """One request is enough for both, and neither returns before it is answered."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        assert vfs.changes is not None
        async with publishing_late_attributes(store, vfs) as (handle, _):
            await vfs.changes.fsync(handle)
            assert [None] == [file.commit for file in written_files(vfs).values()]
            assert 1 == store.requests["COPY"]
