from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.attributes import AttributeChanges
from mountfs.errors import AccessDeniedError, ObjectNotFoundError
from mountfs.store.fake import FakeStore
from tests.vfs.opened import look_up, opening_vfs, read
from tests.vfs.program import CALLER, Program, arrive, contents, relent, slow_down
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.store.fake import Fault, Request

PART_BYTES = 64 * 1024
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(5 * PART_BYTES // 8))
"""Two parts and a half."""


def small_parts() -> FakeStore:
    """Return a store whose parts are small."""
    return FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=1)


def slow_parts(request: Request) -> float:
    """Return the latency of a request: later parts take longer, and an abort the longest."""
    if request.kind == "UPLOAD_PART":
        return 0.2 * request.number
    return {"CREATE_UPLOAD": 0.05, "COMPLETE_UPLOAD": 0.05, "ABORT_UPLOAD": 0.3}.get(
        request.kind, 0.01
    )


def slow_by_kind(store: FakeStore) -> None:
    """Let answers of *store* take as long as `slow_parts` says."""

    def watch(request: Request) -> Fault | None:
        store.latency_seconds = slow_parts(request)
        return None

    store.fault_for = watch


@pytest.mark.parametrize("centiseconds", range(5, 100, 10))
async def test_a_close_that_meets_a_rename_stores_all_of_the_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, centiseconds: int
) -> None:
    """Whichever part is under way then: there is one object, under the new key, and whole."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a")
        slow_by_kind(store)
        await program.write(handle, 0, CONTENT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.close, handle)
            await trio.sleep(centiseconds / 100)
            await program.rename(b"a", b"b")
        relent(store)
        assert {"b": CONTENT} == contents(store)
        assert CONTENT == await program.load(b"b")
    assert {"b": CONTENT} == contents(store)
    assert [] == store.bucket.uploads()


@pytest.mark.parametrize("centiseconds", range(5, 100, 10))
async def test_a_close_that_meets_a_truncation_by_name_stores_all_or_the_truncated_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, centiseconds: int
) -> None:
    """What the store has is never a part of either, and in the end it is the truncated file."""
    store = small_parts()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a")
        slow_by_kind(store)
        await program.write(handle, 0, CONTENT)
        seen: list[bytes] = []

        async def close() -> None:
            await program.close(handle)
            seen.append(store.bucket.read("a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            await trio.sleep(centiseconds / 100)
            await program.truncate(b"a", 5)
        assert seen[0] in {CONTENT, CONTENT[:5]}
        assert CONTENT[:5] == await program.load(b"a")
    assert {"a": CONTENT[:5]} == contents(store)
    assert [] == store.bucket.uploads()


@pytest.mark.parametrize("kind", ["COMPLETE_UPLOAD", "COPY", "DELETE"])
async def test_a_rename_that_is_interrupted_does_not_harm_the_writer(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str
) -> None:
    """Whoever waits for the rename may be killed at any request of it."""
    store = small_parts()
    content = 3 * CONTENT
    sent_bytes = len(content) - PART_BYTES
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a")
        arrived = slow_down(store, lambda request: request.kind == kind)
        await program.write(handle, 0, content[:sent_bytes])
        await settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.rename, b"a", b"b")
            await arrive(arrived)
            nursery.cancel_scope.cancel()
        relent(store)
        await program.write(handle, sent_bytes, content[sent_bytes:])
        await program.close(handle)
        # Given up between the copy and the delete, it leaves the copy.
        name = b"a" if b"a" in await program.names() else b"b"
        assert content == await program.load(name)
    assert content == store.bucket.read(name.decode())
    assert [] == store.bucket.uploads()


async def write_parts(program: Program, handle: int, start: int) -> None:
    """Write on until a write fails."""
    for number in range(8):
        await program.write(handle, start + number * PART_BYTES, bytes(PART_BYTES))
        await settled()


async def test_a_file_whose_stream_has_failed_can_be_removed_while_it_is_open(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """``rm`` works at the first attempt; the writer still gets its error."""
    store = small_parts()

    def refuse_third(request: Request) -> Fault | None:
        if request.kind == "UPLOAD_PART" and request.number == 3:
            return AccessDeniedError("no", status=403)
        return None

    store.fault_for = refuse_third
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"a")
        await program.write(handle, 0, 2 * CONTENT)
        await settled()
        with pytest.raises(AccessDeniedError):
            await write_parts(program, handle, 2 * len(CONTENT))
        await program.unlink(b"a")
        with pytest.raises(AccessDeniedError):
            await program.close(handle)
    assert {} == contents(store)
    assert [] == store.bucket.uploads()


async def test_a_file_whose_stream_has_failed_can_be_replaced_after_the_close(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The failure was that of one writer."""
    store = small_parts()
    store.fault_for = lambda request: (
        AccessDeniedError("no", status=403) if request.kind == "UPLOAD_PART" else None
    )
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        with pytest.raises(AccessDeniedError):
            await program.save(b"a", CONTENT)
        relent(store)
        await settled()
        with pytest.raises(ObjectNotFoundError):
            await program.load(b"a")
        await program.save(b"a", CONTENT)
        assert CONTENT == await program.load(b"a")
    assert {"a": CONTENT} == contents(store)


async def overwrite_in_order(program: Program) -> int:
    """Open ``f`` with O_TRUNC and write parts that are sent at once; return the handle."""
    handle = await program.open_to_write(b"f", flags=os.O_WRONLY | os.O_TRUNC)
    await settled()
    await program.write(handle, 0, b"x" * (4 * PART_BYTES + 1))
    await settled()
    return handle


async def test_a_file_that_is_emptied_while_it_is_streamed_is_not_published_before_its_close(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Nothing of what was sent is needed again, so nobody sees half of it."""
    store = small_parts()
    store.bucket.put("f", b"whole")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await overwrite_in_order(program)
        inode = await look_up(vfs, b"f")
        await program.changes.set_attributes(inode, AttributeChanges(size_bytes=0), handle, CALLER)
        assert {"f": b"whole"} == contents(store)
        await program.write(handle, 0, b"new")
        await program.close(handle)
    assert {"f": b"new"} == contents(store)
    assert [] == store.bucket.uploads()


@pytest.mark.parametrize("is_writer", [False, True], ids=["reader", "writer"])
async def test_a_file_that_somebody_else_has_open_is_not_published_to_be_read(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, is_writer: bool
) -> None:
    """What it has so far stays here: in the store it would be half a file."""
    store = small_parts()
    store.bucket.put("f", b"whole")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        if is_writer:
            other = await program.open_to_write(b"f", flags=os.O_RDWR)
        else:
            other = await program.open_to_read(b"f")
        handle = await overwrite_in_order(program)
        assert b"x" == await read(vfs, await look_up(vfs, b"f"), 2 * PART_BYTES, 1)
        assert {"f": b"whole"} == contents(store)
        await program.close(handle)
        if is_writer:
            await program.close(other)
        else:
            vfs.filesystem.reading.release(other)
    assert {"f": b"x" * (4 * PART_BYTES + 1)} == contents(store)


async def test_a_file_is_not_made_longer_than_the_store_takes(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The truncation says so at once, not the close."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        handle = await program.create(b"f")
        inode = await look_up(vfs, b"f")
        too_long = AttributeChanges(size_bytes=1 << 60)
        with pytest.raises(OSError, match="too large") as caught:
            await program.changes.set_attributes(inode, too_long, handle, CALLER)
        assert errno.EFBIG == caught.value.errno
        await program.close(handle)
    assert {"f": b""} == contents(store)
