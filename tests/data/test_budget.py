"""The budget: what drafts may take, and who gets what comes free."""

from __future__ import annotations

import trio
import trio.testing

from mountfs.data.block_cache import ACTIVE_SECONDS, open_block_cache
from mountfs.data.budget import LOOK_AGAIN_SECONDS, Budget
from mountfs.data.config import ReadConfig
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.fake import FakeStore


def always() -> bool:
    """Expect room for ever."""
    return True


async def test_waiting_writers_get_memory_in_order() -> None:
    """The first one is not overtaken by one that needs less, nor by read-ahead."""
    budget = Budget(100)
    budget.reserve_for_draft(50)
    order: list[int] = []

    async def wait(size_bytes: int) -> None:
        assert await budget.wait_for_draft_room(size_bytes, always)
        order.append(size_bytes)

    async with trio.open_nursery() as nursery:
        for size_bytes in (30, 5, 10):
            nursery.start_soon(wait, size_bytes)
            await trio.testing.wait_all_tasks_blocked()
        budget.release_draft(10)
        await trio.testing.wait_all_tasks_blocked()
        assert [] == order
        assert not budget.reserve_for_draft_if_room(1)
        for size_bytes in (20, 5, 10):
            budget.release_draft(size_bytes)
            await trio.testing.wait_all_tasks_blocked()
    assert [30, 5, 10] == order
    assert 50 == budget.used_bytes == budget.draft_bytes


async def test_read_ahead_leaves_room_for_a_waiting_writer() -> None:
    """What comes free bit by bit would otherwise be gone each time."""
    budget = Budget(100)
    budget.reserve(100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budget.wait_for_draft_room, 30, always)
        await trio.testing.wait_all_tasks_blocked()
        budget.release(20)
        assert not budget.has_room(1)
        budget.release(20)
        assert budget.has_room(10)
        assert not budget.has_room(11)


async def test_a_cancelled_writer_takes_nothing() -> None:
    """Also when it was just given what it waited for."""
    budget = Budget(100)
    budget.reserve_for_draft(50)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(budget.wait_for_draft_room, 50, always)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(budget.wait_for_draft_room, 50, always)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            budget.release_draft(50)
    budget.release_draft(budget.draft_bytes)
    assert 0 == budget.used_bytes
    assert budget.reserve_for_draft_if_room(50)


async def test_a_writer_stops_waiting_for_what_will_not_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The next one in the queue is looked at then."""
    budget = Budget(100)
    budget.reserve_for_draft(45)
    is_coming = True
    found: list[bool] = []

    async def wait() -> None:
        found.append(await budget.wait_for_draft_room(50, lambda: is_coming))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(budget.wait_for_draft_room, 5, always)
        await trio.testing.wait_all_tasks_blocked()
        is_coming = False
        await trio.sleep(2 * LOOK_AGAIN_SECONDS)
    assert [False] == found
    assert 50 == budget.draft_bytes


async def test_what_was_read_makes_room_for_what_is_written(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Blocks in the cache can be fetched again; a draft cannot."""
    store = FakeStore(part_size_bytes=100)
    info = await store.put("key", [bytes(100)], ObjectHeaders())
    async with open_block_cache(ReadConfig(memory_limit_bytes=200), store) as cache:
        budget = cache.budget
        reader = cache.open_reader(2, ObjectId("key", info.etag), 100)
        await reader.finish_read(reader.begin_read(0, 10), 0, 10)
        budget.reserve(60)
        assert 160 == budget.used_bytes
        assert not budget.has_room(80)
        await trio.sleep(2 * ACTIVE_SECONDS)
        assert budget.reserve_for_draft_if_room(80)
        assert 60 + 80 == budget.used_bytes
        budget.release_draft(80)
        budget.release(60)
