"""An upload that waits for the lock of its key while a younger version of the file is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, contents
from tests.vfs.write_back import CAUTIOUS_WRITE_BACK, WRITE_BACK, save_again, slow_disk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import trio.testing

    from mountfs.data.config import WriteConfig

MIB = 1024 * 1024
OLD = b"o" * (2 * MIB)
NEW = b"n" * (2 * MIB)
"""Too large for the journal itself: a close writes them to files, which takes its time."""


async def save_twice(program: Program) -> None:
    """Save ``f`` twice; the first version becomes due while the second is written to the disk."""
    await program.save(b"f", OLD)
    with slow_disk():
        await save_again(program, b"f", NEW)


def letters(store: FakeStore) -> dict[str, bytes]:
    """Return how each object begins."""
    return {key: content[:1] for key, content in contents(store).items()}


@pytest.mark.parametrize("write", [WRITE_BACK, CAUTIOUS_WRITE_BACK], ids=["overwrite", "fail"])
async def test_of_two_versions_only_the_younger_is_uploaded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig
) -> None:
    """The older one is no conflict for the younger one either."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        await save_twice(Program(vfs))
    assert {"f": b"n"} == letters(store)
    assert 1 == store.requests["PUT"]


async def remove(program: Program) -> dict[str, bytes]:
    """Remove ``f``; return what the store is to have then."""
    await program.unlink(b"f")
    return {}


async def rename(program: Program) -> dict[str, bytes]:
    """Rename ``f``; return what the store is to have then."""
    await program.rename(b"f", b"g")
    return {"g": b"n"}


@pytest.mark.parametrize("act", [remove, rename])
async def test_an_older_version_does_not_come_back_under_a_name_that_is_gone(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    act: Callable[[Program], Awaitable[dict[str, bytes]]],
) -> None:
    """It was still waiting when the younger one was removed, or renamed."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await save_twice(program)
        expected = await act(program)
    assert expected == letters(store)
