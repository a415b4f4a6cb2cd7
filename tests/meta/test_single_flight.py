"""The same LIST is in flight only once, whoever waits and whoever gives up."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mountfs.errors import StoreUnavailableError, ThrottledError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import Namespace, open_namespace
from mountfs.meta.node import File
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.reference import (
    exists,
    find,
    find_directory,
    lists,
    put_empty,
    read_names,
    read_tree,
)

DEFAULT = MetadataConfig()
ALWAYS_ASK = MetadataConfig(ttl=Ttl(0.0))


async def test_concurrent_lookups_and_readdirs_share_one_list(autojump_clock: MockClock) -> None:
    """Sixteen workers that start at once cost one request."""
    store = FakeStore(latency_seconds=1.0)
    put_empty(store, [f"{index:02}" for index in range(16)])
    async with open_namespace(DEFAULT, store) as namespace:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_names, namespace, namespace.root)
            await wait_all_tasks_blocked()
            for index in range(16):
                nursery.start_soon(find, namespace, b"%02d" % index)
                nursery.start_soon(read_names, namespace, namespace.root)
        assert lists(store) == 1
        assert trio.current_time() < 2.0


async def test_concurrent_lookups_in_an_expired_directory_share_one_list(
    autojump_clock: MockClock,
) -> None:
    """Sixteen workers whose files expired at the same time cost one request a page."""
    store = FakeStore(latency_seconds=1.0, page_size=100)
    put_empty(store, [f"{index:03}" for index in range(400)])
    async with open_namespace(DEFAULT, store) as namespace:
        await read_names(namespace, namespace.root)
        await trio.sleep(100.0)
        before = lists(store)
        async with trio.open_nursery() as nursery:
            for index in range(400):
                nursery.start_soon(find, namespace, b"%03d" % index)
        assert lists(store) - before <= 4 + 3  # and one for each last name of a page but the last


async def test_a_lookup_waits_for_a_list_that_began_before_its_name(
    autojump_clock: MockClock,
) -> None:
    """Names that are asked for one after the other are mostly on one page."""
    store = FakeStore(latency_seconds=1.0)
    put_empty(store, [f"{index:02}" for index in range(16)])
    async with open_namespace(DEFAULT, store) as namespace:
        async with trio.open_nursery() as nursery:
            for index in range(16):
                nursery.start_soon(find, namespace, b"%02d" % index)
                await wait_all_tasks_blocked()
        assert lists(store) == 1


async def test_the_shared_list_survives_who_asked_first(autojump_clock: MockClock) -> None:
    """An interrupted process must not fail the others that wait for the same answer."""
    store = FakeStore(latency_seconds=1.0)
    store.bucket.put("a", b"")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def look_up_and_be_interrupted() -> None:
            with first:
                await find(namespace, b"a")

        nursery.start_soon(look_up_and_be_interrupted)
        await trio.sleep(0.5)
        nursery.start_soon(find, namespace, b"a")
        await trio.sleep(0.1)
        first.cancel()
        await trio.sleep(1.0)
        assert first.cancelled_caught
        assert namespace.lookup_if_fresh(namespace.root, b"a") is not None
        assert lists(store) == 1


async def test_the_listing_survives_the_reader_that_began_it(autojump_clock: MockClock) -> None:
    """Another reader of the same listing goes on to its end."""
    store = FakeStore(latency_seconds=1.0, page_size=10)
    put_empty(store, [f"{index:02}" for index in range(50)])
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def read_and_be_interrupted() -> None:
            with first:
                await read_names(namespace, namespace.root)

        nursery.start_soon(read_and_be_interrupted)
        await trio.sleep(1.5)
        second = namespace.open_directory(namespace.root)
        first.cancel()
        assert len(await read_names(namespace, namespace.root)) == 50
        assert lists(store) == 5
        second.close()


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered(
    autojump_clock: MockClock,
) -> None:
    """Each gets an error of its own; the next lookup asks again."""
    store = FakeStore(latency_seconds=1.0)
    store.bucket.put("a", b"")
    errors: list[ThrottledError] = []
    async with open_namespace(DEFAULT, store) as namespace:
        store.faults.append(ThrottledError("slow down", code="SlowDown", status=503))

        async def look_up() -> None:
            with pytest.raises(ThrottledError) as caught:
                await find(namespace, b"a")
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(look_up)
        assert {("SlowDown", 503)} == {(error.code, error.status) for error in errors}
        assert len({id(error) for error in errors}) == 3
        assert await exists(namespace, b"a")
        assert lists(store) == 2


async def test_with_a_ttl_of_0_a_list_that_is_already_under_way_is_not_shared(
    autojump_clock: MockClock,
) -> None:
    """Its answer may be older than what the process knows from elsewhere."""
    store = FakeStore(latency_seconds=1.0)
    async with open_namespace(ALWAYS_ASK, store) as namespace, trio.open_nursery() as nursery:
        nursery.start_soon(exists, namespace, b"a")
        nursery.start_soon(read_names, namespace, namespace.root)
        await trio.sleep(0.5)
        store.bucket.put("a", b"")
        assert await exists(namespace, b"a")
        store.bucket.put("b", b"")
        nursery.start_soon(read_names, namespace, namespace.root)
        await trio.sleep(0.5)
        store.bucket.put("c", b"")
        assert await read_names(namespace, namespace.root) == [b"a", b"b", b"c"]


async def test_an_older_answer_does_not_replace_a_newer_one(autojump_clock: MockClock) -> None:
    """Two LISTs overlap, and the one that was sent first arrives last."""
    store = FakeStore(latency_seconds=10.0)
    store.bucket.put("a", b"1")
    store.bucket.put("gone", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace, trio.open_nursery() as nursery:
        nursery.start_soon(read_names, namespace, namespace.root)
        await trio.sleep(1.0)
        newest = store.bucket.put("a", b"2")
        store.bucket.put("new", b"1")
        store.bucket.delete("gone")
        store.latency_seconds = 1.0
        assert await read_names(namespace, namespace.root) == [b"a", b"new"]
        await trio.sleep(10.0)  # the first answer has arrived
        node = namespace.root.child(b"a")
        assert isinstance(node, File)
        assert node.etag == newest.etag
        assert namespace.root.child(b"gone") is None
        assert namespace.root.child(b"new") is not None


async def test_a_flat_scan_does_not_bring_back_what_is_gone(autojump_clock: MockClock) -> None:
    """The same for the pages of a walk: what vanished after they were sent stays gone."""
    store = FakeStore(latency_seconds=10.0)
    put_empty(store, ["d/a", "e/b", "f/c"])
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        await read_names(namespace, namespace.root)
        gone = await find_directory(namespace, b"e")
        nursery.start_soon(read_names, namespace, await find_directory(namespace, b"d"))
        await trio.sleep(1.0)
        store.bucket.delete("e/b")
        store.latency_seconds = 1.0
        await namespace.refresh(gone)
        assert gone.is_detached
        await trio.sleep(20.0)
        assert namespace.root.child(b"e") is None
        assert await read_tree(namespace) == {b"d": {b"a": None}, b"f": {b"c": None}}


async def test_who_waits_when_the_mount_is_closed_gets_an_error(autojump_clock: MockClock) -> None:
    """Nobody waits for an answer that will not come."""
    store = FakeStore(latency_seconds=100.0)
    caught: list[bool] = []

    async def look_up(namespace: Namespace) -> None:
        with pytest.raises(StoreUnavailableError):
            await find(namespace, b"a")
        caught.append(True)

    async with trio.open_nursery() as nursery:
        async with open_namespace(DEFAULT, store) as namespace:
            nursery.start_soon(look_up, namespace)
            await trio.sleep(1.0)
        await trio.sleep(1.0)
        assert caught == [True]


async def test_a_bug_fails_who_waits_and_not_the_mount(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong with one answer, the next one may be good."""
    store = FakeStore()
    store.bucket.put("a", b"")

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    async with open_namespace(DEFAULT, store) as namespace:
        for place in ("mountfs.meta.fetch.read_page", "mountfs.meta.listing.Listing.extend"):
            with monkeypatch.context() as broken:
                broken.setattr(place, fail)
                with pytest.raises(StoreUnavailableError, match="internal error"):
                    await read_names(namespace, namespace.root)
        assert await read_names(namespace, namespace.root) == [b"a"]
    assert "a bug" in caplog.text


async def test_a_list_from_before_does_not_revive_a_stale_node(autojump_clock: MockClock) -> None:
    """The store denied the version after the LIST was sent: its answer is too old."""
    store = FakeStore(latency_seconds=1.0)
    store.bucket.put("a", b"1")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        node = await find(namespace, b"a")
        assert isinstance(node, File)
        await trio.sleep(100.0)
        nursery.start_soon(read_names, namespace, namespace.root)
        await trio.sleep(0.5)
        newest = store.bucket.put("a", b"2")
        namespace.note_stale(node)
        found = await find(namespace, b"a")
        assert isinstance(found, File)
        assert (found.etag, node.is_stale) == (newest.etag, True)


async def test_an_answer_from_before_leaves_a_stale_node_stale(autojump_clock: MockClock) -> None:
    """Until a later one settles it, one way or the other."""
    store = FakeStore(latency_seconds=1.0)
    store.bucket.put("a", b"1")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        node = await find(namespace, b"a")
        assert isinstance(node, File)
        await trio.sleep(100.0)
        nursery.start_soon(read_names, namespace, namespace.root)
        await trio.sleep(0.5)
        namespace.note_stale(node)
        await trio.sleep(1.0)
        stale = [node.is_stale]
        assert namespace.lookup_if_fresh(namespace.root, b"a") is None
        assert await find(namespace, b"a") is node  # the store has it after all
        stale.append(node.is_stale)
        assert stale == [True, False]
        assert namespace.root.overrides is None
