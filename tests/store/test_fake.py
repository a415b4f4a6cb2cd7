"""What the fake does besides being a store: counting, delaying, failing."""

from __future__ import annotations

import pytest
import trio

from mountfs.errors import (
    AccessDeniedError,
    DeadlineError,
    RequestRejectedError,
    ThrottledError,
)
from mountfs.objects import ObjectId
from mountfs.store.fake import HANG, FakeStore, Request


async def test_requests_are_counted_and_logged() -> None:
    """Every request leaves its kind and what it asked for, also one that failed."""
    store = FakeStore()
    etag = store.put("key", b"body").etag
    await store.get(ObjectId("key", etag), 1, 3)
    await store.list_page("k", delimiter="/", start_after="a")
    await store.head("key")
    with pytest.raises(RequestRejectedError):
        await store.list_page("", token="no such token")
    assert {"GET": 1, "LIST": 2, "HEAD": 1} == store.requests
    assert [
        Request("GET", "key", 1, 3),
        Request("LIST", "k", delimiter="/", start_after="a"),
        Request("HEAD", "key"),
        Request("LIST", "", token="no such token"),
    ] == store.log


async def test_answers_take_the_latency(autojump_clock: trio.testing.MockClock) -> None:
    """Requests that are sent together are answered together."""
    store = FakeStore(latency_seconds=0.02)
    store.put("key", b"")
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(store.head, "key")
    assert 0.02 == pytest.approx(trio.current_time())


async def test_an_answer_is_as_old_as_its_request(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """What changes while the answer travels is not in it."""
    store = FakeStore(latency_seconds=1.0)
    old = store.put("key", b"old")

    async def replace() -> None:
        await trio.sleep(0.5)
        store.put("key", b"new")

    nursery.start_soon(replace)
    assert b"old" == await store.get(ObjectId("key", old.etag), 0, 3)


async def test_faults_come_in_order_and_none_means_no_fault() -> None:
    """Each request takes one."""
    store = FakeStore()
    store.put("key", b"")
    store.faults.extend([AccessDeniedError("no"), None, AccessDeniedError("no")])
    with pytest.raises(AccessDeniedError):
        await store.head("key")
    await store.head("key")
    with pytest.raises(AccessDeniedError):
        await store.head("key")
    await store.head("key")


async def test_faults_can_depend_on_the_request() -> None:
    """A predicate sees what is asked for."""
    store = FakeStore()
    store.put("key", b"")
    store.fault_for = lambda request: AccessDeniedError("no") if request.kind == "LIST" else None
    await store.head("key")
    with pytest.raises(AccessDeniedError):
        await store.list_page("")


async def test_a_hanging_request_ends_at_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As the protocol promises, also of a store that hangs."""
    store = FakeStore(deadline_seconds=60.0)
    store.faults.append(HANG)
    with pytest.raises(DeadlineError):
        await store.list_page("")
    assert 60.0 == pytest.approx(trio.current_time())


async def test_throttling_lowers_the_limit() -> None:
    """As a 503 of the real store does."""
    store = FakeStore()
    before = store.concurrency.limit
    store.faults.append(ThrottledError("slow down"))
    with pytest.raises(ThrottledError):
        await store.list_page("")
    assert before / 2 == store.concurrency.limit


async def test_zeros_take_no_memory() -> None:
    """An object may be larger than RAM."""
    store = FakeStore()
    info = store.put_zeros("key", 5 * 1024**4)
    assert bytes(4) == await store.get(
        ObjectId("key", info.etag), info.size_bytes - 4, info.size_bytes
    )


async def test_a_small_page_size_pages_small_buckets() -> None:
    """Paging can be tested without a thousand keys."""
    store = FakeStore(page_size=2)
    for key in ("a", "b/1", "b/2", "c", "d"):
        store.put(key, b"")
    first = await store.list_page("", delimiter="/")
    second = await store.list_page("", delimiter="/", token=first.next_token)
    assert (["a"], ["b/"]) == ([info.key for info in first.objects], first.prefixes)
    assert (["c", "d"], []) == ([info.key for info in second.objects], second.prefixes)
    assert "" == second.next_token
