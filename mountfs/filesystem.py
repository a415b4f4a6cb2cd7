"""The semantics: one method for each operation of the VFS. Knows neither the FUSE protocol nor S3.

Methods named ``…_if_ready`` are synchronous and answer from memory, or return None; the coroutine
of the same name without the suffix may ask the store. Both take inode numbers, as the kernel knows
them.

An inode is one version of an object. When the store has another version, the name gets another
inode and the old one, where it is still open, serves what is left of the old version or ESTALE:
never a mix. So the kernel may keep the pages of an inode for as long as it likes.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from mountfs import control_directory
from mountfs.attributes import AttributesConfig, Entry
from mountfs.keys import NAME_MAX_BYTES
from mountfs.meta.node import Directory, File
from mountfs.ttl import KERNEL_FOREVER_SECONDS
from mountfs.vfs.open_call import is_replacing
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.control_directory import ControlDirectory
    from mountfs.data.block_cache import BlockCache
    from mountfs.meta.directory_stream import DirectoryStream
    from mountfs.meta.namespace import Namespace
    from mountfs.vfs.handle_counts import HandleCounts
    from mountfs.vfs.learning import Learner
    from mountfs.vfs.reading import Reading
    from mountfs.vfs.showing import Showing
    from mountfs.vfs.written_file import WrittenFile

CONTROL_ATTRIBUTES = AttributesConfig(file_mode=0o444, dir_mode=0o555)
"""The control files belong to whoever mounts, and whoever comes in may read them: no secrets
there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesystemConfig:
    """How the mount presents itself.

    Attributes:
        attributes: owner and modes.
        read_only: nobody can write through this mount; lets the kernel open files by itself.
        is_posix: attributes are kept with the objects, and learned from them.
    """

    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    read_only: bool = False
    is_posix: bool = False


class Forgetter(Protocol):
    """Who wants to know that the kernel has forgotten a written file."""

    def note_forgotten(self, file: WrittenFile) -> None:
        """Give back what is held for readers of *file*."""
        ...


class Filesystem:
    """A bucket as a file system: names and directories here, open files in `reading`.

    Args:
        config: how the mount presents itself.
        namespace: the tree.
        blocks: what was fetched.
        control: the hidden directory.
        reading: open files.
        showing: makes attributes.
        learner: learns those that no listing tells.
        handles: counts what is open.
        drafts: is told when an inode is forgotten; None if nothing can be written.
        trusts_listings: who replaces a file need not know whether there is one.
    """

    def __init__(
        self,
        config: FilesystemConfig,
        namespace: Namespace,
        blocks: BlockCache,
        control: ControlDirectory,
        reading: Reading,
        showing: Showing,
        learner: Learner,
        handles: HandleCounts,
        drafts: Forgetter | None = None,
        *,
        trusts_listings: bool = True,
    ) -> None:
        self.config = config
        self._trusts_listings = trusts_listings
        self.handles = handles
        self.reading = reading
        self._namespace = namespace
        self._table = namespace.table
        self._blocks = blocks
        self._control = control
        self._showing = showing
        self._source = showing.source
        self._learner = learner
        self._drafts = drafts
        self._streams: dict[int, DirectoryStream] = {}
        self._added_counts: dict[int, int] = {}
        """How many names had been added when a handle was opened; -1 once it was read."""
        self._next_handle = 1

    # -- names

    def lookup_if_ready(self, parent: int, name: bytes, thread: int = 0) -> Entry | None:
        """Return the entry of *name* if it is fresh, and count it as one more look-up.

        Args:
            parent: of the directory.
            name: what to look up.
            thread: who asks; 0 if that cannot be seen.

        Raises:
            OSError: ENAMETOOLONG; the kernel's own limit is larger than what directories elsewhere
                take. ENOENT to who is going to create it.
        """
        if len(name) > NAME_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        directory = self._table.get(parent)
        if parent == self._control.inode:
            return Entry(self._control.lookup(name), 0.0, KERNEL_FOREVER_SECONDS)
        if type(directory) is not Directory:
            return None
        if directory is self._namespace.root and name == control_directory.NAME:
            attributes = self._control.attributes(self._control.inode)
            assert attributes is not None
            return Entry(attributes, KERNEL_FOREVER_SECONDS, KERNEL_FOREVER_SECONDS)
        node = self._namespace.lookup_if_fresh(directory, name)
        if node is None:
            if self._is_created_by(thread, directory, name):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return None
        if self.config.is_posix and not self._learner.is_learned(node):
            return None
        return self.remember(node, trio.current_time())

    def _is_created_by(self, thread: int, parent: Directory, name: bytes) -> bool:
        """Tell whether the listing lacks *name*, and that is enough for *thread* to create it."""
        return (
            self._trusts_listings
            and bool(thread)
            and self._namespace.is_known_absent(parent, name)
            and is_replacing(thread)
        )

    async def lookup(self, parent: int, name: bytes) -> Entry:
        """Return the entry of *name*, asking the store if need be.

        Raises:
            ObjectNotFoundError: there is no such name.
            OSError: *parent* is no directory.
        """
        node = await self._namespace.lookup(self.directory_of(parent), name)
        await self._learner.learn(node)
        if self._learner.is_learned(node):
            return self.remember(node, trio.current_time())
        # It was replaced since it was listed.
        node = await self._namespace.lookup(self.directory_of(parent), name)
        await self._learner.learn(node)
        if not self._learner.is_learned(node):
            raise OSError(errno.ESTALE, "the object was replaced")
        return self.remember(node, trio.current_time())

    def remember(self, node: File | Directory, now: float) -> Entry:
        """Return the entry of *node*, which the kernel thereby knows once more."""
        self._table.remember(node)
        return self.entry_of(node, now)

    def entry_of(self, node: File | Directory, now: float) -> Entry:
        """Return the entry of *node* without counting it."""
        seconds = self._namespace.remaining_seconds(node, now)
        if seconds > KERNEL_FOREVER_SECONDS:
            seconds = KERNEL_FOREVER_SECONDS
        if type(node) is not File:
            if self.config.is_posix and not self._learner.is_learned(node):
                seconds = 0.0
            return Entry(self._showing.attributes_of(node), seconds, seconds)
        if node.extra is None:  # all files of a directory of a million: without a detour
            attributes = self._source.of_file(node.number, node.size_bytes, node.mtime_ns)
            if self.config.is_posix:  # not learned: good for this look only
                return Entry(attributes, 0.0, 0.0)
        else:
            attributes = self._showing.attributes_of(node)
        return Entry(attributes, seconds, KERNEL_FOREVER_SECONDS)

    def forget(self, inode: int, count: int) -> None:
        """Note that the kernel gave up *count* references to *inode*."""
        if inode >= control_directory.FIRST_INODE:
            self._control.forget(inode)
            return
        node = self._table.get(inode)
        self._table.forget(inode, count)
        if self._table.get(inode) is None:
            self._blocks.drop_reader(inode)
            if type(node) is File:
                node.is_served = False  # the kernel has no page of it any more
                file = written_of(node)
                if file is not None and self._drafts is not None:
                    self._drafts.note_forgotten(file)

    def getattr(self, inode: int) -> Entry:
        """Return the attributes of *inode*, also when the object is gone: the handle is still open.

        Raises:
            OSError: ESTALE for an inode that the kernel should not know.
        """
        node = self._table.get(inode)
        if node is not None:
            return self.entry_of(node, trio.current_time())
        attributes = self._control.attributes(inode)
        if attributes is None:
            raise OSError(errno.ESTALE, "no such inode")
        return Entry(attributes, 0.0, KERNEL_FOREVER_SECONDS)

    # -- directories

    def open_directory(self, inode: int) -> int:
        """Return a handle for the entries of *inode*, as of now; listing begins."""
        handle = self._next_handle
        self._next_handle += 1
        if inode != self._control.inode:
            self._streams[handle] = self._namespace.open_directory(self.directory_of(inode))
            self._added_counts[handle] = self._namespace.changes.added_count
        return handle

    def entries_if_ready(
        self, handle: int, index: int, count: int
    ) -> Sequence[tuple[int, File | Directory]] | None:
        """Return up to *count* entries from *index* on if known; an empty list at the end.

        Each comes with the index to go on from behind it.
        """
        stream = self._streams.get(handle)
        if stream is None:
            return []
        found = stream.entries_if_known(index, count)
        if found is None or not self.config.is_posix:
            return found
        return found if all(self._learner.is_learned(node) for _, node in found) else None

    async def entries(
        self, handle: int, index: int, count: int
    ) -> Sequence[tuple[int, File | Directory]]:
        """Return up to *count* entries from *index* on; an empty list only at the end.

        Raises:
            StoreError: the listing failed.
        """
        stream = self._streams.get(handle)
        if stream is None:
            return []
        found = await stream.entries_from(index, count)
        if self.config.is_posix:
            await self._learner.learn_all([node for _, node in found])
        return found

    def begin_entries(self, handle: int) -> None:
        """Note that *handle* is read from the start, and show what was made since it was opened.

        What ``rewinddir`` shows is the directory as of now. Index 0 does not tell: an empty
        directory is read twice from there, since ``.`` and ``..`` come before it.
        """
        stream = self._streams.get(handle)
        added_count = self._added_counts.get(handle)
        if stream is not None and added_count != self._namespace.changes.added_count:
            directory = stream.directory
            stream.close()
            self._streams[handle] = self._namespace.open_directory(directory)
        self._added_counts[handle] = -1

    def control_names(self, inode: int) -> list[bytes]:
        """Return the names in the control directory, if *inode* is that one; else nothing."""
        return self._control.names() if inode == self._control.inode else []

    def release_directory(self, handle: int) -> None:
        """Close a directory handle."""
        self._added_counts.pop(handle, None)
        stream = self._streams.pop(handle, None)
        if stream is not None:
            stream.close()

    def directory_of(self, inode: int) -> Directory:
        """Return the directory *inode*.

        Raises:
            OSError: ESTALE, ENOTDIR.
        """
        node = self._table.get(inode)
        if type(node) is Directory:
            return node
        raise OSError(errno.ESTALE if node is None else errno.ENOTDIR, "not a directory")
