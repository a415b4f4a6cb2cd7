"""Handlers for changes of attributes: SETATTR and extended attributes."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

from mountfs.attributes import AttributeChanges, Caller
from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode, SetattrFlag
from mountfs.fuse.details import require_user_namespace
from mountfs.fuse.entries import pack_attributes
from mountfs.vfs.posix_rules import without_set_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.fuse.protocol import Changes
    from mountfs.fuse.session import Request

    Answer = bytes | Awaitable[bytes]

_NANOSECONDS = 1_000_000_000
# As plain numbers: an IntFlag makes an object for each `&`.
_MODE = int(SetattrFlag.MODE)
_UID = int(SetattrFlag.UID)
_GID = int(SetattrFlag.GID)
_SIZE = int(SetattrFlag.SIZE)
_ATIME = int(SetattrFlag.ATIME)
_MTIME = int(SetattrFlag.MTIME)
_FH = int(SetattrFlag.FH)
_ATIME_NOW = int(SetattrFlag.ATIME_NOW)
_MTIME_NOW = int(SetattrFlag.MTIME_NOW)
_KILL_SUIDGID = int(SetattrFlag.KILL_SUIDGID)


def mode_without_set_id(changes: Changes, inode: int) -> int | None:
    """Return the mode that *inode* has when set-uid and set-gid are gone; None if that is its own.

    With ``HANDLE_KILLPRIV_V2`` the kernel says when they have to go, and leaves it to us.
    """
    mode = changes.getattr(inode).attributes.mode
    remaining = without_set_id(mode)
    return None if remaining == mode else stat.S_IMODE(remaining)


class MetadataChangeOperations:
    """The handlers.

    Attributes:
        handlers: by opcode.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Opcode.SETATTR: self._setattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.REMOVEXATTR: self._removexattr,
        }

    def _setattr(self, request: Request) -> Answer:
        (
            valid, _, handle, size, _, atime, mtime, _, atime_rest, mtime_rest, _,
            mode, _, uid, gid, _,
        ) = abi.SETATTR_IN.unpack_from(request.body)  # fmt: skip
        inode = request.inode
        new_mode = stat.S_IMODE(mode) if valid & _MODE else None
        if valid & _KILL_SUIDGID and new_mode is None:
            new_mode = mode_without_set_id(self._changes, inode)
        new_atime_ns = atime * _NANOSECONDS + atime_rest if valid & _ATIME else None
        new_mtime_ns = mtime * _NANOSECONDS + mtime_rest if valid & _MTIME else None
        if valid & (_ATIME_NOW | _MTIME_NOW):
            now_ns = time.time_ns()  # one for both: they are equal after ``touch``
            new_atime_ns = now_ns if valid & _ATIME_NOW else new_atime_ns
            new_mtime_ns = now_ns if valid & _MTIME_NOW else new_mtime_ns
        changes = AttributeChanges(
            mode=new_mode,
            uid=uid if valid & _UID else None,
            gid=gid if valid & _GID else None,
            size_bytes=size if valid & _SIZE else None,
            atime_ns=new_atime_ns,
            mtime_ns=new_mtime_ns,
        )
        caller = Caller(request.uid, request.gid, request.pid)
        # Handle 0 is a file that is open to be read, of which the file system knows nothing.
        return self._apply(inode, changes, (handle or None) if valid & _FH else None, caller)

    async def _apply(
        self, inode: int, changes: AttributeChanges, handle: int | None, caller: Caller
    ) -> bytes:
        return pack_attributes(await self._changes.set_attributes(inode, changes, handle, caller))

    def _setxattr(self, request: Request) -> Answer:
        size, flags = abi.SETXATTR_IN.unpack_from(request.body)
        rest = bytes(request.body[abi.SETXATTR_IN.size :])
        end = rest.index(b"\0")
        name = rest[:end]
        require_user_namespace(name)
        return self._set_xattr(request.inode, name, rest[end + 1 : end + 1 + size], flags)

    async def _set_xattr(self, inode: int, name: bytes, value: bytes, flags: int) -> bytes:
        await self._changes.set_xattr(inode, name, value, flags)
        return b""

    def _removexattr(self, request: Request) -> Answer:
        name = bytes(request.body[:-1])
        require_user_namespace(name)
        return self._remove_xattr(request.inode, name)

    async def _remove_xattr(self, inode: int, name: bytes) -> bytes:
        await self._changes.remove_xattr(inode, name)
        return b""
