"""A directory is moved while a flat scan is below it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.store.fake import FakeStore
from tests.meta.invariants import check_tree, count_overrides
from tests.meta.reference import (
    expected_tree,
    find_directory,
    lists,
    put_empty,
    read_names,
    read_tree,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

KEYS = [f"p/{i}/{j}/{name}" for i in range(4) for j in range(3) for name in ("x", "y", "z")]


async def copy_below(store: FakeStore, old: str, new: str) -> None:
    """Copy all keys below *old*; the answers take as long as the store is slow."""
    below = [key for key in store.bucket.keys if key.startswith(old)]
    for key in below:
        store.bucket.put(new + key[len(old) :], store.bucket.read(key))
    await trio.sleep(store.latency_seconds)


@pytest.mark.parametrize("path", [(b"p",), (b"p", b"1"), (b"p", b"1", b"1"), (b"p", b"2")])
@pytest.mark.parametrize("tenths", range(2, 60, 4))
async def test_a_walk_survives_the_move_of_a_directory_that_it_is_in(
    path: tuple[bytes, ...],
    tenths: int,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing hangs or fails, nothing is invented at the new place, and nothing is lost there."""
    store = FakeStore(latency_seconds=1.0, page_size=3)
    put_empty(store, KEYS)
    async with open_namespace(MetadataConfig(), store) as namespace:
        root, changes = namespace.root, namespace.changes
        moved = await find_directory(namespace, *path)
        await read_names(namespace, moved.parent)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(read_tree, namespace))
            await trio.sleep(tenths / 10)
            parent, old_key, old = moved.parent, moved.entry_key, moved.prefix
            changes.pin(parent, old_key)
            changes.pin(root, b"q/")
            await copy_below(store, old, "q/")
            changes.move(moved, root, b"q")
            for key in [key for key in store.bucket.keys if key.startswith(old)]:
                await trio.sleep(0.1)
                store.bucket.delete(key)
                check_tree(namespace)
            changes.unpin(parent, old_key)
            changes.unpin(root, b"q/")
        assert root.child(b"q") is moved
        assert expected_tree(store.bucket.keys, "q/") == await read_tree(namespace, moved)
        before = lists(store)
        assert expected_tree(store.bucket.keys) == await read_tree(namespace)
        assert lists(store) - before < 100
        await trio.sleep(100.0)
        assert expected_tree(store.bucket.keys) == await read_tree(namespace)
        check_tree(namespace)
        assert count_overrides(namespace) == 0
    assert not caplog.records
