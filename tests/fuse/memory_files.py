"""Files in memory that follow the protocols of the fuse layer, and tell what was published when."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import trio

from mountfs.attributes import AttributeChanges, Attributes, Caller, Entry
from mountfs.fuse.abi import ROOT_INODE, RenameFlag

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITING_WRITE_BYTES = 4096
"""Writes from this size on are done later, so that both ways are taken."""


@dataclass(slots=True, eq=False)
class Node:
    """A file of any type."""

    number: int
    name: bytes
    attributes: Attributes
    content: bytearray = field(default_factory=bytearray)
    children: dict[bytes, Node] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    is_dirty: bool = False


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


class MemoryFiles:
    """A file system in memory: what `Operations` reads, and what it changes.

    Attributes:
        published: name and content at each last close or fsync of a file that was changed.
        late: the same of files that were still dirty when their handle was released: never, if
            each last close was recognised and could finish.
        seconds: for how long the kernel may believe names and attributes.
        calls: method, handle or inode, and what else a test may want to see.
    """

    def __init__(self, *, seconds: float = 60.0) -> None:
        self.config = SimpleNamespace(read_only=False)
        self.published: list[tuple[str, bytes]] = []
        self.late: list[tuple[str, bytes]] = []
        self.calls: list[tuple[object, ...]] = []
        self.seconds = seconds
        self.root = Node(ROOT_INODE, b"", Attributes(ROOT_INODE, 0, 0, 0o40777, 2, 0, 0))
        self.nodes = {ROOT_INODE: self.root}
        self.handles: dict[int, Node] = {}
        self._numbers = itertools.count(ROOT_INODE + 1)

    def forget_events(self) -> None:
        """Forget what was published and called."""
        self.published.clear()
        self.late.clear()
        self.calls.clear()

    # -- reading, as `Operations` wants it of a `Filesystem`

    def lookup_if_ready(self, parent: int, name: bytes, thread: int) -> Entry:
        """Find a name."""
        return self._entry(self._child(parent, name))

    def remember(self, node: Node, _now: float) -> Entry:
        """Count a look-up."""
        return self._entry(node)

    def forget(self, inode: int, count: int) -> None:
        """Forget nothing: inodes stay."""

    def getattr(self, inode: int) -> Entry:
        """Return the attributes."""
        return self._entry(self.nodes[inode])

    def open_if_ready(self, inode: int, flags: int) -> bool:
        """Open to read."""
        self.calls.append(("open", inode, flags))
        return True

    def release(self, inode: int) -> None:
        """Close what was read."""

    def read_if_ready(self, inode: int, offset: int, size_bytes: int) -> bytes:
        """Read."""
        return bytes(self.nodes[inode].content[offset : offset + size_bytes])

    def open_directory(self, inode: int) -> int:
        """Return the inode for a handle."""
        return inode

    def begin_entries(self, handle: int) -> None:
        """Do nothing: what is listed is what there is now."""

    def entries_if_ready(self, handle: int, index: int, count: int) -> Sequence[tuple[int, Node]]:
        """Return the children, each with the index of the next."""
        children = list(enumerate(self.nodes[handle].children.values(), 1))
        return children[index : index + count]

    def control_names(self, inode: int) -> list[bytes]:
        """Return nothing."""
        return []

    def release_directory(self, handle: int) -> None:
        """Do nothing."""

    # -- details

    async def read_link(self, inode: int) -> bytes:
        """Return the target."""
        await trio.lowlevel.checkpoint()
        return bytes(self.nodes[inode].content)

    def get_xattr(self, inode: int, name: bytes) -> bytes:
        """Return a value."""
        value = self.nodes[inode].xattrs.get(name)
        return _fail(errno.ENODATA) if value is None else value

    async def list_xattrs(self, inode: int) -> list[bytes]:
        """Return the names."""
        await trio.lowlevel.checkpoint()
        return list(self.nodes[inode].xattrs)

    # -- contents

    def open_to_write(self, inode: int, flags: int, caller: Caller) -> int:
        """Return a handle."""
        self.calls.append(("open_to_write", inode, flags, caller))
        node = self.nodes[inode]
        if flags & os.O_TRUNC:
            node.content.clear()
            node.is_dirty = True
        return self._handle(node)

    def create_if_ready(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int] | None:
        """Make a file for write-only use; others are to wait."""
        if flags & os.O_ACCMODE == os.O_WRONLY:
            return self._create(parent, name, flags, mode, umask, caller)
        return None

    async def create(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int]:
        """Make a file."""
        await trio.lowlevel.checkpoint()
        return self._create(parent, name, flags, mode, umask, caller)

    def _create(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int]:
        node = self._make(parent, name, stat.S_IFREG | mode, caller)
        node.is_dirty = True
        self.calls.append(("create", name, flags, mode, umask))
        return self._entry(node), self._handle(node)

    def is_alone(self, handle: int) -> bool:
        """Tell that somebody may read it."""
        return False

    def write_if_ready(self, handle: int, offset: int, data: memoryview) -> bool:
        """Write what is small."""
        if len(data) >= WAITING_WRITE_BYTES:
            return False
        self._write(handle, offset, data)
        return True

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write what is large."""
        await trio.lowlevel.checkpoint()
        self._write(handle, offset, data)

    def flush_if_ready(self, handle: int) -> bool:
        """Tell whether there is nothing to publish."""
        return not self.handles[handle].is_dirty

    async def flush(self, handle: int) -> None:
        """Publish."""
        await trio.lowlevel.checkpoint()
        self._publish(self.handles[handle])

    def release_writer(self, handle: int) -> None:
        """Note what a close should have published."""
        node = self.handles.pop(handle)
        if node.is_dirty:
            self.late.append((node.name.decode(), bytes(node.content)))

    async def fsync(self, handle: int) -> None:
        """Publish."""
        await self.flush(handle)

    async def fsync_inode(self, inode: int) -> None:
        """Publish."""
        await trio.lowlevel.checkpoint()
        self.calls.append(("fsync_inode", inode))

    async def allocate(self, handle: int, mode: int, offset: int, length_bytes: int) -> None:
        """Make the file longer."""
        await trio.lowlevel.checkpoint()
        self.calls.append(("allocate", mode, offset, length_bytes))
        content = self.handles[handle].content
        content.extend(bytes(max(0, offset + length_bytes - len(content))))

    async def sync_all(self) -> None:
        """Note it."""
        await trio.lowlevel.checkpoint()
        self.calls.append(("sync_all",))

    # -- names

    async def make_directory(
        self, parent: int, name: bytes, mode: int, umask: int, caller: Caller
    ) -> Entry:
        """Make a directory."""
        await trio.lowlevel.checkpoint()
        return self._entry(self._make(parent, name, stat.S_IFDIR | mode, caller))

    async def make_node(
        self, parent: int, name: bytes, mode: int, umask: int, rdev: int, caller: Caller
    ) -> Entry:
        """Make a special file."""
        await trio.lowlevel.checkpoint()
        return self._entry(self._make(parent, name, mode, caller, rdev))

    async def make_symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        """Make a link."""
        await trio.lowlevel.checkpoint()
        node = self._make(parent, name, stat.S_IFLNK | 0o777, caller)
        node.content[:] = target
        return self._entry(node)

    async def unlink(self, parent: int, name: bytes) -> None:
        """Remove a file."""
        await trio.lowlevel.checkpoint()
        self._child(parent, name)
        del self.nodes[parent].children[name]

    async def remove_directory(self, parent: int, name: bytes) -> None:
        """Remove a directory."""
        await trio.lowlevel.checkpoint()
        if self._child(parent, name).children:
            _fail(errno.ENOTEMPTY)
        del self.nodes[parent].children[name]

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int
    ) -> None:
        """Rename."""
        await trio.lowlevel.checkpoint()
        if flags & RenameFlag.NOREPLACE and new_name in self.nodes[new_parent].children:
            _fail(errno.EEXIST)
        node = self.nodes[parent].children.pop(name)
        node.name = new_name
        self.nodes[new_parent].children[new_name] = node

    async def fsync_directory(self, inode: int) -> None:
        """Note it."""
        await trio.lowlevel.checkpoint()
        self.calls.append(("fsync_directory", inode))

    # -- attributes

    async def set_attributes(
        self, inode: int, changes: AttributeChanges, handle: int | None, caller: Caller
    ) -> Entry:
        """Apply the changes."""
        await trio.lowlevel.checkpoint()
        self.calls.append(("set_attributes", inode, changes, handle))
        node = self.nodes[inode]
        old = node.attributes
        if changes.size_bytes is not None:
            del node.content[changes.size_bytes :]
            node.content.extend(bytes(changes.size_bytes - len(node.content)))
            node.is_dirty = True
        node.attributes = old._replace(
            mode=old.mode if changes.mode is None else stat.S_IFMT(old.mode) | changes.mode,
            uid=old.uid if changes.uid is None else changes.uid,
            gid=old.gid if changes.gid is None else changes.gid,
            atime_ns=old.atime_ns if changes.atime_ns is None else changes.atime_ns,
            mtime_ns=old.mtime_ns if changes.mtime_ns is None else changes.mtime_ns,
        )
        return self._entry(node)

    async def set_xattr(self, inode: int, name: bytes, value: bytes, flags: int) -> None:
        """Set a value."""
        await trio.lowlevel.checkpoint()
        xattrs = self.nodes[inode].xattrs
        if flags & os.XATTR_CREATE and name in xattrs:
            _fail(errno.EEXIST)
        xattrs[name] = value

    async def remove_xattr(self, inode: int, name: bytes) -> None:
        """Remove a value."""
        await trio.lowlevel.checkpoint()
        if self.nodes[inode].xattrs.pop(name, None) is None:
            _fail(errno.ENODATA)

    # -- within

    def _child(self, parent: int, name: bytes) -> Node:
        return self.nodes[parent].children.get(name) or _fail(errno.ENOENT)

    def _make(self, parent: int, name: bytes, mode: int, caller: Caller, rdev: int = 0) -> Node:
        if name in self.nodes[parent].children:
            _fail(errno.EEXIST)
        number = next(self._numbers)
        now_ns = time.time_ns()
        nlink = 2 if stat.S_ISDIR(mode) else 1
        attributes = Attributes(
            number, 0, now_ns, mode, nlink, caller.uid, caller.gid, now_ns, now_ns, rdev
        )
        node = Node(number, name, attributes)
        self.nodes[number] = node
        self.nodes[parent].children[name] = node
        return node

    def _handle(self, node: Node) -> int:
        handle = max(self.handles, default=0) + 1
        self.handles[handle] = node
        return handle

    def _write(self, handle: int, offset: int, data: bytes | memoryview) -> None:
        node = self.handles[handle]
        node.content.extend(bytes(max(0, offset - len(node.content))))
        node.content[offset : offset + len(data)] = data
        node.is_dirty = True

    def _publish(self, node: Node) -> None:
        if node.is_dirty:
            node.is_dirty = False
            self.published.append((node.name.decode(), bytes(node.content)))

    def _entry(self, node: Node) -> Entry:
        attributes = node.attributes._replace(size_bytes=len(node.content))
        return Entry(attributes, self.seconds, self.seconds)
