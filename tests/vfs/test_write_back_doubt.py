"""The store has done what it was asked, and the answer is lost or still on its way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.store.fake import FakeStore
from tests.vfs.inside import journalled_files
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, arrive, contents, slow_down
from tests.vfs.write_back import (
    CAUTIOUS_WRITE_BACK,
    LONG_SECONDS,
    WRITE_BACK,
    append,
    killed,
    lose_first_answer,
    recover_from,
    save_again,
    slow_disk,
    slow_ends,
)
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mountfs.data.config import WriteConfig


BASE = b"base" * 1000
LARGE = 3 << 19
"""More than the journal keeps among its records."""

NO_ANSWER = StoreUnavailableError("no answer")


def one_file() -> FakeStore:
    """Return a store that has ``f``."""
    store = FakeStore()
    store.bucket.put("f", BASE)
    return store


async def test_a_file_that_was_appended_to_gets_through_when_the_first_answer_is_lost(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What it was appended to has gone then, replaced by the first attempt itself."""
    store = one_file()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await append(program, b"f", b"tail", size_bytes=len(BASE))
        lose_first_answer(store, "PUT", NO_ANSWER)
        await trio.sleep(LONG_SECONDS)
        assert {"f": BASE + b"tail"} == contents(store)
        assert vfs.dirty is not None
        assert 0 == vfs.dirty.pending_count
        assert BASE + b"tail" == await program.load(b"f")


async def test_a_file_that_was_appended_to_is_read_while_the_answer_is_on_its_way(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The store has no version any more that the journal's part of it lies on top of."""
    store = one_file()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await append(program, b"f", b"tail", size_bytes=len(BASE))
        await arrive(slow_down(store, lambda request: request.kind == "PUT", seconds=10.0))
        assert BASE + b"tail" == await program.load(b"f")


async def test_a_file_is_appended_to_again_while_the_answer_is_on_its_way(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The close fetches what it needs of a version that has just been replaced."""
    store = one_file()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await append(program, b"f", b"tail", size_bytes=len(BASE))
        await arrive(slow_down(store, lambda request: request.kind == "PUT", seconds=10.0))
        await append(program, b"f", b"more", size_bytes=len(BASE) + len(b"tail"))
    assert {"f": BASE + b"tailmore"} == contents(store)


async def test_a_retry_that_our_own_first_attempt_refuses_is_no_conflict(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """With ``--conflict=fail``: there is one object, and no copy beside it."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=CAUTIOUS_WRITE_BACK) as vfs:
        await Program(vfs).save(b"f", b"one")
        lose_first_answer(store, "PUT", NO_ANSWER)
        await trio.sleep(LONG_SECONDS)
    assert {"f": b"one"} == contents(store)


async def test_after_a_conflict_nothing_is_left_to_be_uploaded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """With ``--conflict=fail`` ours is beside theirs, and that is the end of it."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=CAUTIOUS_WRITE_BACK) as vfs:
        await Program(vfs).save(b"f", b"ours")
        store.bucket.put("f", b"theirs")
        await trio.sleep(LONG_SECONDS)
        assert [b"ours", b"theirs"] == sorted(contents(store).values())
        assert {} == journalled_files(vfs)


async def test_a_removal_also_removes_what_a_refusal_did_not_tell_of(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The answer to the first attempt is lost, and credentials expire before the second."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"content")
        await arrive(lose_first_answer(store, "PUT", AccessDeniedError("expired")))
        await settled()
        await program.unlink(b"f")
    assert {} == contents(store)


async def remove(program: Program) -> dict[str, bytes]:
    """Remove ``f``; return what the store is to have then."""
    await program.unlink(b"f")
    return {}


async def rename(program: Program) -> dict[str, bytes]:
    """Rename ``f``; return what the store is to have then."""
    await program.rename(b"f", b"g")
    return {"g": b"two"}


@pytest.mark.parametrize("act", [remove, rename])
async def test_an_older_version_that_may_be_in_the_store_does_not_stay_there(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    act: Callable[[Program], Awaitable[dict[str, bytes]]],
) -> None:
    """Its answer is lost; a younger one takes its place, which then goes or gets another name."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await save_again(program, b"f", b"two")
        expected = await act(program)
    assert expected == contents(store)


@pytest.mark.parametrize("write", [WRITE_BACK, CAUTIOUS_WRITE_BACK], ids=["overwrite", "fail"])
async def test_an_exclusive_file_whose_first_answer_is_lost_is_no_conflict_for_a_younger_version(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig
) -> None:
    """What the store has is the older version, not somebody else's file."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f", flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        await program.write(handle, 0, b"one")
        await program.close(handle)
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await save_again(program, b"f", b"second")
        await trio.sleep(LONG_SECONDS)
        assert {"f": b"second"} == contents(store)
        assert b"second" == await program.load(b"f")


async def test_an_older_version_whose_answer_was_lost_is_no_conflict_after_a_kill(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The replay has a younger one for its place, and still knows it."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path / "cache", write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await save_again(program, b"f", b"second")
        assert {"f": b"one"} == contents(store)
        left = killed(store, tmp_path / "cache", tmp_path / "killed")
    await recover_from(tmp_path / "killed", left)
    assert {"f": b"second"} == contents(left)


async def test_a_rename_returns_while_an_older_version_that_may_be_in_the_store_is_ended(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It waits for no upload that needs the names which it has itself."""
    store = FakeStore()
    large = b"2" * (3 << 19)
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"tmp", b"one")
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        with slow_ends(0.02):
            with slow_disk():  # the second attempt comes due, and waits for the close
                await save_again(program, b"tmp", large)
            await program.rename(b"tmp", b"final")
        await trio.sleep(LONG_SECONDS)
        assert {"final": large} == contents(store)
        assert {} == journalled_files(vfs)


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "ended properly"])
async def test_what_was_published_beside_and_removed_does_not_come_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, *, is_killed: bool
) -> None:
    """Not an older generation of it either, of which the store said nothing."""
    store = FakeStore()
    directory = tmp_path / "cache"
    async with opening_vfs(store, directory, write=CAUTIOUS_WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await save_again(program, b"f", b"second")
        store.bucket.put("f", b"somebody else's")
        await trio.sleep(LONG_SECONDS)
        await program.unlink(b"f")
        before = contents(store)
        assert [b"second"] == [*before.values()]
        if is_killed:
            store = killed(store, directory, tmp_path / "killed")
            directory = tmp_path / "killed"
    await recover_from(directory, store)
    assert before == contents(store)


@pytest.mark.parametrize("size_bytes", [3, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("write", [WRITE_BACK, CAUTIOUS_WRITE_BACK], ids=["overwrite", "fail"])
async def test_a_file_renamed_over_one_that_may_be_in_the_store_takes_its_place(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig, size_bytes: int
) -> None:
    """As checkpoints are saved: under another name, and renamed."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"1" * size_bytes)
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await program.save(b"tmp", b"2" * size_bytes)
        await program.rename(b"tmp", b"f")
        await trio.sleep(LONG_SECONDS)
        assert {"f": b"2" * size_bytes} == contents(store)
        assert {} == journalled_files(vfs)


async def test_a_file_renamed_over_one_that_may_be_in_the_store_survives_a_crash(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What the store holds is ours: the renamed one replaces it, and there is no conflict."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path / "cache", write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"f", b"one")
        await arrive(lose_first_answer(store, "PUT", NO_ANSWER))
        await settled()
        await program.save(b"tmp", b"second")
        await program.rename(b"tmp", b"f")
        assert {"f": b"one"} == contents(store)
        left = killed(store, tmp_path / "cache", tmp_path / "killed")
    await recover_from(tmp_path / "killed", left)
    assert {"f": b"second"} == contents(left)
