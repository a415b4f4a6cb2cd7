from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from mountfs.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
    ThrottledError,
)
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore
from mountfs.vfs.learning import HEADS_IN_FLIGHT, Learner
from mountfs.vfs.showing import extra_of
from tests.vfs.opened import ROOT, look_up, opening_vfs

if TYPE_CHECKING:
    from pathlib import Path

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
        learner = Learner(namespace, store, is_posix=True)
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
        await Learner(namespace, store, is_posix=False).learn_all(nodes)
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
        learner = Learner(namespace, store, is_posix=True)
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
        learner = Learner(namespace, store, is_posix=True)
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
            nursery.start_soon(Learner(namespace, store, is_posix=True).learn, node)
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
            nursery.start_soon(Learner(namespace, store, is_posix=True).learn, node)
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
        learner = Learner(namespace, store, is_posix=True)
        await learner.learn_all([node, namespace.root])
        assert (stat.S_IFDIR | 0o700 if marker else None) == extra_of(node).mode
        assert learner.is_learned(namespace.root)
        assert heads == store.requests["HEAD"]


@pytest.mark.parametrize("error", [AccessDeniedError("no", status=403), ThrottledError("busy")])
async def test_what_the_store_does_not_tell_of_one_file_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: StoreError
) -> None:
    """It is shown as the mount decides, for one look, with one line in the log."""
    store = FakeStore()
    for name in "abc":
        store.bucket.put(name, b"x", headers=SAVED)
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        filesystem = vfs.filesystem
        store.fault_for = lambda request: error if request[:2] == ("HEAD", "b") else None
        for look in range(1, 3):
            handle = filesystem.open_directory(ROOT)
            found = await filesystem.entries(handle, 0, 10)
            filesystem.release_directory(handle)
            entries = [filesystem.entry_of(node, trio.current_time()) for _, node in found]
            assert [MODE, stat.S_IFREG | 0o644, MODE] == [e.attributes.mode for e in entries]
            assert [False, True, False] == [e.entry_seconds == 0 == e.attr_seconds for e in entries]
            assert 2 + look == store.requests["HEAD"]
        lines = [(r.levelname, "'b'" in r.message) for r in caplog.records if r.levelno >= 30]
        assert [("WARNING", True)] == lines
        caplog.clear()
        with pytest.raises(type(error)):  # who opens it next must not do so with wrong permissions
            await look_up(vfs, b"b")
        store.fault_for = None
        inode = await look_up(vfs, b"b")
        assert MODE == filesystem.getattr(inode).attributes.mode


async def test_a_store_that_tells_of_nothing_is_not_asked_for_everything() -> None:
    """If it refuses, the names are there; if it is down, who lists is told, in one error."""
    store = FakeStore()
    for number in range(5 * HEADS_IN_FLIGHT):
        store.bucket.put(f"{number:03d}", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        nodes = await list_root(namespace)
        learner = Learner(namespace, store, is_posix=True)
        refusal: StoreError = AccessDeniedError("no")
        store.fault_for = lambda request: refusal if request.kind == "HEAD" else None
        await learner.learn_all(nodes)
        assert len(nodes) == store.requests["HEAD"]
        refusal = StoreUnavailableError("down")
        with pytest.raises(StoreUnavailableError):
            await learner.learn_all(nodes)
        assert store.requests["HEAD"] <= len(nodes) + 2 * HEADS_IN_FLIGHT
        assert not any(learner.is_learned(node) for node in nodes)


async def test_a_listing_that_is_given_up_asks_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And leaves nothing behind: the next one learns everything."""
    store = FakeStore()
    for number in range(3 * HEADS_IN_FLIGHT):
        store.bucket.put(f"{number:03d}", b"x", headers=SAVED)
    async with open_namespace(MetadataConfig(), store) as namespace:
        nodes = await list_root(namespace)
        learner = Learner(namespace, store, is_posix=True)
        store.latency_seconds = 1.0
        with trio.move_on_after(0.5) as killed:
            await learner.learn_all(nodes)
        assert killed.cancelled_caught
        assert HEADS_IN_FLIGHT == store.requests["HEAD"]
        await learner.learn_all(nodes)
        assert all(learner.is_learned(node) for node in nodes)


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_what_another_version_says_of_itself_is_not_believed_of_this_one(
    is_deleted: bool,
) -> None:
    """The listing was old: nothing is learned, and the next look-up asks."""
    store = FakeStore()
    store.bucket.put("f", b"x")
    async with open_namespace(MetadataConfig(), store) as namespace:
        (node,) = await list_root(namespace)
        if is_deleted:
            store.bucket.delete("f")
        else:
            store.bucket.put("f", b"newer", headers=SAVED)
        mtime_ns = node.mtime_ns
        learner = Learner(namespace, store, is_posix=True)
        await learner.learn_all([node])
        assert isinstance(node, File)
        assert (None, mtime_ns, True) == (node.extra, node.mtime_ns, node.is_stale)
        assert namespace.lookup_if_fresh(namespace.root, b"f") is None


async def test_a_look_up_sees_what_has_replaced_the_file_since_it_was_listed(
    tmp_path: Path,
) -> None:
    """With its own attributes; and if it is gone, that it is."""
    store = FakeStore()
    store.bucket.put("f", b"x")
    store.bucket.put("g", b"x")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        filesystem = vfs.filesystem
        await look_up(vfs, b"f")  # which lists the rest
        store.bucket.put("g", b"newer", headers=SAVED)
        entry = await filesystem.lookup(ROOT, b"g")
        assert (MODE, 5) == (entry.attributes.mode, entry.attributes.size_bytes)
        store.bucket.put("h", b"x")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        await look_up(vfs, b"f")
        store.bucket.delete("h")
        with pytest.raises(ObjectNotFoundError):
            await vfs.filesystem.lookup(ROOT, b"h")
