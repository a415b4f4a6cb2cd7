from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from mountfs.attributes import AttributesConfig, AttributesSource
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.meta.node import Directory, File
from mountfs.store.fake import FakeStore
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import Showing, extra_of, saved_attributes
from mountfs.vfs.written_file import WrittenFile

if TYPE_CHECKING:
    from mountfs.meta.namespace import Namespace

SOURCE = AttributesSource(AttributesConfig(uid=1000, gid=100, file_mode=0o640, dir_mode=0o750))


def showing(*, is_posix: bool = False) -> Showing:
    """Return what is tested."""
    return Showing(SOURCE, 0o640, is_posix=is_posix)


async def file_at(namespace: Namespace, name: bytes) -> File:
    """Look a file up."""
    node = await namespace.lookup(namespace.root, name)
    assert isinstance(node, File)
    return node


async def test_without_more_than_the_listing_the_mount_decides() -> None:
    """Owner and modes are its own; size and time are the store's."""
    store = FakeStore()
    info = store.bucket.put("f", b"123")
    async with open_namespace(MetadataConfig(), store) as namespace:
        node = await file_at(namespace, b"f")
        shown = showing().attributes_of(node)
    assert SOURCE.of_file(node.number, 3, info.mtime_ns) == shown
    assert (stat.S_IFREG | 0o640, 1, 1000, 100) == shown[3:7]


async def test_what_is_known_covers_what_is_assumed_and_nothing_else() -> None:
    """Each attribute by itself; size and time of the content stay those of the node."""
    store = FakeStore()
    store.bucket.put("f", b"123")
    async with open_namespace(MetadataConfig(), store) as namespace:
        node = await file_at(namespace, b"f")
        plain = showing().attributes_of(node)
        for extra, expected in [
            (NodeAttributes(), plain),
            (NodeAttributes(mode=stat.S_IFIFO | 0o600), plain._replace(mode=stat.S_IFIFO | 0o600)),
            (NodeAttributes(uid=0), plain._replace(uid=0)),
            (NodeAttributes(gid=7), plain._replace(gid=7)),
            (NodeAttributes(atime_ns=5), plain._replace(atime_ns=5)),
            (NodeAttributes(ctime_ns=6), plain._replace(ctime_ns=6)),
            (NodeAttributes(rdev=0x103), plain._replace(rdev=0x103)),
            (NodeAttributes(mtime_ns=8), plain),
        ]:
            node.extra = extra
            assert expected == showing().attributes_of(node)


async def test_a_write_changes_the_status_too() -> None:
    """The younger of the two times is the ctime; both are saved."""
    store = FakeStore()
    store.bucket.put("f", b"123")
    async with open_namespace(MetadataConfig(), store) as namespace:
        node = await file_at(namespace, b"f")
        node.extra = NodeAttributes(ctime_ns=50, uid=3)
        written = WrittenFile(node)
        node.draft = written
        for changed_ns, ctime_ns in [(0, 50), (40, 50), (60, 60)]:
            written.changed_ns = changed_ns
            assert ctime_ns == showing().attributes_of(node).ctime_ns
            saved = saved_attributes(node)
            assert (3, node.mtime_ns, ctime_ns) == (saved.uid, saved.mtime_ns, saved.ctime_ns)


@pytest.mark.parametrize(("is_posix", "before", "after"), [(False, 2, 2), (True, 1, 4)])
async def test_a_directory_counts_its_links_if_it_knows_them(
    is_posix: bool, before: int, after: int
) -> None:
    """`find` skips what is in excess of a count, so only a complete one may be shown."""
    store = FakeStore()
    for key in ("d/f", "d/a/f", "d/b/f"):
        store.bucket.put(key, b"x")
    async with open_namespace(MetadataConfig(), store) as namespace:
        node = await namespace.lookup(namespace.root, b"d")
        assert isinstance(node, Directory)
        shown = showing(is_posix=is_posix)
        assert before == shown.attributes_of(node).nlink
        stream = namespace.open_directory(node)
        assert 3 == len(await stream.entries_from(0))
        assert after == shown.attributes_of(node).nlink
        stream.close()


async def test_what_is_unknown_is_nothing() -> None:
    """A node without anything of its own has the same attributes as one that was never asked."""
    async with open_namespace(MetadataConfig(), FakeStore()) as namespace:
        assert NodeAttributes() == extra_of(namespace.root)
