"""Directories that are listed while they are renamed, and renames that fail half-way."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import trio
import trio.testing

from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.store.fake import FakeStore
from tests.vfs.opened import ROOT, look_up, opening_vfs
from tests.vfs.program import CALLER, Program, arrive, contents, refuse, relent, slow_down
from tests.vfs.write_back import (
    CAUTIOUS_WRITE_BACK,
    LONG_SECONDS,
    WRITE_BACK,
    failing_disk,
    killed,
    lose_first_answer,
    recover_from,
    save_again,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mountfs.data.config import WriteConfig
    from mountfs.errors import StoreError
    from mountfs.store.fake import Request


NO_ANSWER = StoreUnavailableError("no answer")
NAMES = [f"f{number}".encode() for number in range(6)]
TTL_SECONDS = 100.0
"""Of virtual time; more than what is known of a directory is believed."""


def one_directory() -> FakeStore:
    """Return a store that has ``old``, with `NAMES`."""
    store = FakeStore()
    for name in NAMES:
        store.bucket.put(f"old/{name.decode()}", b"x")
    return store


async def make_directory(program: Program, name: bytes) -> int:
    """Make *name* and return its inode number."""
    await program.changes.make_directory(ROOT, name, 0o755, 0, CALLER)
    return await look_up(program.vfs, name)


@pytest.mark.parametrize("is_known", [False, True], ids=["not listed before", "listed before"])
async def test_who_lists_a_directory_while_its_old_objects_go_empties_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, is_known: bool
) -> None:
    """Nothing is left at its old place, and all of it is at the new one."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        old = await look_up(vfs, b"old")
        if is_known:
            assert NAMES == await program.names(old)
            await trio.sleep(TTL_SECONDS)
        is_deleting = slow_down(store, lambda request: request.kind == "DELETE_MANY", seconds=10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"old", b"new")
            await arrive(is_deleting)
            await program.names(old)
        assert NAMES == await program.names(await look_up(vfs, b"new"))
    assert [f"new/{name.decode()}" for name in NAMES] == sorted(contents(store))


async def test_who_lists_the_target_while_objects_are_copied_there_hides_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It is an empty directory, of which more is seen than was there when the rename began."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        new = await make_directory(program, b"new")
        await trio.sleep(TTL_SECONDS)
        is_copying = slow_down(store, lambda request: request.kind == "COPY", seconds=10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"old", b"new")
            await arrive(is_copying)
            await trio.sleep(1.0)
            await program.names(new)
        moved = await look_up(vfs, b"new")
        assert NAMES == await program.names(moved)
        assert b"x" == await program.load(NAMES[0], moved)


async def test_a_directory_rename_that_fails_takes_its_copies_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """``mv old new`` again would move it into the half of ``new`` that is there."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        store.fault_for = lambda request: (
            AccessDeniedError("no") if request.source == "old/f5" else None
        )
        with pytest.raises(AccessDeniedError):
            await program.rename(b"old", b"new")
        relent(store)
        assert NAMES == await program.names(await look_up(vfs, b"old"))
    assert [f"old/{name.decode()}" for name in NAMES] == sorted(contents(store))


async def test_what_a_failed_rename_had_meant_to_copy_hides_no_file_of_that_name(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Somebody makes the new directory later, and it is not empty."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await program.save(b"x", b"of old", await make_directory(program, b"old"))
        refuse(store, AccessDeniedError("no"), "COPY")
        with pytest.raises(AccessDeniedError):
            await program.rename(b"old", b"new")
        relent(store)
        await program.save(b"x", b"precious", await make_directory(program, b"new"))
        await trio.sleep(TTL_SECONDS)
        with pytest.raises(OSError, match="not empty") as caught:
            await program.rename(b"old", b"new")
        assert errno.ENOTEMPTY == caught.value.errno
    assert b"precious" == contents(store)["new/x"]


@pytest.mark.parametrize("write", [WRITE_BACK, CAUTIOUS_WRITE_BACK], ids=["overwrite", "fail"])
async def test_a_file_that_waits_in_a_directory_whose_rename_fails_is_no_conflict(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, write: WriteConfig
) -> None:
    """It replaces its own older version, which could not be deleted; also after a kill."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path / "cache", write=write) as vfs:
        program = Program(vfs)
        directory = await make_directory(program, b"d")
        await program.save(b"f", b"old", directory)
        await program.changes.sync_all()
        await save_again(program, b"f", b"newer", directory)
        refuse(store, AccessDeniedError("no"), "DELETE", "DELETE_MANY")
        with pytest.raises(AccessDeniedError):
            await program.rename(b"d", b"e")
        relent(store)
        assert b"old" == contents(store)["d/f"]
        left = killed(store, tmp_path / "cache", tmp_path / "killed")
        await trio.sleep(LONG_SECONDS)
        assert b"newer" == contents(store)["d/f"]
        assert b"newer" == await program.load(b"f", directory)
    await recover_from(tmp_path / "killed", left)
    assert b"newer" == contents(left)["d/f"]


async def test_a_rename_whose_copies_were_not_answered_is_done_by_repeating_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What stands at the new place then is its own."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        lose_first_answer(store, "COPY", NO_ANSWER)
        with pytest.raises(StoreUnavailableError):
            await program.rename(b"old", b"new")
        relent(store)
        await look_up(vfs, b"new")
        await program.rename(b"old", b"new")
    assert [f"new/{name.decode()}" for name in NAMES] == sorted(contents(store))


async def test_a_rename_interrupted_in_its_copies_is_done_by_repeating_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """They arrive after all, when nobody waits for them any more."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        is_copying = slow_down(store, lambda request: request.kind == "COPY", seconds=10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"old", b"new")
            await arrive(is_copying)
            nursery.cancel_scope.cancel()
        relent(store)
        await trio.sleep(20)
        await program.names(ROOT)
        with contextlib.suppress(OSError):  # the kernel looks up what it renames to
            await look_up(vfs, b"new")
        await program.rename(b"old", b"new")
    assert [f"new/{name.decode()}" for name in NAMES] == sorted(contents(store))


async def test_a_rename_that_the_journal_did_not_take_is_done_by_repeating_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """All has been copied by then, and nothing deleted."""
    store = one_directory()
    async with opening_vfs(store, tmp_path, write=WRITE_BACK) as vfs:
        program = Program(vfs)
        await program.save(b"g", b"x", await look_up(vfs, b"old"))
        with failing_disk(errno.ENOSPC), pytest.raises(OSError, match="No space left"):
            await program.rename(b"old", b"new")
        await program.names(ROOT)
        with contextlib.suppress(OSError):  # the kernel looks up what it renames to
            await look_up(vfs, b"new")
        await program.rename(b"old", b"new")
    assert [f"new/{name.decode()}" for name in [*NAMES, b"g"]] == sorted(contents(store))


@contextlib.contextmanager
def keeping(*kept: str) -> Iterator[None]:
    """Refuse to delete these keys together with others."""
    delete_many = FakeStore.delete_many

    async def delete_others(store: FakeStore, keys: Iterable[str]) -> dict[str, StoreError]:
        asked = list(keys)
        failed = await delete_many(store, [key for key in asked if key not in kept])
        return {**failed, **{key: AccessDeniedError("no") for key in asked if key in kept}}

    with mock.patch.object(FakeStore, "delete_many", delete_others):
        yield


@pytest.mark.parametrize("is_other", [True, False], ids=["another directory", "the same again"])
async def test_what_a_failed_rename_has_left_is_not_written_over(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, *, is_other: bool
) -> None:
    """Of what was deleted already, the copy at the new place is the only one."""
    store = FakeStore()
    store.bucket.put("a/model", b"precious")
    store.bucket.put("a/stuck", b"stuck")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        with keeping("a/stuck"), pytest.raises(AccessDeniedError):
            await program.rename(b"a", b"new")
        assert {"a/stuck": b"stuck", "new/model": b"precious", "new/stuck": b"stuck"} == contents(
            store
        )
        source = b"b" if is_other else b"a"
        parent = await make_directory(program, b"b") if is_other else await look_up(vfs, b"a")
        await program.save(b"model", b"younger", parent)
        await look_up(vfs, b"new")
        with pytest.raises(OSError, match="not empty"):
            await program.rename(source, b"new")
        assert b"precious" == contents(store)["new/model"]
        if not is_other:
            await program.unlink(b"model", parent)
            await program.rename(b"a", b"new")
            assert {"new/model": b"precious", "new/stuck": b"stuck"} == contents(store)
            assert [b"model", b"stuck"] == await program.names(await look_up(vfs, b"new"))


async def test_a_rename_that_was_refused_leaves_no_right_to_write_over_anything(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What has the content of something that should have been copied once may be somebody's."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        old = await make_directory(program, b"old")
        for content in (b"one", b"two"):
            await program.save(b"x", content, old)
            refuse(store, AccessDeniedError("no"), "COPY")
            with pytest.raises(AccessDeniedError):
                await program.rename(b"old", b"new")
            relent(store)
        await program.save(b"x", b"one", await make_directory(program, b"new"))
        await trio.sleep(LONG_SECONDS)
        with pytest.raises(OSError, match="not empty"):
            await program.rename(b"old", b"new")
        assert b"one" == contents(store)["new/x"]


@pytest.mark.parametrize("kind", ["LIST", "COPY"])
async def test_what_a_failed_rename_has_left_is_shown_until_something_takes_its_place(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str
) -> None:
    """Whoever sees nothing there would write over the only copy, or remove its directory."""
    store = FakeStore()
    store.bucket.put("a/model", b"precious")
    store.bucket.put("a/stuck", b"stuck")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        with keeping("a/stuck"), pytest.raises(AccessDeniedError):
            await program.rename(b"a", b"new")
        await look_up(vfs, b"a")
        new = await look_up(vfs, b"new")
        assert [b"model", b"stuck"] == await program.names(new)
        lists = 0

        def refuse_some(request: Request) -> StoreError | None:
            nonlocal lists
            lists += request.kind == "LIST" and request.key.startswith("a/")
            is_late = request.kind != "LIST" or lists > 1
            return AccessDeniedError("no") if request.kind == kind and is_late else None

        store.fault_for = refuse_some
        with contextlib.suppress(AccessDeniedError):
            await program.rename(b"a", b"new")
        relent(store)
        assert [b"model", b"stuck"] == await program.names(await look_up(vfs, b"new"))
        assert b"precious" == contents(store)["new/model"]
        assert 1 == lists


async def test_a_marker_of_the_target_does_not_stand_in_the_way_of_the_next_attempt(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It is not among what was copied, since the source had none."""
    store = one_directory()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await make_directory(program, b"new")
        copies = 0

        def refuse_third(request: Request) -> StoreError | None:
            nonlocal copies
            copies += request.kind == "COPY"
            return AccessDeniedError("no") if request.kind == "COPY" and copies == 3 else None

        store.fault_for = refuse_third
        with pytest.raises(AccessDeniedError):
            await program.rename(b"old", b"new")
        relent(store)
        await trio.sleep(TTL_SECONDS)
        await look_up(vfs, b"new")
        await program.rename(b"old", b"new")
        assert {f"new/{name.decode()}" for name in NAMES} < contents(store).keys()
        assert not any(key.startswith("old/") for key in contents(store))
