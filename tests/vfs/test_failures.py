from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.config import WriteConfig
from mountfs.errors import ObjectNotFoundError, QuotaExceededError, ThrottledError
from mountfs.store.fake import FakeStore
from tests.mount.fake_mount import mounting_fake
from tests.vfs.opened import look_up, opening_vfs, read
from tests.vfs.program import READ_BYTES, Program, contents, refuse, relent
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mountfs.store.fake import Fault, Request

OLD = b"o" * 300_000
PATCH = b"N" * 200_000
PATCHED = PATCH + OLD[len(PATCH) :]
UPLOADS = ("PUT", "COMPLETE_UPLOAD")
PAGE_BYTES = 4096


def full() -> QuotaExceededError:
    """Return what a full store answers."""
    return QuotaExceededError("full", status=403)


async def test_a_new_file_that_could_not_be_stored_is_not_there(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Its close has failed; whoever looks then sees what the store has: nothing."""
    store = FakeStore()
    refuse(store, full(), *UPLOADS)
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        with pytest.raises(QuotaExceededError):
            await program.save(b"new", b"n" * 1000)
        await settled()
        with pytest.raises(ObjectNotFoundError):
            await program.load(b"new")
        assert [] == await program.names()
        relent(store)
        await program.save(b"new", b"again")
        assert b"again" == await program.load(b"new")
    assert {"new": b"again"} == contents(store)


async def test_a_change_that_could_not_be_stored_is_not_shown_afterwards(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The name shows what the store has; an open reader gets an error or one of both contents."""
    store = FakeStore()
    store.bucket.put("old", OLD)
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        reader = await program.open_to_read(b"old")
        handle = await program.open_to_write(b"old", flags=os.O_RDWR)
        await program.write(handle, 0, PATCH)
        assert PATCHED == await read(vfs, reader, 0, READ_BYTES)
        refuse(store, full(), *UPLOADS)
        with pytest.raises(QuotaExceededError):
            await program.close(handle)
        await settled()
        relent(store)
        assert OLD == await program.load(b"old")
        # The kernel has pages of what was written: nothing else may come from this inode.
        with pytest.raises(QuotaExceededError):
            await read(vfs, reader, 0, READ_BYTES)
        vfs.filesystem.reading.release(reader)
    assert {"old": OLD} == contents(store)


async def test_a_file_that_another_writer_still_has_open_stays_failed_until_its_last_close(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The second writer learns that what was written is lost."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        first = await program.create(b"a")
        second = await program.open_to_write(b"a")
        await program.write(first, 0, b"one")
        refuse(store, full(), *UPLOADS)
        with pytest.raises(QuotaExceededError):
            await program.close(first)
        relent(store)
        with pytest.raises(QuotaExceededError):
            await program.write(second, 3, b"two")
        with pytest.raises(QuotaExceededError):
            await program.close(second)
        await settled()
        assert [] == await program.names()
    assert {} == contents(store)


@pytest.mark.mount
def test_readers_of_a_change_that_could_not_be_stored_never_see_a_mix(tmp_path: Path) -> None:
    """Also when the kernel has pages of what was written, and drops some."""
    store = FakeStore()
    store.bucket.put("old", OLD)
    with mounting_fake(store, tmp_path / "mnt") as mount:
        path = mount.path / "old"
        reader = os.open(path, os.O_RDONLY)
        try:
            mount.call(lambda: refuse(store, full(), *UPLOADS))
            with pytest.raises(OSError, match="quota") as caught, path.open("r+b") as file:
                file.write(PATCH)
            assert errno.EDQUOT == caught.value.errno
            wait_for(lambda: OLD == path.read_bytes())
            assert len(OLD) == os.stat(path).st_size
            os.posix_fadvise(reader, 2 * PAGE_BYTES, 2 * PAGE_BYTES, os.POSIX_FADV_DONTNEED)
            seen = read_as_far_as_possible(reader)
            assert seen in {OLD[: len(seen)], PATCHED[: len(seen)]}
        finally:
            os.close(reader)


@pytest.mark.mount
def test_a_new_file_that_could_not_be_stored_is_gone_for_the_kernel_too(tmp_path: Path) -> None:
    """Neither `stat` nor `open` finds it."""
    store = FakeStore()
    with mounting_fake(store, tmp_path / "mnt") as mount:
        path = mount.path / "new"
        mount.call(lambda: refuse(store, full(), *UPLOADS))
        with pytest.raises(OSError, match="quota") as caught, path.open("wb") as file:
            file.write(b"n" * 1000)
        assert errno.EDQUOT == caught.value.errno
        wait_for(lambda: not path.exists())
        with pytest.raises(FileNotFoundError):
            path.read_bytes()
        assert [] == os.listdir(mount.path)


@pytest.mark.parametrize("moves_directory", [False, True], ids=["file", "directory"])
async def test_a_pending_file_that_the_store_refuses_holds_up_its_rename_for_a_bounded_time(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, moves_directory: bool
) -> None:
    """Then it is EBUSY; when the store takes it at last, it can be renamed."""
    store = FakeStore()
    store.bucket.put("d/", b"")
    tried = trio.Event()

    def throttle(request: Request) -> Fault | None:
        if request.kind != "PUT":
            return None
        tried.set()
        return ThrottledError("slow down", status=503)

    async with opening_vfs(store, tmp_path, write=WriteConfig(write_back=True)) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"d")

        async def rename() -> None:
            if moves_directory:
                await program.rename(b"d", b"e")
            else:
                await program.rename(b"x", b"y", parent, parent)

        store.fault_for = throttle
        await program.save(b"x", OLD, parent)
        await tried.wait()
        with trio.fail_after(20.0), pytest.raises(OSError, match="does not tell") as caught:
            await rename()
        assert errno.EBUSY == caught.value.errno
        assert OLD == await program.load(b"x", parent)
        relent(store)
        # The clock jumps while a thread writes the journal, so the rename must not wait for that.
        await program.changes.sync_all()
        await rename()
        assert OLD == await program.load(b"x" if moves_directory else b"y", parent)
    expected = {"e/": b"", "e/x": OLD} if moves_directory else {"d/": b"", "d/y": OLD}
    assert expected == contents(store)


def read_as_far_as_possible(descriptor: int) -> bytes:
    """Return what comes before the first error."""
    seen = b""
    with contextlib.suppress(OSError):
        while piece := os.pread(descriptor, PAGE_BYTES, len(seen)):
            seen += piece
    return seen


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; the kernel tells of a close after it has returned."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.005)
    raise AssertionError("it does not become true")
