"""Reading directories: page by page, shared, and in the right order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import StoreUnavailableError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.reference import (
    exists,
    expected_tree,
    find,
    find_directory,
    lists,
    put_empty,
    read_directory,
    read_names,
    read_tree,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

DEFAULT = MetadataConfig()
ALWAYS_ASK = MetadataConfig(ttl=Ttl(0.0))


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 5000])
async def test_listing_n_entries_costs_n_over_1000_lists(count: int) -> None:
    """And nothing else: sizes and times come with the names."""
    store = FakeStore()
    put_empty(store, [f"{index:06}" for index in range(count)])
    async with open_namespace(DEFAULT, store) as namespace:
        assert len(await read_directory(namespace, namespace.root)) == count
        assert lists(store) == max(1, math.ceil(count / 1000))
        assert len(await read_directory(namespace, namespace.root)) == count
        assert lists(store) == max(1, math.ceil(count / 1000))


async def test_entries_are_read_while_later_pages_are_still_listed(
    autojump_clock: MockClock,
) -> None:
    """`ls` of a large directory starts at once."""
    store = FakeStore(latency_seconds=1.0)
    put_empty(store, [f"{index:06}" for index in range(10_000)])
    async with open_namespace(DEFAULT, store) as namespace:
        stream = namespace.open_directory(namespace.root)
        assert stream.entries_if_known(0) is None
        first = await stream.entries_from(0)
        assert trio.current_time() < 2.0
        # The last one of a page waits for the next: a directory of its name would shadow it.
        assert [node.name for _, node in first] == [b"%06d" % index for index in range(999)]
        known = len(first)
        while batch := await stream.entries_from(known):
            known += len(batch)
        assert known == 10_000
        assert stream.entries_if_known(500) == [
            (index + 1, namespace.root.files[b"%06d" % index]) for index in range(500, 500 + 1024)
        ]
        stream.close()


async def test_a_listing_that_nobody_reads_any_more_stops(autojump_clock: MockClock) -> None:
    """`ls | head` does not list a directory of millions to its end, and nothing is listed twice."""
    store = FakeStore(latency_seconds=1.0)
    put_empty(store, [f"{index:06}" for index in range(10_000)])
    async with open_namespace(DEFAULT, store) as namespace:
        stream = namespace.open_directory(namespace.root)
        await stream.entries_from(0)
        stream.close()
        stream.close()
        await trio.sleep(30.0)
        assert lists(store) <= 2
        assert len(await read_directory(namespace, namespace.root)) == 10_000
        assert lists(store) == 10


async def test_a_directory_shadows_a_file_of_its_name_even_pages_later() -> None:
    """``a`` is held back until ``a/`` would have come, and is listed once, as a directory."""
    store = FakeStore(page_size=2)
    put_empty(store, ["a", "a!", "a#", "a$", "a%", "a/x", "b", "b!", "b#", "c"])
    async with open_namespace(DEFAULT, store) as namespace:
        tree = await read_tree(namespace)
        assert tree == expected_tree(["a/x", "a!", "a#", "a$", "a%", "b", "b!", "b#", "c"])


async def test_markers_make_empty_directories_and_are_no_files() -> None:
    """``dir/`` is how an empty directory is stored."""
    store = FakeStore()
    put_empty(store, ["empty/", "full/", "full/x", "shadowed", "shadowed/"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert await read_tree(namespace) == {b"empty": {}, b"full": {b"x": None}, b"shadowed": {}}


async def test_keys_that_are_no_paths_are_hidden_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They can neither be shown nor be looked up."""
    store = FakeStore()
    put_empty(store, ["good", "/a", "d//b", "d/./c", "d/../e", "d/.", "x" * 256, "d/y\0", "d/ok"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert await read_tree(namespace) == {b"good": None, b"d": {b"ok": None}}
        assert namespace.hidden.count >= 7
    assert len([record for record in caplog.records if "hidden" in record.message]) == 1


@pytest.mark.parametrize("prefix", ["", "p/"])
@pytest.mark.parametrize("key", [".mountfs", ".mountfs/", ".mountfs/stats", ".mountfs/a/b"])
async def test_what_lies_where_the_control_directory_is_is_hidden(prefix: str, key: str) -> None:
    """At the root of the mount only: listed page by page, flat, and looked up."""
    others = [
        "a/.mountfs/x",
        "a/b/c",
        ".mountfs2",
        "e/f/g",
        *(f"b{n}/{m}" for n in "123" for m in "45"),
    ]
    store = FakeStore(page_size=3)
    put_empty(store, [prefix + each for each in [key, *others]])
    async with open_namespace(MetadataConfig(prefix=prefix), store) as namespace:
        assert expected_tree(others) == await read_tree(namespace)
        assert expected_tree(others) == await read_tree(namespace)
        assert namespace.hidden.count
        assert not await exists(namespace, b".mountfs")


async def test_a_name_that_is_not_utf_8_is_absent_without_a_request() -> None:
    """S3's keys are UTF-8, and Ceph answers a prefix that is not with broken XML."""
    async with open_namespace(ALWAYS_ASK, store := FakeStore()) as namespace:
        for name in (b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80"):
            assert not await exists(namespace, name)
    assert not store.requests


async def test_odd_names_survive() -> None:
    """Whatever a key may hold that a path may hold, it shows."""
    odd = [
        "a b",
        "a+b",
        "a&b",
        "a%20b",
        "a=b",
        "a?b",
        "a#b",
        "'",
        '"',
        "a\nb",
        "é",
        "e\u0301",
        "日本",
    ]
    odd += ["\U0001f600", "\\", " ", "~", "-", "a:b", "*"]
    keys = [f"{name}/{name}" for name in odd]
    store = FakeStore()
    put_empty(store, keys)
    async with open_namespace(DEFAULT, store) as namespace:
        assert await read_tree(namespace) == expected_tree(keys)
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        for name in odd:
            raw = name.encode("utf-8", "surrogateescape")
            assert await exists(namespace, raw, raw)


async def test_only_the_prefix_of_the_mount_is_shown() -> None:
    """The root is the prefix, and exists whatever it holds."""
    store = FakeStore()
    put_empty(store, ["a/x", "a/b/", "a/b/y", "a.txt", "a", "b/z", "a/"])
    async with open_namespace(MetadataConfig(prefix="a/"), store) as namespace:
        assert await read_tree(namespace) == {b"x": None, b"b": {b"y": None}}
        assert (await find(namespace, b"x")).number != namespace.root.number
    async with open_namespace(MetadataConfig(prefix="nothing/"), store) as namespace:
        assert await read_tree(namespace) == {}


async def test_with_a_ttl_of_0_every_opendir_lists() -> None:
    """What another host has published is seen by the next `ls`."""
    store = FakeStore()
    put_empty(store, ["a"])
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        assert await read_names(namespace, namespace.root) == [b"a"]
        put_empty(store, ["b"])
        store.bucket.delete("a")
        assert await read_names(namespace, namespace.root) == [b"b"]
        assert lists(store) == 2


async def test_a_stream_is_a_snapshot() -> None:
    """What was returned keeps its index, whatever happens meanwhile."""
    store = FakeStore()
    put_empty(store, ["a", "b", "c"])
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        stream = namespace.open_directory(namespace.root)
        names = [node.name for _, node in await stream.entries_from(0)]
        store.bucket.delete("a")
        put_empty(store, ["aa"])
        assert await read_names(namespace, namespace.root) == [b"aa", b"b", b"c"]
        assert [node.name for _, node in await stream.entries_from(1)] == names[1:]
        stream.close()


async def test_a_directory_that_is_gone_reads_as_empty() -> None:
    """A process may still have it open, or be in it."""
    store = FakeStore()
    put_empty(store, ["d/x", "e"])
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        directory = await find_directory(namespace, b"d")
        store.bucket.delete("d/x")
        assert not await exists(namespace, b"d")
        assert directory.is_detached
        before = lists(store)
        assert await read_names(namespace, directory) == []
        assert lists(store) == before


async def test_a_failed_listing_fails_its_readers_and_not_the_next_ones() -> None:
    """What was read before the failure was right; the error comes where entries lack."""
    store = FakeStore(page_size=10)
    put_empty(store, [f"{index:02}" for index in range(20)])
    async with open_namespace(DEFAULT, store) as namespace:
        store.faults.extend([None, StoreUnavailableError("down")])
        stream = namespace.open_directory(namespace.root)
        assert len(await stream.entries_from(0)) == 9
        with pytest.raises(StoreUnavailableError):
            await stream.entries_from(9)
        assert len(await stream.entries_from(0)) == 9
        stream.close()
        assert len(await read_names(namespace, namespace.root)) == 20


async def test_the_mtime_of_a_directory_is_the_newest_below_it() -> None:
    """`ls -ld` says when something was last published there."""
    store = FakeStore()
    store.bucket.put("d/old", b"", mtime_ns=10**9)
    store.bucket.put("d/new", b"", mtime_ns=3 * 10**9)
    async with open_namespace(DEFAULT, store) as namespace:
        directory = await find_directory(namespace, b"d")
        await read_names(namespace, directory)
        assert directory.mtime_ns == 3 * 10**9


async def test_a_known_directory_is_complete_at_once() -> None:
    """No task is needed for a page that is fresh."""
    store = FakeStore()
    put_empty(store, ["a", "b"])
    async with open_namespace(MetadataConfig(), store) as namespace:
        await read_names(namespace, namespace.root)
        stream = namespace.open_directory(namespace.root)
        entries = stream.entries_if_known(0)
        stream.close()
        assert entries is not None
        assert [b"a", b"b"] == [node.name for _, node in entries]


async def test_a_node_that_is_gone_has_no_time_left() -> None:
    """The kernel must not keep what `readdir` still shows."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(MetadataConfig(), store) as namespace:
        node = await namespace.lookup(namespace.root, b"a")
        store.bucket.put("a", b"2")
        await namespace.refresh(node)
        assert 0.0 == namespace.remaining_seconds(node, trio.current_time())
