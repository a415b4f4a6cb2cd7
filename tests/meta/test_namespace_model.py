"""The tree equals what the keys say, whatever other clients do to them meanwhile."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mountfs.errors import ObjectNotFoundError
from mountfs.keys import decode_name
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.reference import expected_tree, put_empty, read_directory, read_tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.meta.namespace import Namespace
    from tests.meta.reference import Tree

PARTS = ["a", "b", "a!", "a-", "a0", "a.b", "", ".", "..", "é", "~"]
"""Few, so that they collide; around ``/`` in the order of bytes; some are no names."""

NAMES = [part for part in PARTS if part not in ("", ".", "..")]

keys = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join).filter(bool)
paths = st.lists(st.sampled_from(NAMES), max_size=3)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("lookup"), paths),
        st.tuples(st.just("readdir"), paths),
        st.tuples(st.just("refresh"), paths),
    ),
    max_size=30,
)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run *test* with a clock that jumps; Hypothesis cannot drive coroutines itself."""
    trio.run(test, clock=MockClock(autojump_threshold=0))


def at(tree: Tree, path: list[str]) -> Tree | str | None:
    """Return what *path* shows in the reference: a directory, "file", or None."""
    here: Tree = tree
    for index, part in enumerate(path):
        name = part.encode()
        if name not in here:
            return None
        below = here[name]
        if below is None:
            return "file" if index == len(path) - 1 else None
        here = below
    return here


async def look_up(namespace: Namespace, path: list[str]) -> Directory | File | None:
    """Return what *path* shows in the namespace."""
    node: Directory | File = namespace.root
    for part in path:
        if not isinstance(node, Directory):
            return None
        try:
            node = await namespace.lookup(node, part.encode())
        except ObjectNotFoundError:
            return None
    return node


class Client:
    """Does the operations on the store or on the namespace, and compares."""

    def __init__(self, store: FakeStore, namespace: Namespace) -> None:
        self.store = store
        self.namespace = namespace
        self.keys: dict[str, str] = {}
        self.serial = 0

    async def act(self, operation: str, argument: str | list[str]) -> None:
        """Do one operation."""
        if isinstance(argument, str):
            if operation == "put":
                self.serial += 1
                self.keys[argument] = self.store.bucket.put(argument, b"%d" % self.serial).etag
            else:
                self.keys.pop(argument, None)
                self.store.bucket.delete(argument)
            return
        node = await look_up(self.namespace, argument)
        expected = at(expected_tree(self.keys), argument)
        if node is None or isinstance(node, File):
            assert expected == (None if node is None else "file")
            if isinstance(node, File):
                assert self.keys[node.key] == node.etag
        else:
            assert isinstance(expected, dict)
            if operation == "readdir":
                await self.compare_directory(node, expected)
        if node is not None and operation == "refresh":
            await self.namespace.refresh(node)
            assert not node.is_detached

    async def compare_directory(self, node: Directory, expected: Tree) -> None:
        """Compare one directory, names and versions."""
        found = await read_directory(self.namespace, node)
        assert sorted(expected) == sorted(child.name for child in found)
        for child in found:
            assert isinstance(child, Directory) == (expected[child.name] is not None)
            assert not child.is_detached
            if isinstance(child, File):
                assert self.keys[child.key] == child.etag
                assert child.key == node.prefix + decode_name(child.name)


@settings(max_examples=300, deadline=None)
@given(operations, st.integers(1, 4))
def test_with_a_ttl_of_0_the_tree_is_always_what_the_keys_say(
    steps: list[tuple[str, str | list[str]]], page_size: int
) -> None:
    """Lookups and readdirs between other clients' changes see each of them at once."""

    async def test() -> None:
        store = FakeStore(page_size=page_size)
        async with open_namespace(MetadataConfig(ttl=Ttl(0.0)), store) as namespace:
            client = Client(store, namespace)
            for operation, argument in steps:
                await client.act(operation, argument)
            assert await read_tree(namespace) == expected_tree(client.keys)

    run(test)


@settings(max_examples=300, deadline=None)
@given(operations, st.integers(1, 4))
def test_after_the_ttl_the_tree_is_what_the_keys_say(
    steps: list[tuple[str, str | list[str]]], page_size: int
) -> None:
    """Listing ahead changes nothing about what is seen once the answers have expired."""

    async def test() -> None:
        store = FakeStore(page_size=page_size)
        async with open_namespace(MetadataConfig(), store) as namespace:
            client = Client(store, namespace)
            for operation, argument in steps:
                await read_tree(namespace)
                await trio.sleep(100.0)
                await client.act(operation, argument)
            await trio.sleep(100.0)
            assert await read_tree(namespace) == expected_tree(client.keys)

    run(test)


@settings(max_examples=300, deadline=None)
@given(st.sets(keys, max_size=60), st.integers(1, 10), paths)
def test_a_walk_shows_exactly_what_the_keys_say(
    stored: set[str], page_size: int, first: list[str]
) -> None:
    """Flat pages, pages with a delimiter and any seam between them give the same tree."""

    async def test() -> None:
        store = FakeStore(page_size=page_size)
        put_empty(store, stored)
        async with open_namespace(MetadataConfig(), store) as namespace:
            await look_up(namespace, first)
            assert await read_tree(namespace) == expected_tree(stored)
            assert await read_tree(namespace) == expected_tree(stored)

    run(test)


async def _act_at_random(namespace: Namespace, random_: random.Random, ttl: float) -> None:
    for _ in range(10):
        path = random_.choices(
            [p for p in PARTS if p not in ("", ".", "..")], k=random_.randrange(3)
        )
        node = await look_up(namespace, path)
        if isinstance(node, Directory) and random_.random() < 0.5:
            await read_directory(namespace, node)
        elif node is not None and random_.random() < 0.3:
            await namespace.refresh(node)
        await trio.sleep(random_.random() * ttl)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 5.0]), st.integers(1, 4))
def test_readers_at_the_same_time_leave_nothing_wrong_behind(
    seed: int, ttl: float, page_size: int
) -> None:
    """Answers that overlap and arrive in any order leave nothing that no LIST would renew."""

    async def test() -> None:
        random_ = random.Random(seed)
        store = FakeStore(page_size=page_size)
        current: set[str] = set()

        async def change() -> None:
            for _ in range(40):
                key = "/".join(random_.choices(PARTS, k=random_.randint(1, 3))) or "a"
                if random_.random() < 0.6:
                    store.bucket.put(key, b"%d" % random_.randrange(1000))
                    current.add(key)
                else:
                    store.bucket.delete(key)
                    current.discard(key)
                store.latency_seconds = random_.random()
                await trio.sleep(random_.random())

        async with open_namespace(MetadataConfig(ttl=Ttl(ttl)), store) as namespace:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(change)
                for _ in range(5):
                    nursery.start_soon(partial(_act_at_random, namespace, random_, ttl or 1.0))
            await trio.sleep(ttl + 1.0)
            assert await read_tree(namespace) == expected_tree(current)

    run(test)
