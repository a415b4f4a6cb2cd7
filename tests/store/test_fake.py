"""What the fake does besides being a store: counting, delaying, failing."""

from __future__ import annotations

import pytest
import trio

from mountfs.errors import (
    AccessDeniedError,
    DeadlineError,
    PreconditionFailedError,
    RequestRejectedError,
    StoreUnavailableError,
    ThrottledError,
)
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.fake import HANG, FakeStore, LostAnswer, Request


async def test_requests_are_counted_and_logged() -> None:
    """Every request leaves its kind and what it asked for, also one that failed."""
    store = FakeStore()
    etag = store.bucket.put("key", b"body").etag
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
    store.bucket.put("key", b"")
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(store.head, "key")
    assert 0.02 == pytest.approx(trio.current_time())


async def test_an_answer_is_as_old_as_its_request(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """What changes while the answer travels is not in it."""
    store = FakeStore(latency_seconds=1.0)
    old = store.bucket.put("key", b"old")

    async def replace() -> None:
        await trio.sleep(0.5)
        store.bucket.put("key", b"new")

    nursery.start_soon(replace)
    assert b"old" == await store.get(ObjectId("key", old.etag), 0, 3)


async def test_faults_come_in_order_and_none_means_no_fault() -> None:
    """Each request takes one."""
    store = FakeStore()
    store.bucket.put("key", b"")
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
    store.bucket.put("key", b"")
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
    info = store.bucket.put_zeros("key", 5 * 1024**4)
    assert bytes(4) == await store.get(
        ObjectId("key", info.etag), info.size_bytes - 4, info.size_bytes
    )


async def test_a_small_page_size_pages_small_buckets() -> None:
    """Paging can be tested without a thousand keys."""
    store = FakeStore(page_size=2)
    for key in ("a", "b/1", "b/2", "c", "d"):
        store.bucket.put(key, b"")
    first = await store.list_page("", delimiter="/")
    second = await store.list_page("", delimiter="/", token=first.next_token)
    assert (["a"], ["b/"]) == ([info.key for info in first.objects], first.prefixes)
    assert (["c", "d"], []) == ([info.key for info in second.objects], second.prefixes)
    assert "" == second.next_token


async def test_a_lost_answer_is_of_a_change_that_was_made() -> None:
    """The caller is told that it failed, and finds it done."""
    store = FakeStore()
    store.faults.append(LostAnswer(StoreUnavailableError("reset")))
    with pytest.raises(StoreUnavailableError):
        await store.put("key", [b"body"], ObjectHeaders())
    assert b"body" == store.bucket.read("key")


async def test_changes_are_logged_with_what_they_concern() -> None:
    """Conditions, sources and numbers too."""
    store = FakeStore(can_rename=True)
    info = await store.put("a", [b"body"], ObjectHeaders(), expected_etag="")
    source = ObjectId("a", info.etag)
    upload_id = await store.create_upload("u", ObjectHeaders())
    part = await store.copy_part("u", upload_id, 1, source, 1, 3)
    await store.complete_upload("u", upload_id, [part])
    await store.rename(source, "b", may_replace=True)
    await store.delete_many(["b", "u"])
    assert [
        Request("PUT", "a", 0, 4, expected_etag=""),
        Request("CREATE_UPLOAD", "u"),
        Request("COPY_PART", "u", 1, 3, source="a", upload_id=upload_id, number=1),
        Request("COMPLETE_UPLOAD", "u", upload_id=upload_id),
        Request("RENAME", "b", source="a"),
        Request("DELETE_MANY", "b", 0, 2),
    ] == store.log
    assert [] == store.bucket.keys


async def test_a_rename_keeps_the_version() -> None:
    """And refuses to replace unless it may."""
    store = FakeStore(can_rename=True)
    old = store.bucket.put("a", b"a")
    store.bucket.put("b", b"b")
    with pytest.raises(PreconditionFailedError):
        await store.rename(ObjectId("a", old.etag), "b", may_replace=False)
    info = await store.rename(ObjectId("a", old.etag), "b", may_replace=True)
    assert (old.etag, old.mtime_ns, ["b"]) == (info.etag, info.mtime_ns, store.bucket.keys)


async def test_zeros_in_bulk_can_be_copied_in_parts() -> None:
    """Large objects can be put together without memory for them."""
    store = FakeStore()
    info = store.bucket.put_zeros("zeros", 1024**4)
    upload_id = await store.create_upload("key", ObjectHeaders())
    source = ObjectId("zeros", info.etag)
    parts = [
        await store.copy_part("key", upload_id, 1, source, 0, 4 * 1024**3),
        await store.upload_part("key", upload_id, 2, [b"end"]),
    ]
    made = await store.complete_upload("key", upload_id, parts)
    assert b"\0end" == await store.get(
        ObjectId("key", made.etag), made.size_bytes - 4, made.size_bytes
    )
