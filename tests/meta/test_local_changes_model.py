"""What is changed here shows at once, and what others change shows after the TTL."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mountfs.errors import ObjectNotFoundError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.invariants import check_tree, count_overrides
from tests.meta.local_writer import LocalWriter
from tests.meta.reference import expected_tree, read_directory, read_tree

if TYPE_CHECKING:
    from mountfs.meta.namespace import Namespace

NAMES = ["a", "b", "a!", "a-", "a0"]
"""Few, so that they collide; around ``/`` in the order of bytes."""

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *["put", "delete", "read", "walk", "lookup", "refresh"],
                *["create", "write", "remove", "mkdir", "rmdir", "move"] * 2,
            ]
        ),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
        st.sampled_from([0.0, 0.01, 0.3, 1.0]),
        st.sampled_from([0.0, 0.5, 3.0]),
    ),
    max_size=25,
)


class Actor:
    """Starts what the steps say; each goes on by itself."""

    def __init__(self, store: FakeStore, namespace: Namespace, seed: int) -> None:
        self._store = store
        self._namespace = namespace
        self._random = random.Random(seed)
        self.writer = LocalWriter(store, namespace, self._random)

    async def act(self, operation: str, path: list[str], target: list[str]) -> None:
        """Do one step to its end."""
        writer = self.writer
        if operation == "put":
            key = "/".join(path) + ("/" if self._random.random() < 0.2 else "")
            writer.note_touched(key)
            self._store.bucket.put(key, b"theirs %d" % self._random.randrange(1000))
            return
        if operation == "delete":
            writer.note_touched("/".join(path))
            self._store.bucket.delete("/".join(path))
            return
        if operation in ("create", "mkdir"):
            parent = await self._find(path[:-1])
            if isinstance(parent, Directory):
                make = writer.create if operation == "create" else writer.make_directory
                await make(parent, path[-1].encode())
            return
        node = await self._find(path)
        if operation == "move":
            new_parent = await self._find(target[:-1])
            if node is not None and isinstance(new_parent, Directory):
                await writer.move(node, new_parent, target[-1].encode())
        elif isinstance(node, Directory):
            await self._act_on_directory(operation, node)
        elif node is not None:
            await self._act_on_file(operation, node)

    async def _act_on_directory(self, operation: str, directory: Directory) -> None:
        if operation == "read":
            await read_directory(self._namespace, directory)
        elif operation == "walk":
            await read_tree(self._namespace, directory)
        elif operation == "rmdir":
            await self.writer.remove_directory(directory)
        elif operation == "refresh":
            await self._namespace.refresh(directory)

    async def _act_on_file(self, operation: str, file: File) -> None:
        if operation == "remove":
            await self.writer.remove(file)
        elif operation == "write":
            await self.writer.write(file)
        elif operation == "refresh":
            await self._namespace.refresh(file)
        elif operation == "lookup":
            self._namespace.note_stale(file)

    async def _find(self, path: list[str]) -> Directory | File | None:
        node: Directory | File = self._namespace.root
        for part in path:
            if not isinstance(node, Directory):
                return None
            try:
                node = await self._namespace.lookup(node, part.encode())
            except ObjectNotFoundError:
                return None
        return node


async def play(
    script: list[tuple[str, list[str], list[str], float, float]],
    *,
    ttl: float,
    page_size: int,
    seed: int,
) -> None:
    """Start the steps one after the other, check all the time, and compare in the end."""
    store = FakeStore(page_size=page_size)
    async with open_namespace(MetadataConfig(ttl=Ttl(ttl)), store) as namespace:
        actor = Actor(store, namespace, seed)
        async with trio.open_nursery() as nursery:
            for operation, path, target, pause, latency in script:
                store.latency_seconds = latency
                nursery.start_soon(partial(actor.act, operation, path, target))
                await trio.sleep(pause)
                check_tree(namespace)
                actor.writer.check()
            while len(nursery.child_tasks):
                await trio.sleep(0.3)
                check_tree(namespace)
                actor.writer.check()
        await trio.sleep(ttl + 10.0)
        store.latency_seconds = 0.0
        assert expected_tree(store.bucket.keys) == await read_tree(namespace)
        check_tree(namespace)
        check_versions(store, namespace)
        assert 0 == count_overrides(namespace)


def check_versions(store: FakeStore, namespace: Namespace) -> None:
    """Check that each file that shows is the version that the store has."""
    pending = [namespace.root]
    while pending:
        directory = pending.pop()
        pending.extend(directory.subdirectories.values())
        for file in directory.files.values():
            assert store.bucket.find(file.key).info.etag == file.etag


@pytest.mark.parametrize("ttl", [0.0, 1.0, 60.0])
@settings(max_examples=200, deadline=None)
@given(steps, st.integers(1, 4), st.integers(0, 2**32))
def test_what_is_pinned_is_ours_and_the_rest_becomes_the_stores(
    ttl: float,
    script: list[tuple[str, list[str], list[str], float, float]],
    page_size: int,
    seed: int,
) -> None:
    """Changes from both sides, and answers that arrive late and in any order."""
    test = partial(play, script, ttl=ttl, page_size=page_size, seed=seed)
    trio.run(test, clock=MockClock(autojump_threshold=0))
