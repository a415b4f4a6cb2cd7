"""Translates requests of the kernel to the file system, and its answers back; decides nothing.

Each handler first takes its arguments out of the request (the buffer is used again), then answers
from memory if the file system can; else it returns a coroutine.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import trio

from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode, OpenFlag
from mountfs.fuse.changes import is_opened_to_write
from mountfs.fuse.details import DetailOperations
from mountfs.fuse.entries import MIN_ENTRY_BYTES, EntryList, pack_attributes, pack_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mountfs.filesystem import Filesystem
    from mountfs.fuse.changes import ChangeOperations
    from mountfs.fuse.protocol import Details
    from mountfs.fuse.session import Request
    from mountfs.meta.node import Directory, File
    from mountfs.vfs.reading import Reading

    Buffers = bytes | tuple[memoryview, ...]
    Answer = Buffers | Awaitable[Buffers]

STATFS_BLOCK_BYTES = 4096
STATFS_BLOCKS = 1 << 40
"""4 EiB: a bucket has no size, and tools that look for free space must find plenty."""

_DOT_NAMES = (b".", b"..")
_OPENED = abi.OPEN_OUT.pack(0, OpenFlag.KEEP_CACHE | OpenFlag.NOFLUSH, 0)
_STATFS = abi.STATFS_OUT.pack(
    *([STATFS_BLOCKS] * 5), STATFS_BLOCK_BYTES, 255, STATFS_BLOCK_BYTES, *([0] * 7)
)


class Operations:
    """The handlers of a session.

    Args:
        filesystem: names and attributes.
        reading: contents.
        changes: what answers changes; without it they are refused with EROFS.
        details: knows link targets and extended attributes; without it there are none.

    Attributes:
        handlers: by opcode.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        reading: Reading,
        changes: ChangeOperations | None = None,
        details: Details | None = None,
    ) -> None:
        self._fs = filesystem
        self._reading = reading
        self._changes = changes
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.GETATTR: self._getattr,
            Opcode.OPEN: self._open,
            Opcode.READ: self._read,
            Opcode.RELEASE: self._release,
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.RELEASEDIR: self._releasedir,
            Opcode.STATFS: self._statfs,
        }
        if details is not None:
            self.handlers.update(DetailOperations(details).handlers)
        if changes is None:
            self.handlers.update(dict.fromkeys(_CHANGES, _refuse_change))
        else:
            self.handlers.update(changes.handlers)

    def _lookup(self, request: Request) -> Answer:
        name = bytes(request.body[:-1])
        parent = request.inode
        entry = self._fs.lookup_if_ready(parent, name, request.pid)
        return self._lookup_later(parent, name) if entry is None else pack_entry(entry)

    async def _lookup_later(self, parent: int, name: bytes) -> bytes:
        return pack_entry(await self._fs.lookup(parent, name))

    def _forget(self, request: Request) -> Answer:
        (count,) = abi.FORGET_IN.unpack_from(request.body)
        self._fs.forget(request.inode, count)
        return b""

    def _batch_forget(self, request: Request) -> Answer:
        count, _ = abi.BATCH_FORGET_IN.unpack_from(request.body)
        start = abi.BATCH_FORGET_IN.size
        stop = start + count * abi.FORGET_ONE.size
        for inode, lookups in abi.FORGET_ONE.iter_unpack(request.body[start:stop]):
            self._fs.forget(inode, lookups)
        return b""

    def _getattr(self, request: Request) -> Answer:
        return pack_attributes(self._fs.getattr(request.inode))

    def _open(self, request: Request) -> Answer:
        if self._fs.config.read_only:
            # The kernel then opens all files by itself and keeps their pages: neither OPEN nor
            # FLUSH nor RELEASE is ever sent again.
            raise OSError(errno.ENOSYS, "open is left to the kernel")
        flags, _ = abi.OPEN_IN.unpack_from(request.body)
        inode = request.inode
        if self._changes is not None:
            if is_opened_to_write(flags):
                return self._changes.open(request)
            flags &= ~os.O_APPEND  # says nothing to who only reads
        return (
            _OPENED if self._reading.open_if_ready(inode, flags) else self._open_later(inode, flags)
        )

    async def _open_later(self, inode: int, flags: int) -> bytes:
        await self._reading.open(inode, flags)
        return _OPENED

    def _read(self, request: Request) -> Answer:
        _, offset, size, _, _, _, _ = abi.READ_IN.unpack_from(request.body)
        pieces = self._reading.read_if_ready(request.inode, offset, size)
        return self._reading.read(request.inode, offset, size) if pieces is None else pieces

    def _release(self, request: Request) -> Answer:
        handle, _, _, _ = abi.RELEASE_IN.unpack_from(request.body)
        if handle and self._changes is not None:
            self._changes.release(handle)
        else:
            self._reading.release(request.inode)
        return b""

    def _opendir(self, request: Request) -> Answer:
        return abi.OPEN_OUT.pack(self._fs.open_directory(request.inode), 0, 0)

    def _releasedir(self, request: Request) -> Answer:
        handle, _, _, _ = abi.RELEASE_IN.unpack_from(request.body)
        self._fs.release_directory(handle)
        return b""

    def _statfs(self, request: Request) -> Answer:
        return _STATFS

    def _readdirplus(self, request: Request) -> Answer:
        """Answer with as many entries as fit; offset 0 is ``.``, 1 is ``..``, then the entries."""
        handle, offset, size, _, _, _, _ = abi.READ_IN.unpack_from(request.body)
        inode = request.inode
        reply = EntryList(size)
        for index in range(offset, len(_DOT_NAMES)):
            reply.add_name(_DOT_NAMES[index], inode, stat.S_IFDIR, index + 1)
        names = self._fs.control_names(inode)
        if names:
            for index in range(max(offset, len(_DOT_NAMES)), len(names) + len(_DOT_NAMES)):
                name = names[index - len(_DOT_NAMES)]
                reply.add_name(name, inode + index, stat.S_IFREG, index + 1)
            return reply.to_bytes()
        if not offset:
            self._fs.begin_entries(handle)
        index = max(0, offset - len(_DOT_NAMES))
        count = size // MIN_ENTRY_BYTES + 1
        nodes = self._fs.entries_if_ready(handle, index, count)
        if nodes is None:
            return self._list_later(handle, index, count, reply)
        return self._list(nodes, reply)

    async def _list_later(self, handle: int, index: int, count: int, reply: EntryList) -> bytes:
        return self._list(await self._fs.entries(handle, index, count), reply)

    def _list(self, nodes: Sequence[tuple[int, File | Directory]], reply: EntryList) -> bytes:
        now = trio.current_time()
        remember = self._fs.remember
        for next_index, node in nodes:
            name = node.name
            if not reply.has_room(name):
                break
            reply.add(name, remember(node, now), next_index + len(_DOT_NAMES))
        return reply.to_bytes()


def _refuse_change(request: Request) -> Answer:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


_CHANGES = (
    Opcode.SETATTR,
    Opcode.SYMLINK,
    Opcode.MKNOD,
    Opcode.MKDIR,
    Opcode.UNLINK,
    Opcode.RMDIR,
    Opcode.RENAME,
    Opcode.RENAME2,
    Opcode.LINK,
    Opcode.CREATE,
    Opcode.WRITE,
    Opcode.SETXATTR,
    Opcode.REMOVEXATTR,
    Opcode.FALLOCATE,
    Opcode.TMPFILE,
)
