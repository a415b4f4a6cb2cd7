"""The store or the staging disk is away for a while: what is kept, and what is forgotten later."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.pending_files import DOUBTFUL_MAX
from mountfs.errors import StoreUnavailableError
from mountfs.store.fake import FakeStore, LostAnswer
from tests.vfs.inside import journalled_files
from tests.vfs.opened import opening_vfs, read
from tests.vfs.program import Program, arrive, contents, refuse, relent
from tests.vfs.write_back import (
    CAUTIOUS_WRITE_BACK,
    LONG_SECONDS,
    WRITE_BACK,
    append,
    failing_disk,
    full_journal,
    killed,
    recover_from,
    save_again,
    slow_disk,
)
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.store.fake import Request
    from mountfs.vfs.assembly import Vfs

LARGE = 3 << 19
"""More than the journal keeps among its records."""

NO_ANSWER = StoreUnavailableError("no answer")


def used_bytes(directory: Path) -> int:
    """Return how much disk a directory takes."""
    return sum(512 * path.stat().st_blocks for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("pause_seconds", [0, 60], ids=["never tried", "each of them tried"])
async def test_saves_in_an_outage_do_not_fill_the_disk(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, pause_seconds: int
) -> None:
    """Few older ones are kept, however many may have landed, and the last one gets through."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        refuse(store, NO_ANSWER, "PUT")
        await trio.sleep(5)
        for number in range(30):
            await save_again(program, b"f", bytes([number]) * LARGE)
            await trio.sleep(pause_seconds)
        assert used_bytes(tmp_path) <= (DOUBTFUL_MAX + 2) * LARGE
        relent(store)
        await trio.sleep(LONG_SECONDS)
        assert {"f": bytes([29]) * LARGE} == contents(store)
        assert {} == journalled_files(vfs)


async def test_a_file_is_readable_when_the_answer_to_its_upload_was_lost(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What it was appended to has gone then; it is found out at once, and not at the next try."""
    base = os.urandom(6 << 20)
    store = FakeStore()
    store.bucket.put("f", base)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await append(program, b"f", b"tail", size_bytes=len(base))
        lost = trio.Event()

        def lose_answer(request: Request) -> LostAnswer | None:
            if lost.is_set() or request.kind not in {"PUT", "COMPLETE_UPLOAD"}:
                return None
            lost.set()
            return LostAnswer(NO_ANSWER)

        store.fault_for = lose_answer
        await arrive(lost)
        await settled()
        inode = await program.open_to_read(b"f")
        assert base[-10:] + b"tail" == await read(vfs, inode, len(base) - 10, 100)


@pytest.mark.parametrize("way", ["removed", "renamed"])
async def test_what_the_journal_did_not_note_as_published_does_not_come_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, way: str
) -> None:
    """The disk was full when the upload ended; it is told again while the mount ends."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        with failing_disk(errno.ENOSPC):
            await trio.sleep(LONG_SECONDS)
        assert {"f": b"one"} == contents(store)
        if way == "removed":
            await program.unlink(b"f")
        else:
            await program.rename(b"f", b"g")
        before = contents(store)
    await recover_from(tmp_path, store)
    assert before == contents(store)


async def test_a_file_that_a_failed_rename_could_not_replace_takes_its_place_again(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The copy was made, and the journal kept what it should have forgotten: no conflict."""
    store = FakeStore()
    store.bucket.put("g", b"of g")
    async with opening_vfs(store, tmp_path, write=CAUTIOUS_WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"of f")
        with failing_disk(errno.ENOSPC), pytest.raises(OSError, match="No space left"):
            await program.rename(b"g", b"f")
        await trio.sleep(LONG_SECONDS)
        assert {"f": b"of f", "g": b"of g"} == contents(store)


async def test_a_file_removed_after_an_outage_does_not_come_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """None of its generations, though one was tried while the last was written to a slow disk."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        refuse(store, NO_ANSWER, "PUT")
        await program.save(b"f", b"0" * LARGE)
        await trio.sleep(100)
        for number in range(1, DOUBTFUL_MAX + 1):
            await save_again(program, b"f", b"%d" % number * LARGE)
            await trio.sleep(100 if number < DOUBTFUL_MAX else 2)
        with slow_disk():
            await save_again(program, b"f", b"9" * LARGE)
        await program.unlink(b"f")
        relent(store)
        await trio.sleep(LONG_SECONDS)
    await recover_from(tmp_path, store)
    assert {} == contents(store)


async def save_stored_and_waiting(vfs: Vfs) -> Program:
    """Save ``g``, which the store has then, and ``f``, which only the journal has."""
    program = Program(vfs)
    await program.save(b"g", b"precious")
    await trio.sleep(LONG_SECONDS)
    await program.save(b"f", b"of f")
    return program


@pytest.mark.parametrize("can_rename", [True, False], ids=["renamed by the store", "copied"])
async def test_what_replaces_a_file_that_waits_is_not_lost_when_the_journal_is_full(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, *, can_rename: bool
) -> None:
    """The waiting file's upload would come upon the only object that there is."""
    store = FakeStore(can_rename=can_rename)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = await save_stored_and_waiting(vfs)
        with failing_disk(errno.ENOSPC), pytest.raises(OSError, match="No space left"):
            await program.rename(b"g", b"f")
        await trio.sleep(LONG_SECONDS)
        assert b"precious" in contents(store).values()


@pytest.mark.parametrize("can_rename", [True, False], ids=["renamed by the store", "copied"])
async def test_what_replaces_a_file_that_is_given_up_meanwhile_is_not_lost(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, *, can_rename: bool
) -> None:
    """What the journal has of it is another file's by then, which waits as the first one did."""
    store = FakeStore(can_rename=can_rename)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = await save_stored_and_waiting(vfs)
        committer = program.changes._committer
        (given_up,) = committer.files.values()

        async def rename() -> None:
            with contextlib.suppress(OSError):
                await program.rename(b"g", b"f")

        with full_journal("end"):
            async with trio.open_nursery() as nursery, committer._locks.hold("f"):
                nursery.start_soon(rename)
                await trio.testing.wait_all_tasks_blocked()
                committer.discard(given_up)
        await trio.sleep(LONG_SECONDS)
        assert b"precious" in contents(store).values()


async def test_a_store_that_renames_is_asked_to_when_nothing_waits_at_the_new_name(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """One request, whatever was there before."""
    store = FakeStore(can_rename=True)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        for name in (b"f", b"g"):
            await program.save(name, name)
        await trio.sleep(LONG_SECONDS)
        await program.rename(b"g", b"f")
        assert {"f": b"g"} == contents(store)
        assert (1, 0) == (store.requests["RENAME"], store.requests["COPY"])


async def test_a_file_with_two_generations_in_the_journal_can_be_synced_after_a_failed_rename(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The disk was full for a moment, while the older one came due."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        with full_journal("end", "rename"):
            await _save_twice(program)
            with pytest.raises(OSError, match="No space left"):
                await program.rename(b"f", b"g")
        handle = await program.open_to_write(b"f")
        with trio.fail_after(LONG_SECONDS):
            await program.changes.fsync(handle)
        await program.close(handle)
        assert {"f": b"2" * LARGE} == contents(store)


@pytest.mark.parametrize("is_removed", [True, False], ids=["removed", "renamed"])
async def test_an_older_generation_does_not_come_back_under_a_name_that_is_gone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, *, is_removed: bool
) -> None:
    """Though the journal could not note its end at once."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path / "cache", write=WRITE_BACK) as vfs:
        program = Program(vfs)
        with full_journal("end"):
            await _save_twice(program)
            if not is_removed:
                await program.rename(b"f", b"g")
        if is_removed:
            await program.unlink(b"f")
        await trio.sleep(LONG_SECONDS)
        left = killed(store, tmp_path / "cache", tmp_path / "killed")
    await recover_from(tmp_path / "killed", left)
    assert ({} if is_removed else {"g": b"2" * LARGE}) == contents(left)


async def _save_twice(program: Program) -> None:
    """Save a file, and again to a slow disk: the first is due before the second is there."""
    await program.save(b"f", b"1" * LARGE)
    with slow_disk():
        await save_again(program, b"f", b"2" * LARGE)
