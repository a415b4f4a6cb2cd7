from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import PreconditionFailedError
from mountfs.fuse.errno_map import errno_of
from mountfs.store.fake import FakeStore
from tests.mount.fake_mount import mounting_fake
from tests.vfs.opened import look_up, opening_vfs
from tests.vfs.program import CALLER, Program, arrive, contents, relent, slow_down
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

PART_BYTES = 64 * 1024
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(20 * PART_BYTES // 8))
"""Ten parts."""


def small_parts(*keys: str) -> FakeStore:
    """Return a store whose parts are small, with an object for each of *keys*."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)
    for key in keys:
        store.bucket.put(key, key.encode())
    return store


async def rename_slowly(
    program: Program,
    store: FakeStore,
    kind: str,
    act: Callable[[], Awaitable[None]],
) -> None:
    """Rename ``d`` to ``e``; *act* begins when a request of *kind* has arrived."""
    arrived = slow_down(store, lambda request: request.kind == kind)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.rename, b"d", b"e")
        await arrive(arrived)
        await act()
    relent(store)


@pytest.mark.parametrize("kind", ["LIST", "COPY", "DELETE_MANY"])
@pytest.mark.parametrize("is_open_before", [False, True], ids=["created then", "open before"])
async def test_a_file_that_is_streamed_while_its_directory_moves_is_under_the_new_key_only(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, is_open_before: bool, kind: str
) -> None:
    """It becomes large, so that its parts go up, during the rename."""
    store = small_parts("d/other")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"d")
        handles: list[int] = []

        async def create() -> None:
            handles.append(await program.create(b"f", parent))

        async def write() -> None:
            if not is_open_before:
                await create()
            for start in range(0, len(CONTENT), PART_BYTES):
                await program.write(handles[0], start, CONTENT[start : start + PART_BYTES])
                await settled()

        if is_open_before:
            await create()
        await rename_slowly(program, store, kind, write)
        await program.close(handles[0])
        assert CONTENT == await program.load(b"f", await look_up(vfs, b"e"))
    assert {"e/f": CONTENT, "e/other": b"d/other"} == contents(store)
    assert [] == store.bucket.uploads()


@pytest.mark.parametrize("kind", ["LIST", "COPY", "DELETE_MANY"])
async def test_a_file_that_is_overwritten_while_its_directory_moves_is_under_the_new_key_only(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str
) -> None:
    """It is opened, and truncated, during the rename."""
    store = small_parts("d/f", "d/g")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"d")
        inode = await look_up(vfs, b"f", parent)
        handles: list[int] = []

        async def write() -> None:
            flags = os.O_WRONLY | os.O_TRUNC
            handle = await program.changes.open_to_write(inode, flags, CALLER)
            handles.append(handle)
            await settled()  # the headers to keep are known then
            for start in range(0, len(CONTENT), PART_BYTES):
                await program.write(handle, start, CONTENT[start : start + PART_BYTES])
                await settled()

        await rename_slowly(program, store, kind, write)
        await program.close(handles[0])
        assert CONTENT == await program.load(b"f", await look_up(vfs, b"e"))
    assert {"e/f": CONTENT, "e/g": b"d/g"} == contents(store)
    assert [] == store.bucket.uploads()


async def test_a_file_that_is_streamed_while_it_moves_is_under_the_new_key_only(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Somebody opens and overwrites it between the copy and the delete."""
    store = small_parts("a")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        inode = await look_up(vfs, b"a")
        copying = slow_down(store, lambda request: request.kind == "COPY")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"a", b"b")
            await arrive(copying)
            flags = os.O_WRONLY | os.O_TRUNC
            handle = await program.changes.open_to_write(inode, flags, CALLER)
            await settled()  # the headers to keep are known then
            await program.write(handle, 0, CONTENT)
        await program.close(handle)
        assert CONTENT == await program.load(b"b")
    assert {"b": CONTENT} == contents(store)
    assert [] == store.bucket.uploads()


async def test_a_directory_rename_serves_what_another_host_had_put_there(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """It copies what the store has, and that is not the version that was shown before."""
    store = small_parts("d/f", "d/g")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        assert b"d/f" == await program.load(b"f", await look_up(vfs, b"d"))
        store.bucket.put("d/f", b"NEW AND LONGER CONTENT")
        await program.rename(b"d", b"e")
        parent = await look_up(vfs, b"e")
        assert b"NEW AND LONGER CONTENT" == await program.load(b"f", parent)
        inode = await look_up(vfs, b"f", parent)
        assert 22 == program.changes.getattr(inode).attributes.size_bytes
    assert {"e/f": b"NEW AND LONGER CONTENT", "e/g": b"d/g"} == contents(store)


async def test_a_draft_on_a_version_that_a_directory_rename_has_lost_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Its untouched bytes are nowhere any more, and those of another version do not fit."""
    store = small_parts()
    store.bucket.put("d/f", b"a" * 20)
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"d")
        handle = await program.open_to_write(b"f", parent, flags=os.O_RDWR)
        await program.write(handle, 0, b"X")
        store.bucket.put("d/f", b"B" * 30)
        await program.rename(b"d", b"e")
        with pytest.raises(PreconditionFailedError) as caught:
            await program.close(handle)
        assert errno.ESTALE == errno_of(caught.value)
        await settled()
        assert b"B" * 30 == await program.load(b"f", await look_up(vfs, b"e"))
    assert {"e/f": b"B" * 30} == contents(store)


async def make_directory(program: Program, parent: int) -> None:
    """Make a directory."""
    await program.changes.make_directory(parent, b"new", 0o755, 0o022, CALLER)


async def make_node(program: Program, parent: int) -> None:
    """Make an empty file."""
    await program.changes.make_node(parent, b"new", 0o100644, 0o022, 0, CALLER)


async def unlink(program: Program, parent: int) -> None:
    """Remove a file."""
    await program.unlink(b"f", parent)


async def remove_directory(program: Program, parent: int) -> None:
    """Remove an empty directory."""
    await look_up(program.vfs, b"empty", parent)
    await program.changes.remove_directory(parent, b"empty")


STAYING = {"e/sub/f", "e/sub/g", "e/sub/empty/"}


@pytest.mark.parametrize("kind", ["LIST", "COPY", "DELETE_MANY"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(make_directory, STAYING | {"e/sub/new/"}, id="mkdir"),
        pytest.param(make_node, STAYING | {"e/sub/new"}, id="mknod"),
        pytest.param(unlink, STAYING - {"e/sub/f"}, id="unlink"),
        pytest.param(remove_directory, STAYING - {"e/sub/empty/"}, id="rmdir"),
    ],
)
async def test_a_name_that_changes_below_a_moving_directory_changes_under_the_new_prefix(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    change: Callable[[Program, int], Awaitable[None]],
    expected: set[str],
    kind: str,
) -> None:
    """The kernel locks the parents of what moves, and not what lies below."""
    store = small_parts("d/sub/f", "d/sub/g")
    store.bucket.put("d/sub/empty/", b"")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        parent = await look_up(vfs, b"sub", await look_up(vfs, b"d"))
        await program.names(parent)

        async def act() -> None:
            await change(program, parent)

        await rename_slowly(program, store, kind, act)
        assert expected == set(store.bucket.keys)
        assert parent == await look_up(vfs, b"sub", await look_up(vfs, b"e"))
        shown = {"e/sub/" + name.decode() for name in await program.names(parent)}
        assert {key.rstrip("/") for key in expected} == shown


async def test_an_unpublished_file_that_was_renamed_over_another_takes_it_away(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """What it has replaced does not come back when it moves on."""
    store = small_parts("b")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await look_up(vfs, b"b")
        handle = await program.create(b"tmp")
        await program.write(handle, 0, b"new")
        await program.rename(b"tmp", b"b")
        await program.rename(b"b", b"c")
        await program.close(handle)
        assert [b"c"] == await program.names()
    assert {"c": b"new"} == contents(store)


async def test_an_unpublished_file_that_replaces_another_leaves_it_until_its_close(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Other hosts see the old content or the new, and never none."""
    store = small_parts("b")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await look_up(vfs, b"b")
        handle = await program.create(b"tmp")
        await program.write(handle, 0, b"new")
        await program.rename(b"tmp", b"b")
        assert {"b": b"b"} == contents(store)
        await program.close(handle)
        assert b"new" == await program.load(b"b")
    assert {"b": b"new"} == contents(store)
    assert 0 == store.requests["DELETE"]


@pytest.mark.mount
@pytest.mark.parametrize("is_posix", [False, True], ids=["synthetic", "posix"])
def test_a_file_that_another_host_has_replaced_is_moved_at_the_second_attempt_at_latest(
    tmp_path: Path, is_posix: bool
) -> None:
    """The first attempt shows that it is another one; nobody has to wait for the TTL."""
    store = small_parts("a")
    with mounting_fake(store, tmp_path / "mnt", is_posix=is_posix) as mount:
        os.stat(mount.path / "a")
        mount.call(lambda: store.bucket.put("a", b"two"))
        _try_twice(lambda: os.rename(mount.path / "a", mount.path / "b"))
        assert b"two" == (mount.path / "b").read_bytes()
    assert {"b": b"two"} == contents(store)


@pytest.mark.mount
def test_attributes_of_a_file_that_another_host_has_replaced_are_set_at_the_second_attempt(
    tmp_path: Path,
) -> None:
    """They go to the version that is there by then."""
    store = small_parts("a")
    with mounting_fake(store, tmp_path / "mnt", is_posix=True) as mount:
        os.stat(mount.path / "a")
        mount.call(lambda: store.bucket.put("a", b"two"))
        _try_twice(lambda: os.chmod(mount.path / "a", 0o600))
        assert 0o600 == os.stat(mount.path / "a").st_mode & 0o777
        assert b"two" == (mount.path / "a").read_bytes()


def _try_twice(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        act()
