"""Handlers for changes of names: make, remove, rename."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs.attributes import Caller
from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode, RenameFlag
from mountfs.fuse.entries import pack_entry
from mountfs.keys import NAME_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.attributes import Entry
    from mountfs.fuse.protocol import Names
    from mountfs.fuse.session import Request

    Answer = bytes | Awaitable[bytes]


def check_name(name: bytes) -> bytes:
    """Return *name* if a directory may have it; the kernel's own limit is larger.

    Raises:
        OSError: ENAMETOOLONG.
    """
    if len(name) > NAME_MAX_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return name


class NameChangeOperations:
    """The handlers.

    Attributes:
        handlers: by opcode.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Opcode.MKDIR: self._mkdir,
            Opcode.MKNOD: self._mknod,
            Opcode.SYMLINK: self._symlink,
            Opcode.LINK: _refuse_link,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename2,
            Opcode.FSYNCDIR: self._fsyncdir,
        }

    def _mkdir(self, request: Request) -> Answer:
        mode, umask = abi.MKDIR_IN.unpack_from(request.body)
        name = check_name(bytes(request.body[abi.MKDIR_IN.size : -1]))
        caller = Caller(request.uid, request.gid, request.pid)
        return _pack(self._names.make_directory(request.inode, name, mode, umask, caller))

    def _mknod(self, request: Request) -> Answer:
        mode, rdev, umask, _ = abi.MKNOD_IN.unpack_from(request.body)
        name = check_name(bytes(request.body[abi.MKNOD_IN.size : -1]))
        caller = Caller(request.uid, request.gid, request.pid)
        return _pack(self._names.make_node(request.inode, name, mode, umask, rdev, caller))

    def _symlink(self, request: Request) -> Answer:
        name, target = bytes(request.body[:-1]).split(b"\0")
        caller = Caller(request.uid, request.gid, request.pid)
        return _pack(self._names.make_symlink(request.inode, check_name(name), target, caller))

    def _unlink(self, request: Request) -> Answer:
        name = check_name(bytes(request.body[:-1]))
        return _say_done(self._names.unlink(request.inode, name))

    def _rmdir(self, request: Request) -> Answer:
        name = check_name(bytes(request.body[:-1]))
        return _say_done(self._names.remove_directory(request.inode, name))

    def _rename(self, request: Request) -> Answer:
        (new_parent,) = abi.RENAME_IN.unpack_from(request.body)
        return self._begin_rename(request, abi.RENAME_IN.size, new_parent, 0)

    def _rename2(self, request: Request) -> Answer:
        new_parent, flags, _ = abi.RENAME2_IN.unpack_from(request.body)
        if flags & ~RenameFlag.NOREPLACE:
            # Two names cannot be exchanged in a bucket without a moment in which one is missing.
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return self._begin_rename(request, abi.RENAME2_IN.size, new_parent, flags)

    def _begin_rename(self, request: Request, start: int, new_parent: int, flags: int) -> Answer:
        name, new_name = bytes(request.body[start:-1]).split(b"\0")
        return _say_done(
            self._names.rename(
                request.inode, check_name(name), new_parent, check_name(new_name), flags
            )
        )

    def _fsyncdir(self, request: Request) -> Answer:
        return _say_done(self._names.fsync_directory(request.inode))


def _refuse_link(request: Request) -> bytes:
    raise OSError(errno.EPERM, "an object has one name")


async def _pack(making: Awaitable[Entry]) -> bytes:
    return pack_entry(await making)


async def _say_done(doing: Awaitable[None]) -> bytes:
    await doing
    return b""
