"""Handlers for changes: of contents here, of names and attributes in the modules beside.

WRITE is the hot path: one structure to unpack, one call, one reply of constant size.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs.attributes import AttributeChanges, Caller
from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode, OpenFlag
from mountfs.fuse.entries import pack_entry
from mountfs.fuse.metadata_changes import MetadataChangeOperations, mode_without_set_id
from mountfs.fuse.name_changes import NameChangeOperations, check_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.attributes import Entry
    from mountfs.fuse.last_close import LastClose, Opener
    from mountfs.fuse.protocol import Changes
    from mountfs.fuse.session import Request
    from mountfs.fuse.written_pages import WrittenPages

    Answer = bytes | Awaitable[bytes]

_WRITE_HEAD_BYTES = abi.WRITE_IN.size
_unpack_write = abi.WRITE_IN.unpack_from
_pack_written = abi.WRITE_OUT.pack
_DONE = b""


def is_opened_to_write(flags: int) -> bool:
    """Tell whether an open file with these flags needs a handle: it can change the contents."""
    return flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)


class ChangeOperations:
    """The handlers, to be merged with those of `Operations`, which knows how to read.

    OPEN and RELEASE are for both: `Operations` hands on what concerns handles.

    Attributes:
        handlers: by opcode.
    """

    def __init__(self, changes: Changes, last_close: LastClose, pages: WrittenPages) -> None:
        self._changes = changes
        self._last_close = last_close
        self._pages = pages
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Opcode.CREATE: self._create,
            Opcode.WRITE: self._write,
            Opcode.FLUSH: self._flush,
            Opcode.FSYNC: self._fsync,
            Opcode.SYNCFS: self._syncfs,
            Opcode.FALLOCATE: self._fallocate,
            **NameChangeOperations(changes).handlers,
            **MetadataChangeOperations(changes).handlers,
        }

    def open(self, request: Request) -> Answer:
        """Answer an OPEN that `is_opened_to_write`."""
        flags, open_flags = abi.OPEN_IN.unpack_from(request.body)
        inode = request.inode
        opener = self._last_close.identify(request.pid)
        caller = Caller(request.uid, request.gid, request.pid)
        if open_flags & abi.OPEN_KILL_SUIDGID and flags & os.O_TRUNC:
            mode = mode_without_set_id(self._changes, inode)
            if mode is not None:
                return self._open_without_set_id(inode, flags, caller, opener, mode)
        handle = self._changes.open_to_write(inode, flags, caller)
        if isinstance(handle, int):
            return self._opened(handle, inode, flags, opener)
        return self._open_later(handle, inode, flags, opener)

    async def _open_later(
        self, handle: Awaitable[int], inode: int, flags: int, opener: Opener
    ) -> bytes:
        return self._opened(await handle, inode, flags, opener)

    async def _open_without_set_id(
        self, inode: int, flags: int, caller: Caller, opener: Opener, mode: int
    ) -> bytes:
        await self._changes.set_attributes(inode, AttributeChanges(mode=mode), None, caller)
        handle = self._changes.open_to_write(inode, flags, caller)
        if not isinstance(handle, int):
            handle = await handle
        return self._opened(handle, inode, flags, opener)

    def _opened(self, handle: int, inode: int, flags: int, opener: Opener) -> bytes:
        self._last_close.remember(handle, inode, flags, opener)
        # The kernel's pages stay: they are of this inode, and it keeps them up to date itself.
        return abi.OPEN_OUT.pack(handle, OpenFlag.KEEP_CACHE, 0)

    def release(self, handle: int) -> None:
        """Answer a RELEASE of *handle*."""
        self._last_close.forget(handle)
        self._pages.forget(handle)
        self._changes.release_writer(handle)

    def _create(self, request: Request) -> Answer:
        flags, mode, umask, _ = abi.CREATE_IN.unpack_from(request.body)
        name = check_name(bytes(request.body[abi.CREATE_IN.size : -1]))
        opener = self._last_close.identify(request.pid)
        caller = Caller(request.uid, request.gid, request.pid)
        arguments = request.inode, name, flags, mode, umask, caller
        made = self._changes.create_if_ready(*arguments)
        if made is not None:
            return self._created(*made, flags, opener)
        return self._create_later(self._changes.create(*arguments), flags, opener)

    def _created(self, entry: Entry, handle: int, flags: int, opener: Opener) -> bytes:
        return pack_entry(entry) + self._opened(handle, entry.attributes.inode, flags, opener)

    async def _create_later(
        self, made: Awaitable[tuple[Entry, int]], flags: int, opener: Opener
    ) -> bytes:
        return self._created(*await made, flags, opener)

    def _write(self, request: Request) -> Answer:
        body = request.body
        handle, offset, size, write_flags, _, _, _ = _unpack_write(body)
        if write_flags & abi.WRITE_KILL_SUIDGID:
            mode = mode_without_set_id(self._changes, request.inode)
            if mode is not None:
                caller = Caller(request.uid, request.gid, request.pid)
                copy = bytes(body[_WRITE_HEAD_BYTES : _WRITE_HEAD_BYTES + size])
                return self._write_without_set_id(request.inode, mode, caller, handle, offset, copy)
        self._pages.note_written(handle, request.inode, offset, offset + size)
        data = body[_WRITE_HEAD_BYTES : _WRITE_HEAD_BYTES + size]
        if self._changes.write_if_ready(handle, offset, data):
            return _pack_written(size, 0)
        return self._write_later(handle, offset, bytes(data))

    async def _write_later(self, handle: int, offset: int, data: bytes) -> bytes:
        await self._changes.write(handle, offset, data)
        return _pack_written(len(data), 0)

    async def _write_without_set_id(
        self, inode: int, mode: int, caller: Caller, handle: int, offset: int, data: bytes
    ) -> bytes:
        await self._changes.set_attributes(inode, AttributeChanges(mode=mode), None, caller)
        return await self._write_later(handle, offset, data)

    def _flush(self, request: Request) -> Answer:
        handle, _, _, _ = abi.FLUSH_IN.unpack_from(request.body)
        if handle == 0:  # opened to be read; kernels before 5.16 do not know NOFLUSH
            return _DONE
        if not self._last_close.is_last(handle, request.pid):
            return _DONE
        if self._changes.flush_if_ready(handle):
            return _DONE
        return _say_done(self._changes.flush(handle))

    def _fsync(self, request: Request) -> Answer:
        handle, _, _ = abi.FSYNC_IN.unpack_from(request.body)
        if handle == 0:
            return _say_done(self._changes.fsync_inode(request.inode))
        return _say_done(self._changes.fsync(handle))

    def _syncfs(self, request: Request) -> Answer:
        return _say_done(self._changes.sync_all())

    def _fallocate(self, request: Request) -> Answer:
        handle, offset, length, mode, _ = abi.FALLOCATE_IN.unpack_from(request.body)
        if handle == 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return _say_done(self._changes.allocate(handle, mode, offset, length))


async def _say_done(doing: Awaitable[None]) -> bytes:
    await doing
    return _DONE
