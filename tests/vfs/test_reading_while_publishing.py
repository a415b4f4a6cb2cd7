"""A file is read while the store has its new version and the answer that says so is on its way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.store.fake import FakeStore
from tests.vfs.opened import look_up, opening_vfs, read
from tests.vfs.program import Program, arrive, contents, slow_down

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


PART_BYTES = 64 * 1024
BASE = b"b" * (6 * PART_BYTES)
HEAD = b"HEAD"


async def publish(program: Program, handle: int) -> str:
    """Let ``f`` be published; return its key."""
    await program.changes.flush(handle)
    return "f"


async def rename(program: Program, handle: int) -> str:
    """Let ``f`` be renamed; return its key."""
    await program.rename(b"f", b"g")
    return "g"


@pytest.mark.parametrize(("act", "kind"), [(publish, "COMPLETE_UPLOAD"), (rename, "DELETE")])
async def test_what_is_the_same_in_both_versions_is_read_while_the_old_one_has_gone(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    act: Callable[[Program, int], Awaitable[str]],
    kind: str,
) -> None:
    """Only its head was written; the rest is the store's, of a version that is not there now."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=PART_BYTES)
    store.bucket.put("f", BASE)
    keys: list[str] = []
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.open_to_write(b"f", flags=os.O_RDWR)
        await program.write(handle, 0, HEAD)
        has_arrived = slow_down(store, lambda request: request.kind == kind, seconds=10.0)
        inode = await look_up(vfs, b"f")

        async def change() -> None:
            keys.append(await act(program, handle))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            await arrive(has_arrived)
            assert BASE[:10] == await read(vfs, inode, 5 * PART_BYTES, 10)
        await program.close(handle)
    assert {keys[0]: HEAD + BASE[len(HEAD) :]} == contents(store)
