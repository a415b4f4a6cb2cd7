"""Of two hosts that make the same name one succeeds, and what is exclusive stays so."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.vfs.opened import ROOT, opening_vfs
from tests.vfs.program import CALLER, Program, contents, relent
from tests.vfs.write_back import WRITE_BACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import trio.testing

    from mountfs.data.config import WriteConfig
    from mountfs.store.fake import Fault, Request

MIB = 1024 * 1024


async def make_directory(program: Program) -> None:
    """Do what ``mkdir lock`` does."""
    await program.changes.make_directory(ROOT, b"lock", 0o755, 0, CALLER)


async def make_symlink(program: Program) -> None:
    """Do what ``ln -s me lock`` does."""
    await program.changes.make_symlink(ROOT, b"lock", b"me", CALLER)


async def make_pipe(program: Program) -> None:
    """Do what ``mkfifo lock`` does."""
    await program.changes.make_node(ROOT, b"lock", stat.S_IFIFO | 0o644, 0, 0, CALLER)


@pytest.mark.parametrize("make", [make_directory, make_symlink, make_pipe])
async def test_of_two_hosts_that_make_the_same_name_one_fails(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    make: Callable[[Program], Awaitable[None]],
) -> None:
    """Another one has made it after this one has looked: it does not exist twice, nor is lost."""
    store = FakeStore()

    def overtake(request: Request) -> Fault | None:
        if request.kind == "PUT":
            store.bucket.put(request.key, b"theirs")
        return None

    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        store.fault_for = overtake
        with pytest.raises(FileExistsError):
            await make(Program(vfs))
        relent(store)
    assert [b"theirs"] == list(contents(store).values())


async def test_a_directory_that_another_mount_has_made_is_not_made_again(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """As a lock it works, since it is not only looked for here."""
    store = FakeStore()
    async with (
        opening_vfs(store, tmp_path / "one") as one,
        opening_vfs(store, tmp_path / "two") as two,
    ):
        await make_directory(Program(one))
        with pytest.raises(FileExistsError):
            await make_directory(Program(two))


@pytest.mark.parametrize("write", [None, WRITE_BACK], ids=["default", "write-back"])
async def test_an_exclusive_file_that_is_changed_after_an_fsync_is_no_conflict(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig | None
) -> None:
    """What is at its key then is its own."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f", flags=os.O_RDWR | os.O_CREAT | os.O_EXCL)
        await program.write(handle, 0, b"a" * (4 * MIB))
        await program.changes.fsync(handle)
        await program.write(handle, MIB, b"b" * (2 * MIB))
        await program.close(handle)
    found = contents(store)
    assert ["f"] == list(found)
    assert b"a" * MIB + b"b" * (2 * MIB) + b"a" * MIB == found["f"]
