from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from mountfs.errors import AccessDeniedError, StoreError
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore
from mountfs.vfs.learning import HEADS_IN_FLIGHT, Learner
from mountfs.vfs.showing import extra_of

if TYPE_CHECKING:
    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node

MODE = stat.S_IFREG | 0o751
SAVED = ObjectHeaders(metadata={"mode": str(MODE), "uid": "5", "mtime": "1234.5"})


async def list_root(namespace: Namespace) -> list[Node]:
    """Return all entries of the root."""
    stream = namespace.open_directory(namespace.root)
    nodes: list[Node] = []
    index = 0
    while found := await stream.entries_from(index):
        nodes += [node for _, node in found]
        index = found[-1][0]
    stream.close()
    return nodes


async def test_a_directory_is_learned_many_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One HEAD a file, and never more in flight than is allowed."""
    store = FakeStore()
    for number in range(3 * HEADS_IN_FLIGHT + 1):
        store.bucket.put(f"{number:03d}", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        nodes = await list_root(namespace)
        learner = Learner(store, is_posix=True)
        store.latency_seconds = 1.0
        began = trio.current_time()
        await learner.learn_all(nodes)
        assert 4 == round(trio.current_time() - began)
        assert {"LIST": 1, "HEAD": len(nodes)} == dict(store.requests)
        for node in nodes:
            assert (MODE, 5, 1234_500_000_000) == (
                extra_of(node).mode, extra_of(node).uid, node.mtime_ns,
            )  # fmt: skip
        await learner.learn_all(nodes)
        assert len(nodes) == store.requests["HEAD"]


async def test_without_posix_nothing_is_asked() -> None:
    """What the listing says is all there is."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        nodes = await list_root(namespace)
        await Learner(store, is_posix=False).learn_all(nodes)
        assert [None] == [node.extra for node in nodes]
    assert {"LIST": 1} == dict(store.requests)


async def test_all_who_ask_for_one_node_wait_for_one_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also when it fails: each is told, and the next one asks again."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        store.latency_seconds = 1.0
        learner = Learner(store, is_posix=True)
        errors: list[StoreError] = []

        async def ask() -> None:
            try:
                await learner.learn(node)
            except AccessDeniedError as error:
                errors.append(error)

        for expected_errors, fault in [(10, AccessDeniedError("no")), (10, None)]:
            store.faults.append(fault)
            before = store.requests["HEAD"]
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask)
            assert (expected_errors, before + 1) == (len(errors), store.requests["HEAD"])
        assert MODE == extra_of(node).mode


async def test_who_waited_for_somebody_killed_asks_for_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A request that was given up leaves nobody waiting for ever."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        store.latency_seconds = 1.0
        learner = Learner(store, is_posix=True)
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as killed:
                async with trio.open_nursery() as inner:
                    inner.start_soon(learner.learn, node)
                    await wait_all_tasks_blocked()
                    nursery.start_soon(learner.learn, node)
                    await wait_all_tasks_blocked()
                    assert 1 == store.requests["HEAD"]
                    killed.cancel()
        assert (2, MODE) == (store.requests["HEAD"], extra_of(node).mode)


async def test_what_was_set_here_meanwhile_is_not_overwritten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The answer is older than the change."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        store.latency_seconds = 1.0
        changed = extra_of(node).overlaid(extra_of(node))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Learner(store, is_posix=True).learn, node)
            await wait_all_tasks_blocked()
            node.extra = changed
        assert changed is node.extra


async def test_a_file_that_is_renamed_meanwhile_is_asked_for_under_its_new_name(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """That the old key is gone says nothing of what the file is."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        assert isinstance(node, File)
        store.bucket.put("g", b"x", headers=SAVED)
        store.bucket.delete("f")
        store.latency_seconds = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Learner(store, is_posix=True).learn, node)
            await wait_all_tasks_blocked()
            namespace.changes.move(node, namespace.root, b"g", mtime_ns=1)
        assert ("g", MODE) == (node.key, extra_of(node).mode)


@pytest.mark.parametrize(("marker", "heads"), [(False, 1), (True, 1)])
async def test_a_directory_is_what_its_marker_says(marker: bool, heads: int) -> None:
    """Without one it is as the mount decides; the root is never asked for."""
    store = FakeStore()
    store.bucket.put("d/f", b"x")
    if marker:
        mode = stat.S_IFDIR | 0o700
        store.bucket.put("d/", b"", headers=ObjectHeaders(metadata={"mode": str(mode)}))
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        assert isinstance(node, Directory)
        learner = Learner(store, is_posix=True)
        await learner.learn_all([node, namespace.root])
        assert (stat.S_IFDIR | 0o700 if marker else None) == extra_of(node).mode
        assert learner.is_learned(namespace.root)
        assert heads == store.requests["HEAD"]
