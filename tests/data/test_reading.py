"""Reader and block cache on the fake store: right bytes, few requests, bounded memory."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.data.block_cache import BlockCache, open_block_cache
from mountfs.data.config import MIB, ReadConfig
from mountfs.errors import PreconditionFailedError, StoreUnavailableError
from mountfs.objects import ObjectId
from mountfs.store.fake import HANG, FakeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.data.reader import Reader


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes in which every place differs from its neighbours."""
    return random.Random(seed).randbytes(size_bytes)


@asynccontextmanager
async def cache_on(
    store: FakeStore, memory_limit_bytes: int = 256 * MIB
) -> AsyncIterator[BlockCache]:
    """Provide a cache whose budget must be back to zero at the end."""
    async with open_block_cache(ReadConfig(memory_limit_bytes=memory_limit_bytes), store) as cache:
        yield cache
        for inode in list(cache._readers):
            cache.drop_reader(inode)
        await trio.testing.wait_all_tasks_blocked()
        assert cache.budget.used_bytes == 0
        assert not cache.streams


def reader_on(cache: BlockCache, store: FakeStore, key: str, body: bytes, inode: int = 2) -> Reader:
    """Store *body* and return a reader of it."""
    info = store.bucket.put(key, body)
    return cache.open_reader(inode, ObjectId(key, info.etag), len(body))


async def read(reader: Reader, start: int, stop: int) -> bytes:
    """Read as the file system does: from memory if possible."""
    pieces = reader.read_if_ready(start, stop)
    if pieces is None:
        pieces = await reader.finish_read(reader.begin_read(start, stop), start, stop)
    return b"".join(pieces)


async def test_a_small_object_is_one_get(autojump_clock: trio.testing.MockClock) -> None:
    """However many pieces it is read in."""
    store = FakeStore(latency_seconds=0.02)
    body = content(160_000)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        reader.request_first()
        await reader.wait_opened()
        got = [
            await read(reader, at, min(at + 65536, len(body))) for at in range(0, len(body), 65536)
        ]
        assert b"".join(got) == body
        assert store.requests == {"GET": 1}
        assert reader.is_finished


async def test_a_sequential_read_costs_one_round_trip_and_bandwidth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """64 MiB at 20 ms take a handful of round trips, not one a part."""
    store = FakeStore(latency_seconds=0.02)
    body = content(64 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        reader.request_first()
        begin = trio.current_time()
        for at in range(0, len(body), MIB):
            assert await read(reader, at, at + MIB) == body[at : at + MIB]
        assert trio.current_time() - begin <= 6 * 0.02
        assert store.requests["GET"] <= 32
        assert cache.fetched_bytes == len(body)


async def test_a_three_mib_file_takes_one_round_trip(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The piece behind the head is asked for beside it, not after it."""
    store = FakeStore(latency_seconds=0.02)
    body = content(3 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        reader.request_first()
        begin = trio.current_time()
        for at in range(0, len(body), 131072):
            assert await read(reader, at, at + 131072) == body[at : at + 131072]
        assert trio.current_time() - begin == pytest.approx(0.02)


async def test_random_reads_are_one_exact_get_each() -> None:
    """4 KiB read, 4 KiB fetched."""
    store = FakeStore()
    body = content(32 * MIB)
    places = random.Random(1).sample(range(MIB, 31 * MIB, 4096 * 300), 20)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        for at in places:
            assert await read(reader, at, at + 4096) == body[at : at + 4096]
        assert store.requests == {"GET": 20}
        assert cache.fetched_bytes <= 20 * 4096


async def test_the_pieces_of_the_tail_are_one_get() -> None:
    """And stay in memory although they have been read."""
    store = FakeStore()
    body = content(32 * MIB)
    end = len(body)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        for start, stop in ((end - 22, end), (end - 70_000, end - 60_000), (end - 22, end)):
            assert await read(reader, start, stop) == body[start:stop]
        assert store.requests == {"GET": 1}


async def test_readers_that_wait_for_the_same_bytes_share_one_get(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also when the one that came first is cancelled."""
    store = FakeStore(latency_seconds=1)
    body = content(100_000)
    results: list[bytes] = []
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)

        async def other() -> None:
            results.append(await read(reader, 0, 1000))

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.5):
                nursery.start_soon(other)
                await read(reader, 0, len(body))
        assert results == [body[:1000]]
        assert store.requests == {"GET": 1}


async def test_closing_cancels_what_nobody_waits_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The window of an abandoned reader gives its memory back."""
    store = FakeStore(latency_seconds=1)
    body = content(64 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        for at in range(0, 4 * MIB, MIB):
            await read(reader, at, at + MIB)
        assert cache.budget.used_bytes > 8 * MIB
        cache.drop_reader(2)
        await trio.testing.wait_all_tasks_blocked()
        assert cache.budget.used_bytes == 0
        assert cache.abandoned_count > 0


async def test_an_idle_reader_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """Where the kernel does not tell of a close, time does."""
    store = FakeStore()
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", content(16 * MIB))
        await read(reader, 0, MIB)
        await trio.sleep(12)
        assert len(cache) == 0
        assert cache.budget.used_bytes == 0


async def test_sixty_four_readers_on_a_small_budget_all_finish(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No deadlock, and the budget is exceeded by less than a part a reader."""
    store = FakeStore(latency_seconds=0.02)
    body = content(12 * MIB)
    limit = 64 * MIB
    async with cache_on(store, limit) as cache:

        async def run(inode: int) -> None:
            reader = reader_on(cache, store, f"k{inode}", body, inode)
            for at in range(0, len(body), MIB):
                assert await read(reader, at, at + MIB) == body[at : at + MIB]

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for inode in range(2, 66):
                    nursery.start_soon(run, inode)
        assert cache.budget.peak_bytes <= limit + 64 * 2 * MIB


async def test_a_failed_fill_is_an_error_for_its_waiter_and_not_remembered() -> None:
    """The next read asks again."""
    store = FakeStore()
    body = content(1000)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        store.faults.append(StoreUnavailableError("no"))
        with pytest.raises(StoreUnavailableError):
            await read(reader, 0, 1000)
        assert await read(reader, 0, 1000) == body


async def test_an_inode_that_has_another_version_or_key_has_another_reader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was changed here is read where it is now; who waits for the old bytes gets them."""
    store = FakeStore(latency_seconds=1.0)
    async with cache_on(store) as cache:
        old_body, new_body = content(MIB), content(MIB, seed=1)
        old = reader_on(cache, store, "a", old_body)
        old.open_count = 2
        async with trio.open_nursery() as nursery:

            async def read_old() -> None:
                assert old_body[:10] == await read(old, 0, 10)

            nursery.start_soon(read_old)
            await trio.testing.wait_all_tasks_blocked()
            new = reader_on(cache, store, "b", new_body)
            assert (True, 2) == (old.is_dropped, new.open_count)
            assert new is cache.reader_of(2)
            assert new is cache.open_reader(2, new.object_id, MIB)
        assert new_body[:10] == await read(new, 0, 10)
        cache.drop_reader(2)


async def test_a_replaced_object_is_an_error_and_never_a_mix() -> None:
    """Bytes of another version are not served under this one."""
    store = FakeStore()
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", content(32 * MIB))
        await read(reader, 0, 4096)
        store.bucket.put("a", content(32 * MIB, seed=1))
        with pytest.raises(PreconditionFailedError):
            await read(reader, 20 * MIB, 20 * MIB + 4096)


async def test_a_reader_that_comes_while_its_block_is_abandoned_asks_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The cancellation of one reader's window is not the error of another's read."""
    store = FakeStore(latency_seconds=1)
    body = content(64 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        await read(reader, 0, MIB)
        reader.retire_idle(float("inf"))
        assert await read(reader, 2 * MIB, 3 * MIB) == body[2 * MIB : 3 * MIB]


async def test_a_store_that_hangs_fails_only_those_who_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The deadline of the store ends the wait; others are served meanwhile."""
    store = FakeStore(deadline_seconds=60)
    async with cache_on(store) as cache:
        slow = reader_on(cache, store, "slow", content(1000), 2)
        quick = reader_on(cache, store, "quick", content(1000), 3)
        store.faults.append(HANG)
        async with trio.open_nursery() as nursery:

            async def expect_failure() -> None:
                with pytest.raises(StoreUnavailableError):
                    await read(slow, 0, 1000)

            nursery.start_soon(expect_failure)
            await trio.testing.wait_all_tasks_blocked()
            begin = trio.current_time()
            assert await read(quick, 0, 1000) == content(1000)
            assert trio.current_time() - begin < 1


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size_bytes=st.integers(1, 40 * MIB),
    limit_mib=st.integers(1, 64),
)
def test_any_sequence_of_reads_returns_the_objects_bytes(
    seed: int, size_bytes: int, limit_mib: int
) -> None:
    """Sequential, random, strided, overlapping, concurrent: the bytes are those of the object."""
    chance = random.Random(seed)
    body = content(MIB, seed) * 40
    body = body[:size_bytes]

    async def run() -> None:
        store = FakeStore(latency_seconds=0.01)
        async with cache_on(store, limit_mib * MIB) as cache:
            reader = reader_on(cache, store, "a", body)

            async def wander() -> None:
                at = 0
                for _ in range(12):
                    if chance.random() < 0.4:
                        at = chance.randrange(size_bytes)
                    stop = min(size_bytes, at + chance.choice((1, 4096, 131072, MIB)))
                    if at >= stop:
                        at = 0
                        continue
                    assert await read(reader, at, stop) == body[at:stop]
                    at = stop

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(wander)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_regression_a_read_does_not_evict_what_it_needs_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With the budget full of others, read-ahead takes the oldest block, perhaps its own."""
    store = FakeStore(latency_seconds=0.01)
    body = content(20 * MIB)
    others = store.bucket.put_zeros("others", 500 * MIB)
    store.fault_for = lambda request: HANG if request.key == "others" else None
    async with open_block_cache(ReadConfig(memory_limit_bytes=16 * MIB), store) as cache:
        other = cache.open_reader(3, ObjectId("others", others.etag), 500 * MIB)
        for index in range(7):
            other.begin_read(index * 40 * MIB, index * 40 * MIB + MIB)
        reader = reader_on(cache, store, "a", body)
        reader.request_first()
        await reader.wait_opened()
        await trio.testing.wait_all_tasks_blocked()
        for start, stop in ((200_000, 700_000), (700_000, 1_400_000), (1_400_000, 3_000_000)):
            assert await read(reader, start, stop) == body[start:stop]


async def test_regression_a_reader_that_waits_is_not_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """However slow the store is, nothing is fetched twice and nothing cancelled."""
    store = FakeStore(latency_seconds=15)
    body = content(8 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        for at in range(0, len(body), MIB):
            assert await read(reader, at, at + MIB) == body[at : at + MIB]
        assert cache.fetched_bytes == len(body)
        assert cache.abandoned_count == 0


async def test_regression_a_dropped_reader_keeps_no_memory(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also when a block comes, or is handed out, after nobody can find the reader any more."""
    store = FakeStore(latency_seconds=1)
    body = content(4 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a", body)
        blocks = reader.begin_read(0, 4096)
        cache.drop_reader(2)
        assert b"".join(await reader.finish_read(blocks, 0, 4096)) == body[:4096]
        await trio.testing.wait_all_tasks_blocked()
        assert cache.budget.used_bytes == 0
