"""Writes that have to wait for memory, while somebody publishes or gives them up."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

from mountfs.store.fake import FakeStore
from tests.vfs.inside import budget_of, written_files
from tests.vfs.opened import look_up, opening_vfs
from tests.vfs.program import Program, arrive, contents
from tests.vfs.write_back import slow_disk
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mountfs.vfs.assembly import Vfs

PART_BYTES = 64 * 1024


@contextmanager
def no_memory(vfs: Vfs) -> Iterator[None]:
    """Let other files take all the memory that drafts may have."""
    budget = budget_of(vfs)
    taken_bytes = budget.limit_bytes // 2
    budget.reserve_for_draft(taken_bytes)
    try:
        yield
    finally:
        budget.release_draft(taken_bytes)


async def test_a_write_into_a_part_that_was_sent_is_stored_when_a_publish_overtakes_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Its bytes were in the draft before the publish began, and it was still to return."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f")
        await program.write(handle, 0, b"x" * (3 * PART_BYTES + 10))
        await settled()
        file = written_files(vfs)[await look_up(vfs, b"f")]
        assert file.stream is not None
        assert 3 * PART_BYTES == file.stream.sent_to
        assert file.draft is not None
        await file.draft.spill(PART_BYTES)
        with no_memory(vfs), slow_disk(fast_writes=1) as is_writing:  # then its bytes are there
            async with trio.open_nursery() as nursery:
                nursery.start_soon(program.write, handle, 0, b"HEAD")
                await arrive(is_writing)
                await program.changes.sync_all()
        await program.close(handle)
    assert b"HEAD" == contents(store)["f"][:4]


async def test_a_write_that_is_interrupted_when_its_bytes_are_there_succeeds(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It only makes room for others then; EINTR would say that nothing was written."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    is_written = False
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f", flags=os.O_RDWR)
        inode = await look_up(vfs, b"f")

        async def write() -> None:
            nonlocal is_written
            await program.write(handle, 0, b"HEAD")
            is_written = True

        with no_memory(vfs), slow_disk() as is_writing:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await arrive(is_writing)
                nursery.cancel_scope.cancel()
        assert is_written
        assert len(b"HEAD") == vfs.filesystem.getattr(inode).attributes.size_bytes
        await program.close(handle)
    assert {"f": b"HEAD"} == contents(store)
