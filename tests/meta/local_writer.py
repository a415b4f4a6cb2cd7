"""One who changes the tree as the layer above does: pins, changes, tells the store, unpins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mountfs.meta.answer import MARKER
from mountfs.meta.node import Directory, File

if TYPE_CHECKING:
    import random

    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node
    from mountfs.store.fake import FakeStore


class LocalWriter:
    """Does changes in the tree and, some time later, in the store.

    While one is under way, the entry keys that it pinned show what it made of them, and afterwards
    as long as nobody else touches them: `check`. The store takes a change at some time, and its
    answer arrives at another, later.
    """

    def __init__(self, store: FakeStore, namespace: Namespace, random_: random.Random) -> None:
        self._store = store
        self._namespace = namespace
        self._random = random_
        self._serial = 0
        self._shown: dict[tuple[Directory, bytes], Node | None] = {}
        self._settled: dict[str, tuple[Directory, bytes, Node | None]] = {}
        self._touched: list[str] = []

    def note_touched(self, key: str) -> None:
        """Note that another client puts or deletes *key*."""
        self._touched.append(key)
        for path in [path for path in self._settled if _is_related(path, key)]:
            del self._settled[path]

    def check(self) -> None:
        """Check that what is pinned is what was done here, and what nobody touched since."""
        for directory, name, node in self._settled.values():
            if node is not None or not directory.is_detached:
                assert directory.child(name) is node
            assert node is None or not node.is_detached
        for (directory, name), node in self._shown.items():
            assert directory.child(name) is node
            if node is not None:
                assert not node.is_detached
                assert not node.is_stale if isinstance(node, File) else True
                assert self._namespace.lookup_if_fresh(directory, name) is node

    async def create(self, parent: Directory, name: bytes) -> None:
        """Create a file; publish it later."""
        if self._is_busy(parent, name) or parent.child(name) is not None:
            return
        file = self._namespace.changes.create_file(parent, name, mtime_ns=1)
        await self._publish(file, self._begin(parent, name, file))

    async def write(self, file: File) -> None:
        """Publish a new version of a file that exists."""
        if self._is_busy(file.parent, file.name) or file.is_detached:
            return
        await self._publish(file, self._begin(file.parent, file.name, file))

    async def remove(self, file: File) -> None:
        """Remove a file."""
        parent, name = file.parent, file.name
        if self._is_busy(parent, name) or file.is_detached:
            return
        self._namespace.changes.remove(file)
        begun = self._begin(parent, name, None)
        await self._wait()
        self._store.bucket.delete(file.key)
        await self._wait()
        self._end(parent, name, begun)

    async def make_directory(self, parent: Directory, name: bytes) -> None:
        """Make a directory and put its marker."""
        if self._is_busy(parent, name) or parent.child(name) is not None:
            return
        changes = self._namespace.changes
        directory = changes.create_directory(parent, name, mtime_ns=1)
        begun = self._begin(parent, name, directory)
        changes.pin(directory, MARKER)
        changes.note_marker(directory, is_there=True)
        await self._wait()
        self._store.bucket.put(directory.prefix, b"")
        await self._wait()
        assert directory.has_marker is True
        changes.unpin(directory, MARKER)
        self._end(parent, name, begun)

    async def remove_directory(self, directory: Directory) -> None:
        """Remove a directory in which there is nothing, and its marker."""
        if directory.is_root or await self._namespace.has_children(directory):
            return
        parent, name = directory.parent, directory.name  # may have been moved meanwhile
        if self._is_busy(parent, name) or directory.is_detached or not directory.is_empty:
            return
        if directory.is_held_below(-1):  # what is being deleted in it must be gone first
            return
        self._namespace.changes.remove(directory)
        begun = self._begin(parent, name, None, is_directory=True)
        await self._wait()
        self._store.bucket.delete(directory.prefix)
        await self._wait()
        self._end(parent, name, begun, is_directory=True)

    async def move(self, node: Node, new_parent: Directory, new_name: bytes) -> None:
        """Move a file or a directory: copy, show it at its new place, delete."""
        parent, name, old_key = node.parent, node.name, node.entry_key
        if not self._can_move(node, new_parent, new_name):
            return
        is_directory = isinstance(node, Directory)
        new_key = new_name + b"/" if is_directory else new_name
        begun = len(self._touched)
        for place, part, key in ((parent, name, old_key), (new_parent, new_name, new_key)):
            self._forget_settled(place, part)
            self._namespace.changes.pin(place, key)
        self._shown[parent, name] = node
        old = node.prefix if isinstance(node, Directory) else node.key
        new = new_parent.prefix + new_key.decode()
        await self._wait()
        is_copied = self._copy(node, old, new)
        await self._wait()
        del self._shown[parent, name]
        # A file may have come to light where the directory is to be.
        if is_copied and (not is_directory or new_parent.child(new_name) is None):
            replaced = self._namespace.changes.move(node, new_parent, new_name)
            assert replaced is None or replaced.is_detached
            self._shown[new_parent, new_name] = node
            await self._wait()
            self._delete_copied(old, is_directory=is_directory)
            await self._wait()
            del self._shown[new_parent, new_name]
            if not is_directory:
                self._settle(parent, name, None, begun)
            if not is_directory or new in self._store.bucket.keys:
                self._settle(new_parent, new_name, node, begun)
        self._namespace.changes.unpin(parent, old_key)
        self._namespace.changes.unpin(new_parent, new_key)

    # ---------------------------------------------------------------------------------------------

    def _copy(self, node: Node, old: str, new: str) -> bool:
        """Copy what is at *old* or below it; tell whether a file still is the version we know."""
        bucket = self._store.bucket
        if isinstance(node, File):
            if old not in bucket.keys or bucket.find(old).info.etag != node.etag:
                return False
            bucket.put(new, bucket.read(old))
            return True
        for key in list(bucket.keys):
            if key.startswith(old):
                bucket.put(new + key[len(old) :], bucket.read(key))
        return True

    def _delete_copied(self, old: str, *, is_directory: bool) -> None:
        for key in list(self._store.bucket.keys):
            if key == old or (is_directory and key.startswith(old)):
                self._store.bucket.delete(key)

    def _can_move(self, node: Node, new_parent: Directory, new_name: bytes) -> bool:
        if self._is_busy(node.parent, node.name) or self._is_busy(new_parent, new_name):
            return False
        if node.is_detached or new_parent.is_detached:
            return False
        target = new_parent.child(new_name)
        if isinstance(node, Directory):
            # The namespace allows it with drafts below; this writer's deletes are by key.
            is_quiet = not node.is_root and not node.is_held_below(-1)
            is_outside = node is not new_parent and not node.is_above(new_parent)
            return is_quiet and is_outside and target is None
        return target is None or (isinstance(target, File) and target is not node)

    def _is_busy(self, parent: Directory, name: bytes) -> bool:
        if parent.is_detached or parent.is_pinned(name) or parent.is_pinned(name + b"/"):
            return True
        above = parent
        while not above.is_root:  # a directory that is being moved
            if above.parent.is_pinned(above.entry_key):
                return True
            above = above.parent
        return False

    def _begin(
        self, parent: Directory, name: bytes, node: Node | None, *, is_directory: bool = False
    ) -> int:
        self._forget_settled(parent, name)
        is_directory = is_directory or isinstance(node, Directory)
        self._namespace.changes.pin(parent, name + b"/" if is_directory else name)
        if node is not None or not is_directory:  # a file may come to light below a directory
            self._shown[parent, name] = node
        return len(self._touched)

    def _end(
        self, parent: Directory, name: bytes, begun: int, *, is_directory: bool = False
    ) -> None:
        node = self._shown.pop((parent, name), None)
        if node is not None or not is_directory:
            self._settle(parent, name, node, begun)
        is_directory = is_directory or isinstance(node, Directory)
        self._namespace.changes.unpin(parent, name + b"/" if is_directory else name)

    def _settle(self, parent: Directory, name: bytes, node: Node | None, begun: int) -> None:
        """Expect *name* to stay what it is, unless somebody else touched it meanwhile."""
        path = parent.prefix + name.decode()
        is_above = any(key.startswith(path + "/") for key in self._store.bucket.keys)
        if is_above and not isinstance(node, Directory):
            return  # somebody put keys below the name, before: a directory comes to light
        if not any(_is_related(path, key) for key in self._touched[begun:]):
            self._settled[path] = parent, name, node

    def _forget_settled(self, parent: Directory, name: bytes) -> None:
        changed = parent.prefix + name.decode()
        for path in [path for path in self._settled if _is_related(changed, path)]:
            del self._settled[path]

    async def _publish(self, file: File, begun: int) -> None:
        parent, name = file.parent, file.name
        await self._wait()
        self._serial += 1
        info = self._store.bucket.put(file.key, b"local %d" % self._serial)
        await self._wait()
        self._namespace.changes.advance(
            file, etag=info.etag, size_bytes=info.size_bytes, mtime_ns=info.mtime_ns
        )
        self._end(parent, name, begun)

    async def _wait(self) -> None:
        await trio.sleep(self._random.random())


def _is_related(path: str, key: str) -> bool:
    """Tell whether *key* is at *path* or below it."""
    return key == path or key.startswith(path + "/")
