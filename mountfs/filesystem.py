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
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import trio

from mountfs import control_directory
from mountfs.attributes import AttributesConfig, AttributesSource, Entry
from mountfs.control_directory import ControlDirectory, ControlTexts
from mountfs.errors import ObjectNotFoundError, PreconditionFailedError, RangeError
from mountfs.keys import NAME_MAX_BYTES
from mountfs.meta.node import Directory, File
from mountfs.ttl import KERNEL_FOREVER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from mountfs.data.block import Block
    from mountfs.data.block_cache import BlockCache
    from mountfs.data.reader import Reader
    from mountfs.meta.directory_stream import DirectoryStream
    from mountfs.meta.namespace import Namespace

log = logging.getLogger(__name__)

CONTROL_ATTRIBUTES = AttributesConfig(file_mode=0o444, dir_mode=0o555)
"""The control files belong to whoever mounts, and whoever comes in may read them: no secrets
there."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesystemConfig:
    """How the mount presents itself.

    Attributes:
        attributes: owner and modes.
        read_only: nobody can write through this mount; lets the kernel open files by itself.
    """

    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    read_only: bool = False


class EntryInvalidator(Protocol):
    """Who can make the kernel forget a name."""

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Make the kernel look up *name* in *parent* again."""
        ...


class Filesystem:
    """A bucket as a read-only file system.

    Attributes:
        stale_count: reads that were refused because the version was gone.
    """

    def __init__(
        self,
        config: FilesystemConfig,
        namespace: Namespace,
        blocks: BlockCache,
        texts: ControlTexts,
        kernel: EntryInvalidator,
    ) -> None:
        self.config = config
        self.stale_count = 0
        self._namespace = namespace
        self._table = namespace.table
        self._blocks = blocks
        self._kernel = kernel
        self._source = AttributesSource(config.attributes)
        self._control = ControlDirectory(
            texts, AttributesSource(CONTROL_ATTRIBUTES), namespace.root.mtime_ns
        )
        self._streams: dict[int, DirectoryStream] = {}
        self._next_handle = 1

    # -- names

    def lookup_if_ready(self, parent: int, name: bytes) -> Entry | None:
        """Return the entry of *name* if it is fresh, and count it as one more look-up.

        Raises:
            OSError: ENAMETOOLONG; the kernel's own limit is larger than what directories elsewhere
            take.
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
        return None if node is None else self.remember(node, trio.current_time())

    async def lookup(self, parent: int, name: bytes) -> Entry:
        """Return the entry of *name*, asking the store if need be.

        Raises:
            ObjectNotFoundError: there is no such name.
            OSError: *parent* is no directory.
        """
        node = await self._namespace.lookup(self._directory(parent), name)
        return self.remember(node, trio.current_time())

    def remember(self, node: File | Directory, now: float) -> Entry:
        """Return the entry of *node*, which the kernel thereby knows once more."""
        self._table.remember(node)
        return self.entry_of(node, now)

    def entry_of(self, node: File | Directory, now: float) -> Entry:
        """Return the entry of *node* without counting it."""
        seconds = min(self._namespace.remaining_seconds(node, now), KERNEL_FOREVER_SECONDS)
        if type(node) is File:
            attributes = self._source.of_file(node.number, node.size_bytes, node.mtime_ns)
            return Entry(attributes, seconds, KERNEL_FOREVER_SECONDS)
        return Entry(self._source.of_directory(node.number, node.mtime_ns), seconds, seconds)

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
            self._streams[handle] = self._namespace.open_directory(self._directory(inode))
        return handle

    def entries_if_ready(
        self, handle: int, index: int, count: int
    ) -> Sequence[File | Directory] | None:
        """Return up to *count* entries from *index* on if known; an empty list at the end."""
        stream = self._streams.get(handle)
        return [] if stream is None else stream.entries_if_known(index, count)

    async def entries(self, handle: int, index: int, count: int) -> Sequence[File | Directory]:
        """Return up to *count* entries from *index* on; an empty list only at the end.

        Raises:
            StoreError: the listing failed.
        """
        stream = self._streams.get(handle)
        return [] if stream is None else await stream.entries_from(index, count)

    def control_names(self, inode: int) -> list[bytes]:
        """Return the names in the control directory, if *inode* is that one; else nothing."""
        return self._control.names() if inode == self._control.inode else []

    def release_directory(self, handle: int) -> None:
        """Close a directory handle."""
        stream = self._streams.pop(handle, None)
        if stream is not None:
            stream.close()

    # -- files

    def open_if_ready(self, inode: int, flags: int) -> bool:
        """Open *inode* unless the store has to be asked first; tell whether it is open.

        Raises:
            OSError: EROFS to write; ESTALE when the name is known to show another version by now,
                upon which the kernel looks it up again and opens that.
        """
        if inode >= control_directory.FIRST_INODE:
            return True
        node = self._file(inode)
        if flags & _WRITING:
            raise OSError(errno.EROFS, "writing is not supported yet")
        if node.is_stale:
            raise OSError(errno.ESTALE, "the object was replaced")
        if flags & os.O_DIRECT:
            return False
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        if not node.is_served:
            reader.request_first()
            if node.size_bytes:  # an empty object has nothing to wait for
                return False
        reader.open_count += 1
        return True

    async def open(self, inode: int, flags: int) -> None:
        """Open *inode* and wait until the store has confirmed its version.

        The listing may be old. If it is wrong, that must show here: the size that the kernel
        believes comes with the inode, so another version cannot be served under it.

        Raises:
            OSError: ESTALE: look up again.
            StoreError: the first request failed.
        """
        node = self._file(inode)
        if flags & os.O_DIRECT:
            await self._namespace.refresh(node)
            if node.is_detached:
                await self._invalidate(node)
                raise OSError(errno.ESTALE, "the object was replaced")
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        reader.open_count += 1
        try:
            if not node.is_served:
                reader.request_first()
                await reader.wait_opened()
        except BaseException as error:
            self._close(inode, reader)
            if isinstance(error, (PreconditionFailedError, ObjectNotFoundError, RangeError)):
                await self._note_gone(node, error)
            raise

    def release(self, inode: int) -> None:
        """Close a handle of *inode*: what was fetched ahead for it is given up."""
        reader = self._blocks.reader_of(inode)
        if reader is not None:
            self._close(inode, reader)

    def read_if_ready(
        self, inode: int, offset: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *offset* on if they are in memory; nothing at the end."""
        node = self._table.get(inode)
        if type(node) is not File:
            return self._control.read(inode, offset, offset + size_bytes)
        stop = min(offset + size_bytes, node.size_bytes)
        if offset >= stop:
            return b""
        reader = self._blocks.reader_of(inode)
        if reader is None:
            return None
        pieces = reader.read_if_ready(offset, stop)
        if pieces is not None:
            self._note_served(node, reader)
        return pieces

    def read(
        self, inode: int, offset: int, size_bytes: int
    ) -> Coroutine[Any, Any, tuple[memoryview, ...]]:
        """Begin to read, and return what is to be awaited for up to *size_bytes* from *offset* on.

        Raises:
            OSError: ESTALE when the version is gone.
            StoreError: the store could not be read.
        """
        node = self._file(inode)
        stop = min(offset + size_bytes, node.size_bytes)
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        return self._finish_read(node, reader, reader.begin_read(offset, stop), offset, stop)

    async def _finish_read(
        self, node: File, reader: Reader, blocks: list[Block], start: int, stop: int
    ) -> tuple[memoryview, ...]:
        try:
            pieces = await reader.finish_read(blocks, start, stop)
        except (PreconditionFailedError, ObjectNotFoundError, RangeError) as error:
            await self._note_gone(node, error)
        self._note_served(node, reader)
        return pieces

    def _note_served(self, node: File, reader: Reader) -> None:
        node.is_served = True
        if not reader.open_count and reader.is_finished:
            self._blocks.drop_reader(node.number)

    async def _note_gone(self, node: File, error: Exception) -> NoReturn:
        """Note that the store has not this version any more, and say ESTALE.

        Raises:
            OSError: ESTALE, always: also for a deleted object, of which an open handle knows
            nothing.
        """
        self.stale_count += 1
        self._namespace.note_stale(node)
        await self._invalidate(node)
        log.info("%r was replaced or deleted: %s", node.key, error)
        raise OSError(errno.ESTALE, "the object was replaced") from error

    async def _invalidate(self, node: File) -> None:
        await self._kernel.invalidate_entry(node.parent.number, node.name)

    def _close(self, inode: int, reader: Reader) -> None:
        reader.open_count = max(0, reader.open_count - 1)
        if not reader.open_count and self._blocks.reader_of(inode) is reader:
            self._blocks.drop_reader(inode)

    def _directory(self, inode: int) -> Directory:
        node = self._table.get(inode)
        if type(node) is Directory:
            return node
        raise OSError(errno.ESTALE if node is None else errno.ENOTDIR, "not a directory")

    def _file(self, inode: int) -> File:
        node = self._table.get(inode)
        if type(node) is File:
            return node
        raise OSError(errno.ESTALE if node is None else errno.EISDIR, "not a file")
