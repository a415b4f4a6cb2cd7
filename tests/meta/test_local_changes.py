"""Changes that are made here: what they do to the tree, and what answers may do to them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import ObjectNotFoundError
from mountfs.meta.answer import Answer, apply_answer
from mountfs.meta.config import MetadataConfig
from mountfs.meta.coverage import END
from mountfs.meta.namespace import Namespace, open_namespace
from mountfs.meta.node import Directory, File
from mountfs.meta.subtree import SubtreeTooLargeError
from mountfs.store.fake import FakeStore
from mountfs.ttl import Ttl
from tests.meta.invariants import check_tree, count_overrides
from tests.meta.reference import (
    exists,
    find,
    find_directory,
    lists,
    put_empty,
    read_names,
    read_tree,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

    from mountfs.meta.node import Node

DEFAULT = MetadataConfig()
ALWAYS_ASK = MetadataConfig(ttl=Ttl(0.0))


def publish(store: FakeStore, namespace: Namespace, file: File, body: bytes) -> None:
    """Put *body* under the key of *file*, and let the tree know."""
    info = store.bucket.put(file.key, body)
    namespace.changes.advance(
        file, etag=info.etag, size_bytes=info.size_bytes, mtime_ns=info.mtime_ns
    )


async def test_a_created_file_shows_without_a_request_while_it_is_pinned() -> None:
    """Whatever the TTL: the store does not know of it yet."""
    store = FakeStore()
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        root, changes = namespace.root, namespace.changes
        file = changes.create_file(root, b"a", mtime_ns=7)
        changes.pin(root, b"a")
        assert await find(namespace, b"a") is file
        assert (file.etag, file.size_bytes, file.is_stale) == ("", 0, False)
        assert root.mtime_ns == 7
        await namespace.refresh(file)
        assert not store.requests
        assert await read_names(namespace, root) == [b"a"]
        assert namespace.root.child(b"a") is file
        check_tree(namespace)


async def test_a_removed_name_is_absent_without_a_request_while_it_is_pinned() -> None:
    """The store has it until the delete arrives."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        root, changes = namespace.root, namespace.changes
        file = await find(namespace, b"a")
        before = lists(store)
        changes.pin(root, b"a")
        changes.remove(file)
        assert namespace.is_known_absent(root, b"a")
        with pytest.raises(ObjectNotFoundError):
            await namespace.lookup(root, b"a")
        assert lists(store) == before
        assert await read_names(namespace, root) == []
        assert file.is_detached
        assert isinstance(file, File)
        assert file.key == "a"
        changes.unpin(root, b"a")
        assert await exists(namespace, b"a")  # the store has it after all


async def test_absent_names_are_known_where_the_directory_is_known() -> None:
    """Both places of a name must be: a file's and a directory's."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(DEFAULT, store) as namespace:
        assert not namespace.is_known_absent(namespace.root, b"b")
        await read_names(namespace, namespace.root)
        assert namespace.is_known_absent(namespace.root, b"b")
        assert not namespace.is_known_absent(namespace.root, b"a")
        made = namespace.changes.create_directory(namespace.root, b"d", mtime_ns=1)
        assert namespace.is_known_absent(made, b"x")
        assert lists(store) == 1


async def test_a_published_file_keeps_its_number_and_is_fresh(autojump_clock: MockClock) -> None:
    """Later listings confirm it; an earlier one that says something else changes nothing."""
    store = FakeStore(latency_seconds=10.0)
    store.bucket.put("a", b"old")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        root, changes = namespace.root, namespace.changes
        file = await find(namespace, b"a")
        assert isinstance(file, File)
        number = file.number
        await trio.sleep(100.0)
        nursery.start_soon(read_names, namespace, root)
        await trio.sleep(1.0)
        changes.pin(root, b"a")
        publish(store, namespace, file, b"new")
        changes.unpin(root, b"a")
        await trio.sleep(20.0)  # the answer from before says the old ETag
        assert root.child(b"a") is file
        assert lists(store) == 2
        await trio.sleep(100.0)
        assert await find(namespace, b"a") is file
        assert file.number == number
        assert count_overrides(namespace) == 0


async def test_a_version_that_is_denied_twice_does_not_hold_up_the_new_one(
    autojump_clock: MockClock,
) -> None:
    """Reads that were under way fail one by one, the last after the name was looked up again."""
    store = FakeStore()
    store.bucket.put("a", b"old")
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        old = await find(namespace, b"a")
        new = store.bucket.put("a", b"newer")
        namespace.note_stale(old)
        store.latency_seconds = 10.0
        found: list[Node] = []

        async def look_up() -> None:
            found.append(await find(namespace, b"a"))

        nursery.start_soon(look_up)
        await trio.sleep(1.0)
        namespace.note_stale(old)
        await trio.sleep(10.0)
        assert [new.etag] == [file.etag for file in found if isinstance(file, File)]
        assert await find(namespace, b"a") is found[0]
        assert 2 == lists(store)


async def test_after_unpin_others_may_replace_and_remove() -> None:
    """Only LISTs from before hold their peace."""
    store = FakeStore()
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        root, changes = namespace.root, namespace.changes
        for name in (b"a", b"b"):
            changes.pin(root, name)
            publish(store, namespace, changes.create_file(root, name, mtime_ns=1), b"1")
            changes.unpin(root, name)
        mine = root.child(b"a")
        theirs = store.bucket.put("a", b"2")
        store.bucket.delete("b")
        assert await read_names(namespace, root) == [b"a"]
        found = await find(namespace, b"a")
        assert isinstance(found, File)
        assert found is not mine
        assert found.etag == theirs.etag


async def test_pins_are_counted() -> None:
    """An open draft and a rename may pin the same name."""
    store = FakeStore()
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        root, changes = namespace.root, namespace.changes
        changes.create_file(root, b"a", mtime_ns=1)
        changes.pin(root, b"a")
        changes.pin(root, b"a")
        changes.unpin(root, b"a")
        assert await exists(namespace, b"a")
        changes.unpin(root, b"a")
        assert not await exists(namespace, b"a")


async def test_no_directory_appears_above_a_pinned_file() -> None:
    """Somebody else puts keys below its name: they show when it is published."""
    store = FakeStore()
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        root, changes = namespace.root, namespace.changes
        file = changes.create_file(root, b"a", mtime_ns=1)
        changes.pin(root, b"a")
        store.bucket.put("a/x", b"1")
        assert await read_tree(namespace) == {b"a": None}
        publish(store, namespace, file, b"1")
        changes.unpin(root, b"a")
        assert await read_tree(namespace) == {b"a": {b"x": None}}


async def test_a_directory_stays_while_something_below_it_is_pinned() -> None:
    """The store knows nothing of it: its only file is not published."""
    store = FakeStore()
    store.bucket.put("d/old", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        changes = namespace.changes
        directory = await find_directory(namespace, b"d")
        file = changes.create_file(directory, b"new", mtime_ns=1)
        changes.pin(directory, b"new")
        store.bucket.delete("d/old")
        assert await read_tree(namespace) == {b"d": {b"new": None}}
        assert await find(namespace, b"d", b"new") is file
        changes.remove(file)
        changes.unpin(directory, b"new")
        assert await read_tree(namespace) == {}
        assert directory.is_detached


async def test_a_made_directory_is_empty_without_a_request() -> None:
    """Nobody else knew of it."""
    store = FakeStore()
    async with open_namespace(DEFAULT, store) as namespace:
        made = namespace.changes.create_directory(namespace.root, b"d", mtime_ns=1)
        namespace.changes.pin(namespace.root, b"d/")
        assert await read_names(namespace, made) == []
        assert not await namespace.has_children(made)
        assert made.has_marker is False
        assert not store.requests


async def test_what_is_there_cannot_be_created_and_what_is_gone_not_removed() -> None:
    """The errors are those of the system calls."""
    async with open_namespace(DEFAULT, FakeStore()) as namespace:
        root, changes = namespace.root, namespace.changes
        file = changes.create_file(root, b"a", mtime_ns=1)
        directory = changes.create_directory(root, b"d", mtime_ns=1)
        inner = changes.create_directory(directory, b"e", mtime_ns=1)
        with pytest.raises(FileExistsError):
            changes.create_directory(root, b"a", mtime_ns=1)
        with pytest.raises(FileExistsError):
            changes.create_file(root, b"d", mtime_ns=1)
        with pytest.raises(OSError, match="not empty") as caught:
            changes.remove(directory)
        assert errno.ENOTEMPTY == caught.value.errno
        changes.remove(file)
        with pytest.raises(FileNotFoundError):
            changes.remove(file)
        with pytest.raises(OSError, match="itself") as caught:
            changes.move(directory, inner, b"x")
        assert errno.EINVAL == caught.value.errno
        changes.remove(inner)
        with pytest.raises(FileNotFoundError):
            changes.create_file(inner, b"x", mtime_ns=1)
        check_tree(namespace)


async def test_a_moved_file_is_the_same_node_and_replaces_what_was_there() -> None:
    """Number, look-ups, draft and attributes go with it."""
    store = FakeStore()
    put_empty(store, ["a", "d/b"])
    async with open_namespace(DEFAULT, store) as namespace:
        file = await find(namespace, b"a")
        there = await find(namespace, b"d", b"b")
        directory = await find_directory(namespace, b"d")
        assert isinstance(file, File)
        file.draft = draft = object()
        namespace.table.remember(file)
        number = file.number
        assert namespace.changes.move(file, directory, b"b") is there
        assert there.is_detached
        assert (file.key, file.number, file.lookups) == ("d/b", number, 1)
        assert file.draft is draft
        assert namespace.table.get(number) is file
        assert namespace.root.child(b"a") is None
        assert directory.child(b"b") is file
        assert namespace.changes.move(file, directory, b"b") is None
        check_tree(namespace)


async def test_a_moved_directory_takes_its_subtree_along(autojump_clock: MockClock) -> None:
    """Prefixes are rewritten in all depths, and answers for the old ones are refused."""
    store = FakeStore(latency_seconds=1.0)
    put_empty(store, ["d/e/x", "d/y"])
    async with open_namespace(DEFAULT, store) as namespace, trio.open_nursery() as nursery:
        root, changes = namespace.root, namespace.changes
        await read_tree(namespace)
        moved = await find_directory(namespace, b"d")
        inner = await find_directory(namespace, b"d", b"e")
        x = await find(namespace, b"d", b"e", b"x")
        await trio.sleep(100.0)
        nursery.start_soon(read_names, namespace, inner)
        await trio.sleep(0.5)
        for key in ("e/x", "y"):
            store.bucket.put(f"f/{key}", b"")
            store.bucket.delete(f"d/{key}")
        changes.pin(root, b"d/")
        changes.pin(root, b"f/")
        changes.move(moved, root, b"f")
        assert (moved.prefix, inner.prefix) == ("f/", "f/e/")
        assert isinstance(x, File)
        assert x.key == "f/e/x"
        for directory in (moved, inner):  # what a LIST of the old prefix finds while it is deleted
            nothing = Answer(
                start=b"", stop=END, sent_at=trio.current_time(), sequence=1, keys=[], infos=[]
            )
            assert not apply_answer(directory, nothing, namespace.table.numbers)
        changes.unpin(root, b"d/")
        changes.unpin(root, b"f/")
        await trio.sleep(10.0)
        assert root.child(b"f") is moved
        assert moved.child(b"e") is inner
        assert isinstance(inner, Directory)
        assert isinstance(inner.child(b"x"), File)
        await trio.sleep(100.0)
        assert await read_tree(namespace) == {b"f": {b"e": {b"x": None}, b"y": None}}
        check_tree(namespace)


async def test_removing_while_reading_skips_nothing_and_shows_nothing_twice() -> None:
    """``rm -r``: a few names, their removal, the next names; then from the beginning again."""
    store = FakeStore(page_size=7)
    names = [b"%02d" % index for index in range(50)]
    put_empty(store, [name.decode() for name in names])
    async with open_namespace(DEFAULT, store) as namespace:
        stream = namespace.open_directory(namespace.root)
        seen: list[bytes] = []
        index = 0
        while batch := await stream.entries_from(index, 5):
            for next_index, node in batch[:3]:
                index = next_index
                seen.append(node.name)
                namespace.changes.pin(namespace.root, node.name)
                if len(seen) % 2:
                    namespace.changes.remove(node)
                else:
                    namespace.changes.move(node, namespace.root, b"!" + node.name)
        assert seen == names
        assert await stream.entries_from(0) == []
        stream.close()
        assert await read_names(namespace, namespace.root) == [b"!" + name for name in names[1::2]]
        check_tree(namespace)


async def test_who_opens_a_directory_sees_what_was_created_before() -> None:
    """Also while an older listing of it is still under way, which others read."""
    store = FakeStore(page_size=2)
    put_empty(store, ["b", "c", "d", "e", "f", "g"])
    async with open_namespace(DEFAULT, store) as namespace:
        older = namespace.open_directory(namespace.root)
        await older.entries_from(0)
        namespace.changes.pin(namespace.root, b"a")
        namespace.changes.create_file(namespace.root, b"a", mtime_ns=1)
        assert b"a" in await read_names(namespace, namespace.root)
        older.close()


async def test_has_children_asks_unless_it_is_known() -> None:
    """Markers are no children; neither is what was removed here."""
    store = FakeStore(page_size=1)
    put_empty(store, ["d/", "d/a", "d/b", "e/"])
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        changes = namespace.changes
        d, e = await find_directory(namespace, b"d"), await find_directory(namespace, b"e")
        assert await namespace.has_children(d)
        assert not await namespace.has_children(e)
        for name in (b"a", b"b"):
            node = await find(namespace, b"d", name)
            changes.pin(d, name)
            changes.remove(node)
        assert not await namespace.has_children(d)
        before = lists(store)
        changes.create_file(d, b"c", mtime_ns=1)
        changes.pin(d, b"c")
        assert await namespace.has_children(d)
        assert lists(store) == before


@pytest.mark.parametrize("hidden", ["d//b", "d/../z", "d/.", "d/" + "x" * 256, "d/./a/b"])
@pytest.mark.parametrize("config", [DEFAULT, ALWAYS_ASK])
@pytest.mark.parametrize("others", [[], ["d/", "d/a", "e/f", "g/h", "i/j/k"]])
async def test_a_directory_with_hidden_keys_is_not_empty(
    hidden: str, config: MetadataConfig, others: list[str]
) -> None:
    """Whatever was removed from it, and however it was listed: it would come back."""
    store = FakeStore(page_size=2)
    put_empty(store, [hidden, *others])
    async with open_namespace(config, store) as namespace:
        for _ in range(2):
            await read_tree(namespace)
            d = await find_directory(namespace, b"d")
            for file in list(d.files.values()):
                store.bucket.delete(file.key)
                namespace.changes.remove(file)
            assert await namespace.has_children(d)
        store.bucket.delete(hidden)
        assert not await namespace.has_children(d)
        await read_names(namespace, d)
        before = lists(store)
        assert not await namespace.has_children(d)
        assert lists(store) == before + (config is ALWAYS_ASK)


async def test_markers_are_learned_from_listings_and_noted_from_here() -> None:
    """Flat or not; what is being put or deleted here is not taken back."""
    store = FakeStore()
    put_empty(store, ["d/", "d/x", "e/x", "f/", "f/x"])
    async with open_namespace(DEFAULT, store) as namespace:
        assert (await find_directory(namespace, b"d")).has_marker is None
        await read_tree(namespace)
        known = [namespace.root.subdirectories[name].has_marker for name in (b"d", b"e", b"f")]
        assert known == [True, False, True]
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        e = await find_directory(namespace, b"e")
        markers = []
        await read_names(namespace, e)
        markers.append(e.has_marker)
        namespace.changes.pin(e, b"")
        namespace.changes.note_marker(e, is_there=True)
        await read_names(namespace, e)
        markers.append(e.has_marker)
        namespace.changes.unpin(e, b"")
        await read_names(namespace, e)
        markers.append(e.has_marker)
        assert markers == [False, True, False]  # what the store says, what we did, the store again


async def test_the_subtree_is_listed_flat_and_fresh_up_to_a_limit() -> None:
    """Markers included, and found out early when it is too large."""
    store = FakeStore(page_size=2)
    keys = ["d/", "d/a", "d/b/", "d/b/c", "d/e"]
    put_empty(store, [*keys, "c", "e/x"])
    async with open_namespace(DEFAULT, store) as namespace:
        directory = await find_directory(namespace, b"d")
        found = await namespace.list_subtree(directory, limit=5)
        assert keys == [info.key for info in found]
        before = lists(store)
        with pytest.raises(SubtreeTooLargeError):
            await namespace.list_subtree(directory, limit=1)
        assert lists(store) == before + 1


async def test_attributes_from_elsewhere_outlive_a_confirmation() -> None:
    """A listing knows when an object was put, not what `utimens` said."""
    store = FakeStore()
    store.bucket.put("a", b"1")
    async with open_namespace(ALWAYS_ASK, store) as namespace:
        file = await find(namespace, b"a")
        file.extra, file.mtime_ns = object(), 5
        assert await find(namespace, b"a") is file
        assert file.mtime_ns == 5


async def test_many_local_creations_leave_stretches_that_one_list_refreshes() -> None:
    """And nothing else behind: no override is kept when no LIST is in flight."""
    store = FakeStore()
    async with open_namespace(DEFAULT, store) as namespace:
        root, changes = namespace.root, namespace.changes
        made = changes.create_directory(root, b"d", mtime_ns=1)
        for index in range(5000):
            name = b"%06d" % (index * 7919 % 5000)
            changes.pin(made, name)
            changes.create_file(made, name, mtime_ns=1)
            changes.unpin(made, name)
        assert count_overrides(namespace) == 0
        assert max(len(stretch.keys) for stretch in made.coverage.stretches) <= 2000
        assert len(await read_names(namespace, made)) == 5000
        check_tree(namespace)
        assert not store.requests
