"""Everything that changes the mount, as the kernel asks for it: by inode number and handle."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import trio

from mountfs.meta.node import Directory, File
from mountfs.vfs.commits_below import commit_below

if TYPE_CHECKING:
    from mountfs.attributes import AttributeChanges, Caller, Entry
    from mountfs.filesystem import Filesystem
    from mountfs.meta.node import Node
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.naming import Naming
    from mountfs.vfs.renaming import Renaming
    from mountfs.vfs.setting import Setting
    from mountfs.vfs.writing import Writing

FALLOC_KEEP_SIZE = 0x01
FALLOC_PUNCH_HOLE = 0x02
FALLOC_ZERO_RANGE = 0x10


class VfsChanges:
    """Puts inode numbers into nodes and nodes into entries; the work is done by its parts.

    Args:
        filesystem: knows entries and counts look-ups and handles.
        bucket: finds nodes.
        writing: handles.
        committer: publishes.
        naming: names that come and go.
        renaming: names that move.
        setting: attributes.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        bucket: Bucket,
        writing: Writing,
        committer: Committer,
        naming: Naming,
        renaming: Renaming,
        setting: Setting,
    ) -> None:
        self._fs = filesystem
        self._bucket = bucket
        self._writing = writing
        self._committer = committer
        self._naming = naming
        self._renaming = renaming
        self._setting = setting

    # -- contents

    def getattr(self, inode: int) -> Entry:
        """Return the attributes of *inode*."""
        return self._fs.getattr(inode)

    async def open_to_write(self, inode: int, flags: int, caller: Caller) -> int:
        """Return a handle; with ``O_TRUNC`` in *flags* the file is empty then."""
        node = self._bucket.file(inode)
        handle = await self._writing.open(node, flags)
        self._fs.handles.note_opened(inode)
        return handle

    def create_if_ready(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int] | None:
        """Make a file if that needs no waiting; else as `create`."""
        made = self._naming.create_if_absent(parent, name, flags, mode, caller)
        return None if made is None else self._note_created(*made)

    async def create(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int]:
        """Make a file and return its entry, counted as one look-up, and a handle."""
        node, handle = await self._naming.create(parent, name, flags, mode, caller)
        return self._note_created(node, handle)

    def _note_created(self, node: File, handle: int) -> tuple[Entry, int]:
        self._fs.handles.note_opened(node.number)
        return self._remember(node), handle

    def is_alone(self, handle: int) -> bool:
        """Tell whether *handle* can only write, and nobody else has its file open."""
        return self._writing.is_alone(handle)

    def write_if_ready(self, handle: int, offset: int, data: memoryview) -> bool:
        """Write all of *data* if that needs no waiting, else nothing; tell which."""
        return self._writing.write_if_ready(handle, offset, data)

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write all of *data*, or raise and write nothing."""
        await self._writing.write(handle, offset, data)

    def flush_if_ready(self, handle: int) -> bool:
        """Tell whether the last close of *handle* has nothing to wait for."""
        return not self._writing.needs_commit(handle)

    async def flush(self, handle: int) -> None:
        """Return when what was written is where a close promises it to be."""
        await self._committer.settle(self._writing.file_of(handle))

    def release_writer(self, handle: int) -> None:
        """Forget *handle*; what is still dirty is published in time."""
        self._fs.handles.note_released(self._writing.file_of(handle).node.number)
        self._writing.release(handle)

    async def fsync(self, handle: int) -> None:
        """Return when the store has what was written."""
        await self._committer.commit(self._writing.file_of(handle))

    async def fsync_inode(self, inode: int) -> None:
        """Do the same for an inode."""
        file = self._committer.files.get(inode)
        if file is not None:
            await self._committer.commit(file)

    async def allocate(self, handle: int, mode: int, offset: int, length_bytes: int) -> None:
        """Do what ``fallocate`` does with *mode*, or raise EOPNOTSUPP.

        Nothing is reserved: a bucket is never full.
        """
        file = self._writing.file_of(handle)
        stop = offset + length_bytes
        size = file.node.size_bytes
        if mode == FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE:
            await self._writing.zero(file, offset, stop)
        elif mode in {FALLOC_ZERO_RANGE, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE}:
            await self._writing.zero(file, offset, stop)
            if not mode & FALLOC_KEEP_SIZE and stop > size:
                await self._writing.truncate(file, stop)
        elif mode == 0:
            if stop > size:
                await self._writing.truncate(file, stop)
        elif mode != FALLOC_KEEP_SIZE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    async def sync_all(self) -> None:
        """Return when nothing is dirty that was so at the call."""
        await commit_below(self._committer, "")

    # -- names

    async def make_directory(
        self, parent: int, name: bytes, mode: int, umask: int, caller: Caller
    ) -> Entry:
        """Make a directory."""
        return self._remember(await self._naming.make_directory(parent, name, mode, caller))

    async def make_node(
        self, parent: int, name: bytes, mode: int, umask: int, rdev: int, caller: Caller
    ) -> Entry:
        """Make a file, FIFO, socket or device."""
        node = await self._naming.make_node(parent, name, mode, rdev, caller)
        return self._remember(node)

    async def make_symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        """Make a symbolic link."""
        return self._remember(await self._naming.make_symlink(parent, name, target, caller))

    async def unlink(self, parent: int, name: bytes) -> None:
        """Remove a name that is no directory."""
        await self._naming.unlink(parent, name)

    async def remove_directory(self, parent: int, name: bytes) -> None:
        """Remove an empty directory."""
        await self._naming.remove_directory(parent, name)

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int
    ) -> None:
        """Rename, replacing what may be replaced."""
        await self._renaming.rename(parent, name, new_parent, new_name, flags)

    async def fsync_directory(self, inode: int) -> None:
        """Return when everything in and below a directory is in the store."""
        node = self._bucket.namespace.table.get(inode)
        if isinstance(node, Directory):
            await commit_below(self._committer, node.prefix)

    # -- attributes

    async def set_attributes(
        self, inode: int, changes: AttributeChanges, handle: int | None, caller: Caller
    ) -> Entry:
        """Apply *changes*, all or nothing, and return the attributes."""
        node = self._node(inode)
        if changes.size_bytes is not None:
            self._bucket.file(inode)
        await self._setting.set_attributes(node, changes, handle)
        return self._fs.entry_of(node, trio.current_time())

    async def set_xattr(self, inode: int, name: bytes, value: bytes, flags: int) -> None:
        """Set ``user.…``."""
        await self._setting.set_xattr(self._node(inode), name, value, flags)

    async def remove_xattr(self, inode: int, name: bytes) -> None:
        """Remove ``user.…``."""
        await self._setting.remove_xattr(self._node(inode), name)

    def _node(self, inode: int) -> Node:
        node = self._bucket.namespace.table.get(inode)
        if node is None:
            return self._bucket.file(inode)  # raises what fits
        return node

    def _remember(self, node: File | Directory) -> Entry:
        return self._fs.remember(node, trio.current_time())
