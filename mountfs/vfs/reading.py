"""Open files that are read: when `open` has to wait, what `read` returns, who sees new versions."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from mountfs import control_directory
from mountfs.meta.node import File
from mountfs.vfs.committing import GONE
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mountfs.control_directory import ControlDirectory
    from mountfs.data.block import Block
    from mountfs.data.block_cache import BlockCache
    from mountfs.data.reader import Reader
    from mountfs.meta.namespace import Namespace
    from mountfs.vfs.handle_counts import HandleCounts
    from mountfs.vfs.written_file import WrittenFile

log = logging.getLogger(__name__)

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND
"""What the store answers who asks for a version that it has not, at least not under this key."""


class EntryInvalidator(Protocol):
    """Who can make the kernel forget a name."""

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Make the kernel look up *name* in *parent* again."""
        ...


class Drafts(Protocol):
    """Where what was written here, and is not in the store as it is, is read from."""

    def read_if_ready(
        self, file: WrittenFile, start: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *start* on if they are in memory."""
        ...

    async def read(
        self, file: WrittenFile, start: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *start* on; None: the store has it by now."""
        ...

    def note_opened_to_read(self, file: WrittenFile) -> None:
        """Note that somebody may want to read it."""
        ...

    async def wait_for_changes(self, node: File) -> None:
        """Return when nothing is under way here that gives the object another key or version."""
        ...


class Reading:
    """Handles that read.

    Args:
        namespace: confirms versions.
        blocks: holds what was fetched.
        control: its files are read here, too.
        kernel: is told what it must look up again.
        drafts: where to read what was written here; None if nothing can be.
        handles: counts what is open.

    Attributes:
        stale_count: reads that were refused because the version was gone.
    """

    def __init__(
        self,
        namespace: Namespace,
        blocks: BlockCache,
        control: ControlDirectory,
        kernel: EntryInvalidator,
        drafts: Drafts | None,
        handles: HandleCounts,
    ) -> None:
        self.stale_count = 0
        self._namespace = namespace
        self._table = namespace.table
        self._blocks = blocks
        self._control = control
        self._kernel = kernel
        self._drafts = drafts
        self._handles = handles

    def open_if_ready(self, inode: int, flags: int) -> bool:
        """Open *inode* unless the store has to be asked first; tell whether it is open.

        Raises:
            OSError: EROFS to write, which is not for here; ESTALE when the name is known to show
                another version by now, upon which the kernel looks it up again and opens that.
        """
        if inode >= control_directory.FIRST_INODE:
            return True
        node = self._file(inode)
        if flags & _WRITING:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if node.is_stale:
            raise OSError(errno.ESTALE, "the object was replaced")
        if node.draft is not None and self._open_written(node):
            return True
        if flags & os.O_DIRECT:
            return False
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        if not node.is_served or inode in self._handles.going:
            reader.request_first()
            if node.size_bytes:  # an empty object has nothing to wait for
                return False
        reader.open_count += 1
        self._handles.note_opened(inode)
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
        if self._open_written(node):  # since we were asked to open it
            return
        self._handles.note_opened(inode)  # now: who removes the file meanwhile keeps its content
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        reader.open_count += 1
        try:
            # Of what is about to go it must show now whether the store still has it.
            if not node.is_served or inode in self._handles.going:
                reader.request_first()
                await reader.wait_opened()
        except GONE as error:
            self.release(inode)
            if not await self._is_elsewhere(node, reader):
                await self._note_gone(node, error)
            await self.open(inode, flags)
        except BaseException:
            self.release(inode)
            raise

    def _open_written(self, node: File) -> bool:
        """Open *node* if its content is here, and not in the store; tell whether it is."""
        file = written_of(node)
        if file is None or not file.has_content:
            return False
        assert self._drafts is not None, "who writes can read"
        self._drafts.note_opened_to_read(file)
        self._handles.note_opened(node.number)
        return True

    def release(self, inode: int) -> None:
        """Close a handle of *inode*: what was fetched ahead for it is given up."""
        self._handles.note_released(inode)
        reader = self._blocks.reader_of(inode)
        if reader is not None:
            reader.open_count = max(0, reader.open_count - 1)
            if not reader.open_count:
                self._blocks.drop_reader(inode)

    def read_if_ready(
        self, inode: int, offset: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *offset* on if they are in memory; nothing at the end."""
        node = self._table.get(inode)
        if type(node) is not File:
            return self._control.read(inode, offset, offset + size_bytes)
        if node.draft is not None and self._drafts is not None:
            file = written_of(node)
            if file is not None and file.has_content:
                return self._drafts.read_if_ready(file, offset, size_bytes)
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
    ) -> Coroutine[Any, Any, bytes | tuple[memoryview, ...]]:
        """Begin to read, and return what is to be awaited for up to *size_bytes* from *offset* on.

        Raises:
            OSError: ESTALE when the version is gone.
            StoreError: the store could not be read.
        """
        node = self._file(inode)
        file = written_of(node)
        if self._drafts is not None and file is not None and file.has_content:
            return self._read_written(file, offset, size_bytes)
        stop = min(offset + size_bytes, node.size_bytes)
        reader = self._blocks.open_reader(inode, node.object_id, node.size_bytes)
        return self._finish_read(node, reader, reader.begin_read(offset, stop), offset, stop)

    async def _read_written(
        self, file: WrittenFile, offset: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...]:
        assert self._drafts is not None, "who writes can read"
        pieces = await self._drafts.read(file, offset, size_bytes)
        if pieces is not None:
            return pieces
        return await self._read_again(file.node.number, offset, size_bytes)

    async def _read_again(
        self, inode: int, offset: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...]:
        """Read from where *inode* is to be read from by now."""
        ready = self.read_if_ready(inode, offset, size_bytes)  # it may have become shorter, too
        return await self.read(inode, offset, size_bytes) if ready is None else ready

    async def _finish_read(
        self, node: File, reader: Reader, blocks: list[Block], start: int, stop: int
    ) -> bytes | tuple[memoryview, ...]:
        try:
            pieces = await reader.finish_read(blocks, start, stop)
        except GONE as error:
            if await self._is_elsewhere(node, reader):
                return await self._read_again(node.number, start, stop - start)
            await self._note_gone(node, error)
        self._note_served(node, reader)
        return pieces

    async def _is_elsewhere(self, node: File, reader: Reader) -> bool:
        """Tell whether *node*, of which *reader* found nothing, was only moved or changed here.

        A rename deletes the old key before the tree has the new one, so it is waited for.
        """
        if self._drafts is not None:
            await self._drafts.wait_for_changes(node)
        file = written_of(node)
        is_kept = file is not None and file.has_content
        return is_kept or node.object_id != reader.object_id

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

    def _file(self, inode: int) -> File:
        node = self._table.get(inode)
        if type(node) is File:
            return node
        raise OSError(errno.ESTALE if node is None else errno.EISDIR, "not a file")
