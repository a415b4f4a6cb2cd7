"""A draft whose tasks meet: order, waiting for memory, and what is lent out meanwhile."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.budget import Budget
from mountfs.data.draft import Draft, DroppedError
from tests.data.drafts import Disk, draft_on, no_base
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BLOCK = 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Provide a disk; all files on it must have been closed in the end."""
    disk = Disk(tmp_path)
    yield disk
    disk.stop()


@asynccontextmanager
async def draft_in(disk: Disk, budget: Budget, base_bytes: int = 0) -> AsyncIterator[Draft]:
    """Provide a draft; it must have given back all memory in the end."""
    draft = draft_on(disk, budget, block_bytes=BLOCK, base_bytes=base_bytes)
    try:
        yield draft
    finally:
        await draft.aclose()
    assert 0 == draft.held_bytes
    if budget.draft_bytes == 0:
        assert 0 == budget.used_bytes


async def content_of(draft: Draft) -> bytes:
    """Return all of a draft without a base."""
    return b"".join(await draft.read(0, draft.size_bytes, no_base))


async def test_writers_wait_for_the_thaw_and_go_on_in_order(disk: Disk) -> None:
    """A publish sees one state; whoever came first meanwhile is the first afterwards."""
    async with draft_in(disk, Budget(1000)) as draft, trio.open_nursery() as nursery:
        assert draft.write_if_ready(0, memoryview(b"before"))
        draft.freeze()
        draft.freeze()
        for letter in (b"a", b"b", b"c", b"d"):
            nursery.start_soon(draft.write, 0, letter * 3)
            await settled()
        nursery.start_soon(draft.truncate, 4)
        await settled()
        assert not draft.write_if_ready(0, memoryview(b"x"))
        draft.thaw()
        await settled()
        assert b"before" == await content_of(draft)
        draft.thaw()
        assert not draft.write_if_ready(0, memoryview(b"overtakes"))
        await settled()
        assert b"dddo" == await content_of(draft)
        assert draft.write_if_ready(0, memoryview(b"x"))


async def test_a_cancelled_writer_wrote_nothing(disk: Disk) -> None:
    """Neither bytes nor memory are left of it, and the next one goes on."""
    async with draft_in(disk, Budget(1000)) as draft:
        draft.freeze()
        with trio.move_on_after(0.01) as scope:
            await draft.write(0, b"never")
        assert scope.cancelled_caught
        draft.thaw()
        await draft.write(0, b"later")
        assert b"later" == await content_of(draft)


async def test_a_part_that_is_being_sent_does_not_change(disk: Disk) -> None:
    """What is written, appended or cut meanwhile goes elsewhere."""
    async with draft_in(disk, Budget(1000)) as draft:
        await draft.write(0, b"0123456789")
        part = await draft.collect(0, 10, no_base)
        await draft.write(3, b"xxx")
        await draft.write(10, b"more")
        await draft.truncate(5)
        await draft.write(5, b"yy")
        draft.drop(0, 2)
        assert b"0123456789" == b"".join(part)
        assert b"2xxyy" == b"".join(await draft.read(2, 7, no_base))


async def test_what_is_written_during_a_spill_is_kept(disk: Disk) -> None:
    """The disk gets the old bytes; the new ones stay in memory and are the ones to be read."""
    async with draft_in(disk, Budget(1000)) as draft:
        await draft.write(0, b"a" * 3 * BLOCK)
        disk.may_write.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(draft.spill, 3 * BLOCK)
            assert await trio.to_thread.run_sync(disk.is_writing.wait, 10)
            assert draft.write_if_ready(1, memoryview(b"bb"))
            await draft.truncate(3 * BLOCK - 4)
            await draft.zero(BLOCK + 2, BLOCK + 4)
            disk.may_write.set()
        expected = bytearray(b"a" * (3 * BLOCK - 4))
        expected[1:3] = b"bb"
        expected[BLOCK + 2 : BLOCK + 4] = bytes(2)
        assert bytes(expected) == await content_of(draft)
        await draft.truncate(3 * BLOCK)
        assert bytes(expected) + bytes(4) == await content_of(draft)


async def test_a_full_disk_leaves_the_draft_as_it_was(disk: Disk) -> None:
    """A write that finds room nowhere fails and changes nothing; later ones succeed again."""
    async with draft_in(disk, Budget(2 * BLOCK)) as draft:
        await draft.write(0, b"a" * BLOCK)
        disk.is_full = True
        generation = draft.generation
        with pytest.raises(OSError, match="No space left"):
            await draft.write(4, b"b" * 2 * BLOCK)
        assert generation == draft.generation
        assert b"a" * BLOCK == await content_of(draft)
        disk.is_full = False
        await draft.write(4, b"b" * 2 * BLOCK)
        assert b"aaaa" + b"b" * 2 * BLOCK == await content_of(draft)


async def test_a_stream_waits_for_its_parts_to_be_sent(disk: Disk) -> None:
    """While parts are on their way their memory is waited for, and the disk is not touched."""
    budget = Budget(4 * BLOCK)  # of which drafts get two
    async with draft_in(disk, budget) as draft, trio.open_nursery() as nursery:
        draft.sender = FakeSender()
        await draft.write(0, b"a" * 2 * BLOCK)
        nursery.start_soon(draft.write, 2 * BLOCK, b"b" * BLOCK)
        await settled()
        assert 2 * BLOCK == draft.size_bytes
        draft.drop(0, BLOCK)
        await settled()
        assert 3 * BLOCK == draft.size_bytes
        assert 2 * BLOCK == budget.peak_bytes
        assert [] == disk.files


async def test_a_stream_whose_parts_fail_goes_on_with_the_disk(
    disk: Disk, autojump_clock: trio.testing.MockClock
) -> None:
    """Nobody waits for memory that will not come."""
    sender = FakeSender()
    async with draft_in(disk, Budget(4 * BLOCK)) as draft, trio.open_nursery() as nursery:
        draft.sender = sender
        await draft.write(0, b"a" * 2 * BLOCK)
        nursery.start_soon(draft.write, 2 * BLOCK, b"b" * BLOCK)
        await settled()
        sender.is_sending = False
    # The write ended before the nursery did; the draft was closed after both.
    assert 1 == len(disk.files)
    assert 3 * BLOCK == draft.size_bytes


async def test_a_stream_needs_no_disk_for_its_first_part(disk: Disk) -> None:
    """Before a part is complete nothing can be sent, and it takes memory whatever the limit."""
    disk.is_full = True
    async with draft_in(disk, Budget(0)) as draft:
        draft.sender = FakeSender(is_sending=False)
        for offset in range(0, BLOCK, 4):
            await draft.write(offset, b"aaaa")
        assert b"a" * BLOCK == await content_of(draft)


async def test_two_large_writers_share_four_blocks(disk: Disk) -> None:
    """Both come to the end, through the disk, and neither holds more than it may."""
    budget = Budget(4 * BLOCK)
    async with draft_in(disk, budget) as one, draft_in(disk, budget) as two:
        async with trio.open_nursery() as nursery:
            for draft in (one, two):
                nursery.start_soon(write_in_order, draft, 40 * BLOCK, BLOCK // 2)
        for draft in (one, two):
            assert in_order(40 * BLOCK) == await content_of(draft)
    assert budget.peak_bytes <= 4 * BLOCK


async def test_a_hundred_small_writers_share_four_blocks(disk: Disk) -> None:
    """Open files hold memory; whoever finds none goes through the disk at once."""
    budget = Budget(4 * BLOCK)
    drafts = [draft_on(disk, budget, block_bytes=BLOCK) for _ in range(100)]
    async with trio.open_nursery() as nursery:
        for draft in drafts:
            nursery.start_soon(write_in_order, draft, 10, 3)
    for draft in drafts:
        assert in_order(10) == await content_of(draft)
    assert budget.used_bytes <= 2 * BLOCK
    # What is beyond the limit is what the hundred calls in progress write.
    assert budget.peak_bytes <= 4 * BLOCK + 100 * 3
    for draft in drafts:
        await draft.aclose()
    assert 0 == budget.used_bytes


async def test_a_sealed_file_is_not_written_to_again(disk: Disk) -> None:
    """The journal relies on it, whatever is written to the draft afterwards."""
    async with draft_in(disk, Budget(0)) as draft:
        await draft.write(0, b"first" * 10)
        await draft.truncate(60)
        draft.freeze()
        first = await draft.persist()
        assert first is await draft.persist()
        draft.thaw()
        await draft.write(2, b"XX")
        await draft.zero(20, 30)
        await draft.truncate(40)
        await draft.spill(1000)
        assert b"first" * 10 + bytes(10) == await first.read(0, 60)
        draft.freeze()
        second = await draft.persist()
        expected = bytearray((b"first" * 10)[:40])
        expected[2:4] = b"XX"
        expected[20:30] = bytes(10)
        assert expected == await second.read(0, 40)
        assert bytes(expected) == await content_of(draft)
        draft.thaw()


async def test_a_read_that_was_overtaken_by_a_write_is_done_again(disk: Disk) -> None:
    """What comes from two sources is of one moment."""
    calls = 0

    async def read_base(start: int, stop: int) -> list[bytes]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await draft.write(6, b"new")
        return [b"base"[start:stop]]

    async with draft_in(disk, Budget(1000), base_bytes=4) as draft:
        await draft.write(4, b"oldold")
        assert b"baseolnewd" == b"".join(await draft.read(0, 10, read_base))
        assert 2 == calls


async def test_scattered_gaps_are_fetched_by_one_request(disk: Disk) -> None:
    """A page here and a page there must not become as many requests."""
    ranges: list[tuple[int, int]] = []

    async def read_base(start: int, stop: int) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        ranges.append((start, stop))
        return [bytes(range(start, stop))]

    async with draft_in(disk, Budget(1000), base_bytes=100) as draft:
        for offset in range(10, 100, 10):
            await draft.write(offset, b"x")
        found = b"".join(await draft.read(5, 95, read_base))
        expected = bytearray(range(5, 95))
        expected[5::10] = b"x" * 9
        assert bytes(expected) == found
        assert [(5, 95)] == ranges


async def test_dropped_bytes_can_be_neither_read_nor_written(disk: Disk) -> None:
    """Until a rebase says that they are an object."""
    async with draft_in(disk, Budget(1000)) as draft:
        await draft.write(0, b"a" * 4 * BLOCK)
        draft.drop(BLOCK, 2 * BLOCK)
        assert 3 * BLOCK == draft.held_bytes
        assert draft.has_dropped(0, 4 * BLOCK)
        assert not draft.has_dropped(0, BLOCK)
        assert not draft.is_local
        with pytest.raises(DroppedError):
            draft.read_if_ready(0, BLOCK + 1)
        with pytest.raises(DroppedError):
            await draft.collect(BLOCK + 1, BLOCK + 2, no_base)
        with pytest.raises(DroppedError):
            draft.write_if_ready(BLOCK + 1, memoryview(b"x"))
        with pytest.raises(DroppedError):
            await draft.write(2 * BLOCK - 1, b"xx")
        with pytest.raises(DroppedError):
            await draft.truncate(BLOCK + 1)
        draft.rebase(2 * BLOCK)
        assert [(2 * BLOCK, 4 * BLOCK)] == draft.extents()
        await draft.write(BLOCK, b"x")


async def test_given_back_space_is_free(disk: Disk) -> None:
    """What was published takes no room on the disk."""
    async with draft_in(disk, Budget(0)) as draft:
        await draft.write(0, bytes([1]) * 64 * 1024)
        assert 0 == draft.held_bytes
        path = f"/proc/self/fd/{disk.files[0].fd}"
        blocks = (await trio.Path(path).stat()).st_blocks
        draft.rebase(64 * 1024)
        await draft.give_back_space()
        assert (await trio.Path(path).stat()).st_blocks < blocks


async def test_a_file_that_was_given_to_the_journal_is_not_given_twice(disk: Disk) -> None:
    """After a rebase the sealed file is closed, and the next persist makes another one."""
    async with draft_in(disk, Budget(0)) as draft:
        await draft.write(0, b"a" * BLOCK)
        draft.freeze()
        first = await draft.persist()
        draft.rebase(BLOCK)
        draft.thaw()
        await draft.give_back_space()
        assert -1 == first.fd

        async def read_base(start: int, stop: int) -> list[bytes]:
            await trio.lowlevel.checkpoint()
            return [b"a" * (stop - start)]

        await draft.localize(read_base)
        draft.freeze()
        second = await draft.persist()
        assert first is not second
        assert b"a" * BLOCK == await second.read(0, BLOCK)


class FakeSender:
    """Sends parts of a draft, as far as the draft can tell; memory is the only thing waited for."""

    is_behind = False

    def __init__(self, *, is_sending: bool = True) -> None:
        self.is_sending = is_sending

    async def wait_for_part(self) -> None:
        """Never needed: it is not behind."""
        raise AssertionError("nobody is ahead of it")


def in_order(size_bytes: int) -> bytes:
    """Return bytes in which every place differs from its neighbours."""
    return bytes(place % 251 for place in range(size_bytes))


async def write_in_order(draft: Draft, size_bytes: int, step_bytes: int) -> None:
    """Write a file from its beginning to its end."""
    data = in_order(size_bytes)
    for offset in range(0, size_bytes, step_bytes):
        step = data[offset : offset + step_bytes]
        if not draft.write_if_ready(offset, memoryview(step)):
            await draft.write(offset, step)
        await trio.lowlevel.checkpoint()
