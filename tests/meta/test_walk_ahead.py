"""Walks of whole trees on the fake store: how many LISTs, and how many at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.reference import (
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

    from mountfs.meta.namespace import Namespace

DEFAULT = MetadataConfig()


def flat_tree(directories: int, files: int, prefix: str = "") -> list[str]:
    """Return the keys of so many directories of so many files."""
    return [f"{prefix}d{d:05}/f{f:06}" for d in range(directories) for f in range(files)]


def make_store(keys: list[str]) -> FakeStore:
    """Return a store that answers in 20 ms."""
    store = FakeStore(latency_seconds=0.02)
    put_empty(store, keys)
    return store


def uneven_tree() -> list[str]:
    """Return the keys of directories of 0 to 3,000 files."""
    return [f"d{d:03}/f{f:06}" for d in range(60) for f in range((d * d * 7919) % 3000)]


def mixed_tree() -> list[str]:
    """Return the keys of directories that hold both files and directories."""
    keys = [
        f"a{a}/b{b}/c{c}/f{f}" for a in range(5) for b in range(5) for c in range(5) for f in (1, 2)
    ]
    return [*keys, *(f"a{a}/f{f}" for a in range(5) for f in range(1500)), "z", "a0/b0/x"]


WALKS = {
    # name: keys, LISTs at most
    "100 classes of 50": (flat_tree(100, 50), 6),
    "200 directories of 500": (flat_tree(200, 500), 125),
    "100 directories of 1,000": (flat_tree(100, 1000), 120),
    "10 directories of 10,000": (flat_tree(10, 10_000), 115),
    "one directory of 30,000": ([f"{f:06}" for f in range(30_000)], 30),
    "three splits of 100 classes": ([k for s in "abc" for k in flat_tree(100, 50, f"{s}/")], 20),
    "50 times 40 directories of 50": (
        [k for a in range(50) for k in flat_tree(40, 50, f"a{a:02}/")],
        120,
    ),
    "1,000 times 5 directories of 10": (
        [k for a in range(1000) for k in flat_tree(5, 10, f"a{a:04}/")],
        60,
    ),
    "uneven": (uneven_tree(), 115),
    "mixed": (mixed_tree(), 20),
    "a chain of only children": (["a/b/c/d/e/f/g/h"], 2),
}


@pytest.mark.parametrize("name", WALKS)
async def test_a_walk_costs_about_one_list_a_thousand_keys(
    name: str, autojump_clock: MockClock
) -> None:
    """Flat pages answer for many directories at a time, and the tree is what the keys say."""
    keys, limit = WALKS[name]
    store = make_store(keys)
    async with open_namespace(DEFAULT, store) as namespace:
        assert await read_tree(namespace) == expected_tree(keys)
        assert math.ceil(len(keys) / 1000) <= lists(store) <= limit
        before = lists(store)
        assert await read_tree(namespace) == expected_tree(keys)
        assert lists(store) == before


async def test_a_walk_of_many_pages_lists_several_at_once(autojump_clock: MockClock) -> None:
    """What takes 113 round trips one after the other takes a fraction of them."""
    store = make_store(flat_tree(200, 500))
    async with open_namespace(DEFAULT, store) as namespace:
        begin = trio.current_time()
        await read_tree(namespace)
        assert trio.current_time() - begin < 30 * 0.02


async def test_a_walk_after_the_ttl_costs_the_same_again(autojump_clock: MockClock) -> None:
    """An expired tree is refreshed flat too, and unchanged files keep their nodes."""
    keys = flat_tree(100, 50)
    store = make_store(keys)
    async with open_namespace(DEFAULT, store) as namespace:
        await read_tree(namespace)
        node = await find(namespace, b"d00042", b"f000042")
        await trio.sleep(100.0)
        store.bucket.delete("d00007/f000007")
        put_empty(store, ["d00007/new", "d00100/new"])
        before = lists(store)
        expected = expected_tree({*keys, "d00007/new", "d00100/new"} - {"d00007/f000007"})
        assert await read_tree(namespace) == expected
        assert lists(store) - before <= 7
        assert await find(namespace, b"d00042", b"f000042") is node
        assert lists(store) - before <= 7


async def test_several_processes_that_walk_at_once_share_the_lists(
    autojump_clock: MockClock,
) -> None:
    """Eight workers that build their file lists at the same time cost as much as one."""
    store = make_store(flat_tree(200, 100))
    async with open_namespace(DEFAULT, store) as namespace:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(read_tree, namespace)
        assert lists(store) <= 28


async def read_in_order(namespace: Namespace, names: list[bytes]) -> None:
    """List directories of the root, one after the other."""
    for name in names:
        await read_directory(namespace, await find_directory(namespace, name))


async def test_processes_that_walk_a_part_each_list_little_twice(
    autojump_clock: MockClock,
) -> None:
    """Four ranks with a quarter of the directories each."""
    store = make_store(flat_tree(200, 500))
    async with open_namespace(DEFAULT, store) as namespace:
        names = await read_names(namespace, namespace.root)
        async with trio.open_nursery() as nursery:
            for rank in range(4):
                nursery.start_soon(read_in_order, namespace, names[rank * 50 : rank * 50 + 50])
        assert lists(store) <= 140


async def test_directories_in_random_order_cost_at_most_one_list_each(
    autojump_clock: MockClock,
) -> None:
    """Without an order there is nothing to list ahead."""
    store = make_store(flat_tree(100, 300))
    async with open_namespace(DEFAULT, store) as namespace:
        names = await read_names(namespace, namespace.root)
        await read_in_order(namespace, [names[index * 37 % 100] for index in range(100)])
        assert lists(store) <= 102


@pytest.mark.parametrize("opened", [1, 2, 3, 5, 20])
async def test_a_walk_that_stops_lists_no_more_than_a_few_times_what_it_used(
    opened: int, autojump_clock: MockClock
) -> None:
    """Ahead of a process is listed as read-ahead reads: in proportion to what was used."""
    store = make_store(flat_tree(200, 500))
    async with open_namespace(DEFAULT, store) as namespace:
        names = await read_names(namespace, namespace.root)
        await read_in_order(namespace, names[:opened])
        await trio.sleep(30.0)
        assert lists(store) <= 3 + 6 * math.ceil(opened / 2)


async def test_listing_the_tops_of_huge_trees_costs_a_page_or_two_more(
    autojump_clock: MockClock,
) -> None:
    """``ls */`` does not want what is deeper: flat pages would be wasted."""
    keys = [k for a in range(20) for k in flat_tree(60, 200, f"a{a:02}/")]
    store = make_store(keys)
    async with open_namespace(DEFAULT, store) as namespace:
        names = await read_names(namespace, namespace.root)
        await read_in_order(namespace, names)
        assert lists(store) <= 1 + len(names) + 2


async def test_one_directory_costs_what_it_would_cost_alone(autojump_clock: MockClock) -> None:
    """``ls dir``: one LIST, wherever the directory is."""
    for files in (1, 500, 1000):
        store = make_store(flat_tree(50, files))
        async with open_namespace(DEFAULT, store) as namespace:
            names = await read_names(namespace, namespace.root)
            await read_in_order(namespace, [names[25]])
            assert lists(store) == 2


async def test_a_lookup_in_a_directory_that_is_being_scanned_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    """`stat` beside a walk does not ask for what is about to arrive."""
    store = make_store(flat_tree(20, 10))
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        names = await read_names(namespace, namespace.root)
        first = await find_directory(namespace, names[0])
        second = await find_directory(namespace, names[1])
        nursery.start_soon(read_directory, namespace, first)
        await trio.sleep(0.01)
        await namespace.lookup(second, b"f000005")
        assert lists(store) == 2


async def test_nothing_is_listed_ahead_without_time_to_use_it() -> None:
    """With a TTL of 0 nothing that was listed ahead would be believed."""
    store = FakeStore()
    put_empty(store, flat_tree(5, 5))
    async with open_namespace(MetadataConfig(ttl=Ttl(0.0)), store) as namespace:
        assert await read_tree(namespace) == expected_tree(flat_tree(5, 5))
        assert all(request.delimiter for request in store.log)


async def test_a_failed_scan_fails_nobody(autojump_clock: MockClock) -> None:
    """Who waited for its page lists the directory alone."""
    store = make_store(flat_tree(20, 10))
    async with open_namespace(DEFAULT, store) as namespace:
        names = await read_names(namespace, namespace.root)
        store.faults.append(StoreUnavailableError("down"))
        await read_in_order(namespace, names[:1])
        assert await read_tree(namespace) == expected_tree(flat_tree(20, 10))


async def test_a_failure_ahead_harms_nobody(autojump_clock: MockClock) -> None:
    """The directories that a failed scan would have brought are listed when they are wanted."""
    keys = flat_tree(200, 100)
    store = make_store(keys)
    asked = 0

    def fail_sometimes(_request: object) -> StoreUnavailableError | None:
        nonlocal asked
        asked += 1
        return StoreUnavailableError("down") if asked % 7 == 0 else None

    async with open_namespace(DEFAULT, store) as namespace:
        store.fault_for = fail_sometimes
        for name in [f"d{index:05}".encode() for index in range(200)]:
            for _ in range(10):
                try:
                    directory = await find(namespace, name)
                    assert isinstance(directory, Directory)
                    entries = await read_names(namespace, directory)
                except StoreUnavailableError:
                    continue
                break
            assert len(entries) == 100


async def test_a_deep_tree_is_walked_to_its_ground() -> None:
    """Directories in directories, as deep as keys go, cost no recursion here."""
    store = FakeStore()
    put_empty(store, ["a/" * 500 + "x"])
    async with open_namespace(DEFAULT, store) as namespace:
        directory = namespace.root
        for _ in range(500):
            [entry] = await read_directory(namespace, directory)
            assert isinstance(entry, Directory)
            directory = entry
        assert await read_names(namespace, directory) == [b"x"]
        assert lists(store) == 2


async def test_a_walk_works_where_only_lists_with_a_delimiter_are_permitted(
    autojump_clock: MockClock,
) -> None:
    """The refusal is remembered for the walk."""
    keys = flat_tree(20, 10)
    store = make_store(keys)
    store.fault_for = lambda request: None if request.delimiter else AccessDeniedError("no")
    async with open_namespace(DEFAULT, store) as namespace:
        assert await read_tree(namespace) == expected_tree(keys)
        assert sum(not request.delimiter for request in store.log) == 1


async def test_a_lookup_beside_a_failing_scan_asks_itself(autojump_clock: MockClock) -> None:
    """The scan was only a short cut."""
    store = make_store(flat_tree(20, 10))
    store.fault_for = lambda request: None if request.delimiter else AccessDeniedError("no")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        names = await read_names(namespace, namespace.root)
        second = await find_directory(namespace, names[1])
        nursery.start_soon(read_names, namespace, await find_directory(namespace, names[0]))
        await trio.sleep(0.01)
        assert (await namespace.lookup(second, b"f000005")).name == b"f000005"


async def test_a_bug_in_a_scan_does_not_end_the_mount(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the directories are listed alone."""

    def read(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("mountfs.meta.flat_scan.FlatScan.read", read)
    keys = flat_tree(3, 3)
    async with open_namespace(DEFAULT, make_store(keys)) as namespace:
        assert await read_tree(namespace) == expected_tree(keys)
    assert "a bug" in caplog.text
