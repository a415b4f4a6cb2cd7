"""Look-ups: how many LISTs they cost, and what they bring along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import ObjectNotFoundError, ThrottledError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.reference import exists, find, find_directory, lists, put_empty, read_names

if TYPE_CHECKING:
    from trio.testing import MockClock

DEFAULT = MetadataConfig()
ALWAYS_ASK = MetadataConfig(ttl=Ttl(0.0))
FOREVER = MetadataConfig(ttl=Ttl(math.inf))


async def test_a_lookup_costs_one_list_and_brings_its_siblings() -> None:
    """What follows the name on the same page is known from then on."""
    store = FakeStore()
    put_empty(store, ["d/a", "d/b", "d/c"])
    async with open_namespace(DEFAULT, store) as namespace:
        await find(namespace, b"d", b"b")
        assert lists(store) == 2  # d in the root, b in d
        assert namespace.lookup_if_fresh(await find_directory(namespace, b"d"), b"c") is not None
        assert not await exists(namespace, b"d", b"d")
        assert lists(store) == 3


async def test_a_name_at_the_end_of_a_page_costs_a_second_list() -> None:
    """A directory of the same name may come much later: ``a`` < ``a-...`` < ``a/``."""
    store = FakeStore(page_size=3)
    put_empty(store, ["a", "a-1", "a-2", "a-3", "a-4", "a/x", "b"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert isinstance(await find(namespace, b"a"), Directory)
        assert lists(store) == 2
        assert isinstance(await find(namespace, b"b"), File)
        assert lists(store) == 2


async def test_a_file_at_the_end_of_a_page_is_a_file_without_a_directory() -> None:
    """The second LIST finds no directory, so the file that the first one found is shown."""
    store = FakeStore(page_size=3)
    put_empty(store, ["a", "a-1", "a-2", "a-3", "a-4", "b"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert isinstance(await find(namespace, b"a"), File)
        assert lists(store) == 2
        await find(namespace, b"a")
        assert lists(store) == 2


async def test_an_absent_name_is_asked_for_every_time() -> None:
    """Checkpoints appear: what is absent is not remembered, even below a complete listing."""
    store = FakeStore()
    put_empty(store, ["a"])
    async with open_namespace(FOREVER, store) as namespace:
        assert await read_names(namespace, namespace.root) == [b"a"]
        assert not await exists(namespace, b"b")
        assert not await exists(namespace, b"b")
        assert lists(store) == 3
        assert store.log[-1].start_after == "a\U0010ffff"  # from the name on: the rest is fresh
        store.bucket.put("b", b"")
        assert await exists(namespace, b"b")


async def test_what_was_listed_is_looked_up_without_a_request() -> None:
    """Stat and open of a listed file cost nothing."""
    store = FakeStore()
    put_empty(store, [f"{index:04}" for index in range(2500)])
    async with open_namespace(DEFAULT, store) as namespace:
        await read_names(namespace, namespace.root)
        assert lists(store) == 3
        for index in range(2500):
            node = namespace.lookup_if_fresh(namespace.root, b"%04d" % index)
            assert isinstance(node, File)
        assert lists(store) == 3


async def test_with_a_ttl_of_0_every_lookup_asks() -> None:
    """What another host has published is seen at once."""
    store = FakeStore()
    first = store.bucket.put("a", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        node = await find(namespace, b"a")
        assert isinstance(node, File)
        assert node.object_id == (first.key, first.etag)
        assert await find(namespace, b"a") is node
        second = store.bucket.put("a", b"2")
        newer = await find(namespace, b"a")
        assert isinstance(newer, File)
        assert newer.etag == second.etag
        assert node.is_detached
        assert lists(store) == 3


async def test_an_entry_is_believed_for_its_ttl(autojump_clock: MockClock) -> None:
    """Freshness counts from when the LIST was sent."""
    store = FakeStore(latency_seconds=10.0)
    store.bucket.put("a", b"1")
    async with open_namespace(DEFAULT, store) as namespace:
        node = await find(namespace, b"a")
        assert namespace.remaining_seconds(node, trio.current_time()) == 50.0
        await trio.sleep(49.9)
        assert namespace.lookup_if_fresh(namespace.root, b"a") is node
        await trio.sleep(0.1)
        assert namespace.lookup_if_fresh(namespace.root, b"a") is None
        assert namespace.remaining_seconds(node, trio.current_time()) == 0.0
        assert await find(namespace, b"a") is node
        assert lists(store) == 2


async def test_with_an_infinite_ttl_nothing_expires(autojump_clock: MockClock) -> None:
    """The bucket never changes: one listing is enough for the life of the mount."""
    store = FakeStore()
    put_empty(store, ["d/a", "d/b"])
    async with open_namespace(FOREVER, store) as namespace:
        node = await find(namespace, b"d", b"a")
        await trio.sleep(80_000.0)
        assert await find(namespace, b"d", b"a") is node
        assert lists(store) == 2
        assert namespace.remaining_seconds(node, trio.current_time()) > 1e8


@pytest.mark.parametrize("count", [1, 1000, 20_000])
async def test_an_expired_directory_is_refreshed_by_one_list_a_page(
    count: int, autojump_clock: MockClock
) -> None:
    """Lookups in any order refresh the pages as they were listed; never one request a file."""
    store = FakeStore()
    put_empty(store, [f"d/{index:06}" for index in range(count)] + ["e"])
    async with open_namespace(DEFAULT, store) as namespace:
        directory = await find_directory(namespace, b"d")
        await read_names(namespace, directory)
        await trio.sleep(59.0)
        await find(namespace, b"d")
        await trio.sleep(59.0)  # d itself is fresh, its entries are not
        before = lists(store)
        for index in range(count):
            await namespace.lookup(directory, b"%06d" % (index * 7919 % count))
        assert lists(store) - before == math.ceil(count / 1000)
        assert len(await read_names(namespace, directory)) == count
        assert lists(store) - before == math.ceil(count / 1000)


async def test_a_grown_page_is_refreshed_to_where_it_ends_now(autojump_clock: MockClock) -> None:
    """New names push others off the page: those are asked for from where it ended."""
    store = FakeStore(page_size=10)
    put_empty(store, [f"{index:02}" for index in range(40)])
    async with open_namespace(DEFAULT, store) as namespace:
        await read_names(namespace, namespace.root)
        await trio.sleep(60.0)
        put_empty(store, [f"{index:02}+" for index in range(40)])
        before = lists(store)
        for index in range(40):
            await find(namespace, b"%02d" % index)
            await find(namespace, b"%02d+" % index)
        assert lists(store) - before <= 80 / 10 + 4
        assert len(await read_names(namespace, namespace.root)) == 80


async def test_names_that_cannot_be_keys_are_absent_without_a_request() -> None:
    """Nobody can have stored them as something that is shown."""
    store = FakeStore()
    async with open_namespace(DEFAULT, store) as namespace:
        for name in (b".", b"..", b"", b"a" * 256, b"a\0b"):
            assert not await exists(namespace, name)
        deep = Directory(99, namespace.root, b"d", "d" * 1000 + "/", 0.0)
        namespace.root.subdirectories[b"d"] = deep
        with pytest.raises(ObjectNotFoundError):
            await namespace.lookup(deep, b"a" * 24)
        assert lists(store) == 0


async def test_refresh_asks_whatever_the_ttl() -> None:
    """`O_DIRECT` and a version that is gone ask about the name now."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    store.bucket.put("b", b"1")
    async with open_namespace(FOREVER, store) as namespace:
        a, b = await find(namespace, b"a"), await find(namespace, b"b")
        store.bucket.put("b", b"2")
        await namespace.refresh(a)
        assert [node.is_detached for node in (a, b)] == [False, True]  # on the same page
        assert lists(store) == 2
        store.bucket.put("a", b"2")
        await namespace.refresh(a)
        assert [node.is_detached for node in (a, b)] == [True, True]
        assert await find(namespace, b"a") is not a
        assert lists(store) == 3


async def test_refresh_does_not_share_a_list_that_is_under_way(autojump_clock: MockClock) -> None:
    """Its answer may be older than what made the caller ask."""
    store = FakeStore(latency_seconds=1.0)
    store.bucket.put("a", b"1")
    async with open_namespace(FOREVER, store) as namespace, trio.open_nursery() as nursery:
        node = await find(namespace, b"a")
        nursery.start_soon(exists, namespace, b"b")
        nursery.start_soon(namespace.refresh, node)
        await trio.sleep(0.5)
        store.bucket.put("a", b"2")
        await namespace.refresh(node)
        assert node.is_detached


async def test_a_file_is_only_known_while_it_is_known_that_no_directory_shadows_it(
    autojump_clock: MockClock,
) -> None:
    """``a`` and ``a/`` are facts of two pages, which expire at different times."""
    store = FakeStore(page_size=3)
    put_empty(store, ["+", "a", "a!", "a#", "a$", "b"])
    async with open_namespace(DEFAULT, store) as namespace:
        await read_names(namespace, namespace.root)
        await trio.sleep(50.0)
        await namespace.refresh(await find(namespace, b"+"))
        await trio.sleep(15.0)  # the page with ``a`` is fresh, the one with ``a/`` has expired
        put_empty(store, ["a/x"])
        before = lists(store)
        assert namespace.remaining_seconds(namespace.root.files[b"a"], trio.current_time()) == 0.0
        assert isinstance(await find(namespace, b"a"), Directory)
        assert lists(store) - before == 1


async def test_keys_before_the_name_do_not_end_the_search() -> None:
    """Where no key can be named just before a name, the listing begins earlier, maybe by pages."""
    store = FakeStore(page_size=1)
    put_empty(store, ["\x01", "\x02", "\x03", " ", "b"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert await exists(namespace, b" ")
        assert await exists(namespace, b"\x03")


async def test_refresh_of_a_directory_that_is_gone_detaches_all_of_it() -> None:
    """What was in it shows nothing either, in any depth."""
    store = FakeStore()
    put_empty(store, ["d/e/f"])
    async with open_namespace(FOREVER, store) as namespace:
        directory = await find(namespace, b"d")
        file = await find(namespace, b"d", b"e", b"f")
        store.bucket.delete("d/e/f")
        await namespace.refresh(directory)
        assert directory.is_detached
        assert file.is_detached
        assert not await exists(namespace, b"d")


async def test_a_stale_entry_is_asked_for_at_the_next_lookup() -> None:
    """The store answered 412 or 404 for this version: it is not believed any more."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(FOREVER, store) as namespace:
        node = await find(namespace, b"a")
        namespace.note_stale(node)
        assert namespace.lookup_if_fresh(namespace.root, b"a") is None
        store.bucket.put("a", b"2")
        assert await find(namespace, b"a") is not node
        assert lists(store) == 2


async def test_a_failed_lookup_is_reported_and_not_remembered() -> None:
    """The next one asks again."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(DEFAULT, store) as namespace:
        store.faults.append(ThrottledError("slow down"))
        with pytest.raises(ThrottledError):
            await find(namespace, b"a")
        assert await exists(namespace, b"a")


async def test_an_unchanged_entry_keeps_its_node_and_a_subdirectory_its_own() -> None:
    """An inode is one version of an object; a directory is the same as long as it exists."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    store.bucket.put("d/x", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        a, d = await find(namespace, b"a"), await find(namespace, b"d")
        store.bucket.put("d/y", b"1")
        store.bucket.put("d/x", b"2")
        assert await find(namespace, b"a") is a
        assert await find(namespace, b"d") is d


async def test_a_file_that_becomes_a_directory_and_back_gets_new_nodes() -> None:
    """A directory shadows the file of its name; without it the file is seen again."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        file = await find(namespace, b"a")
        store.bucket.put("a/x", b"1")
        directory = await find(namespace, b"a")
        assert isinstance(directory, Directory)
        assert file.is_detached
        store.bucket.delete("a/x")
        assert isinstance(await find(namespace, b"a"), File)
        assert directory.is_detached


async def test_a_store_without_order_is_listed_as_a_whole() -> None:
    """S3 Express sorts nothing: the store reads it to its end, so nothing less is asked for."""
    store = FakeStore(page_size=10_000)
    put_empty(store, [f"{index}" for index in range(9)] + ["d/x"])
    async with open_namespace(MetadataConfig(lists_in_order=False), store) as namespace:
        await find(namespace, b"5")
        assert lists(store) == 1
        assert not any(request.start_after for request in store.log)
        await find(namespace, b"0")
        assert len(await read_names(namespace, namespace.root)) == 10
        assert lists(store) == 1
