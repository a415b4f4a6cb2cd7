from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import trio
import trio.testing

from mountfs import filesystem
from mountfs.data.config import WriteConfig
from mountfs.errors import PreconditionFailedError
from mountfs.store.fake import FakeStore
from tests.vfs.opened import ROOT, look_up, opening_vfs
from tests.vfs.program import CALLER, Program, arrive, contents, relent
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.store.fake import Fault, Request


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that happens happen in one second of the calendar."""
    now = time.gmtime(1_700_000_000)
    monkeypatch.setattr(time, "gmtime", lambda *_: now)


async def test_a_write_through_a_handle_whose_name_shows_another_version_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The first write is: what it changes would be in no place. The other version stays."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a", flags=os.O_RDWR)
        await program.write(handle, 0, b"one")
        await program.changes.fsync(handle)
        inode = await look_up(vfs, b"a")
        store.bucket.put("a", b"TWO")
        with pytest.raises(OSError, match="replaced") as caught:
            await vfs.filesystem.reading.open(inode, os.O_DIRECT)
        assert errno.ESTALE == caught.value.errno
        assert b"TWO" == await program.load(b"a")
        with pytest.raises(OSError, match="replaced") as caught:
            await program.write(handle, 0, b"three")
        assert errno.ESTALE == caught.value.errno
        assert b"TWO" == await program.load(b"a")
        await program.close(handle)
        assert b"TWO" == await program.load(b"a")
    assert {"a": b"TWO"} == contents(store)


async def test_a_handle_may_write_on_while_nobody_has_seen_another_version(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The last close wins, as the documentation says."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a", flags=os.O_RDWR)
        await program.write(handle, 0, b"one")
        await program.changes.fsync(handle)
        await program.write(handle, 3, b" two")
        await program.close(handle)
        assert b"one two" == await program.load(b"a")
    assert {"a": b"one two"} == contents(store)


@pytest.mark.parametrize("makes_directory", [True, False], ids=["mkdir", "mknod"])
async def test_a_listing_that_sees_what_is_being_made_does_not_make_it_exist_already(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, makes_directory: bool
) -> None:
    """The store has it before its answer is here, and a page of a LIST may overtake that."""
    store = FakeStore(page_size=5)
    for number in range(40):
        store.bucket.put(f"d/{number:03}", b"")
    listing = trio.Event()

    def watch(request: Request) -> Fault | None:
        store.latency_seconds = {"LIST": 0.1, "PUT": 5.0}.get(request.kind, 0.0)
        if request.kind == "LIST" and request.delimiter:
            listing.set()
        return None

    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"d")
        store.fault_for = watch
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.names, parent)
            await arrive(listing)
            if makes_directory:
                made = await program.changes.make_directory(parent, b"zz", 0o755, 0o022, CALLER)
            else:
                made = await program.changes.make_node(parent, b"zz", 0o100644, 0o022, 0, CALLER)
        relent(store)
        assert made.attributes.inode == await look_up(vfs, b"zz", parent)
        assert 1 == (await program.names(parent)).count(b"zz")
    assert ("d/zz/" if makes_directory else "d/zz") in store.bucket.keys


async def test_two_conflicts_of_one_second_are_both_kept(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, one_second: None
) -> None:
    """With ``--conflict=fail`` what was refused is beside what somebody else has written."""
    store = FakeStore()
    store.bucket.put("model.pt", b"theirs 0")
    async with opening_vfs(store, tmp_path, write=WriteConfig(conflict="fail")) as vfs:
        program = Program(vfs)
        for number in (1, 2):
            handle = await program.open_to_write(b"model.pt", flags=os.O_WRONLY | os.O_TRUNC)
            await program.write(handle, 0, f"ours {number}".encode())
            store.bucket.put("model.pt", f"theirs {number}".encode())
            with pytest.raises(PreconditionFailedError):
                await program.close(handle)
            await settled()
            assert f"theirs {number}".encode() == await program.load(b"model.pt")
    assert sorted([b"ours 1", b"ours 2", b"theirs 2"]) == sorted(contents(store).values())
    assert b"theirs 2" == store.bucket.read("model.pt")


async def test_two_conflicts_of_one_second_are_both_kept_with_write_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, one_second: None
) -> None:
    """The close was over long before; nothing that it has promised is lost."""
    store = FakeStore()
    store.bucket.put("model.pt", b"theirs 0")
    write = WriteConfig(conflict="fail", write_back=True)
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        program = Program(vfs)
        for number in (1, 2):
            handle = await program.open_to_write(b"model.pt", flags=os.O_WRONLY | os.O_TRUNC)
            await program.write(handle, 0, f"ours {number}".encode())
            store.bucket.put("model.pt", f"theirs {number}".encode())
            await program.close(handle)
            assert f"ours {number}".encode() == await program.load(b"model.pt")
            assert vfs.dirty is not None
            await vfs.dirty.drain()
            await settled()
            assert f"theirs {number}".encode() == await program.load(b"model.pt")
    assert sorted([b"ours 1", b"ours 2", b"theirs 2"]) == sorted(contents(store).values())
    assert b"theirs 2" == store.bucket.read("model.pt")


async def test_who_replaces_a_file_with_conflict_fail_replaces_what_is_there_by_then(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """A listing does not tell whether there is one: another host has made it since."""
    store = FakeStore()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    async with opening_vfs(store, tmp_path, write=WriteConfig(conflict="fail")) as vfs:
        program = Program(vfs)
        assert [] == await program.names()
        store.bucket.put("f", b"theirs")
        with mock.patch.object(filesystem, "is_replacing", return_value=True):
            assert vfs.filesystem.lookup_if_ready(ROOT, b"f", os.getpid()) is None
        handle = await program.open_to_write(b"f", flags=flags)
        await program.write(handle, 0, b"ours")
        await program.close(handle)
    assert {"f": b"ours"} == contents(store)
