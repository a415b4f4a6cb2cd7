"""Handlers for what an inode has beside its attributes: link targets and extended attributes.

Only ``user.…`` exists. The kernel and many programs ask for names of other namespaces
(``security.capability``, ``system.posix_acl_access``), which is answered here, at once.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.fuse.protocol import Details
    from mountfs.fuse.session import Request

    Answer = bytes | Awaitable[bytes]

_USER = b"user."
_SECURITY = b"security."


def require_user_namespace(name: bytes) -> None:
    """Refuse extended attributes that nobody but users' programs would set.

    Raises:
        OSError: EOPNOTSUPP, which says that this file system has none of that kind.
    """
    if not name.startswith(_USER):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


class DetailOperations:
    """The handlers.

    Attributes:
        handlers: by opcode.
    """

    def __init__(self, details: Details) -> None:
        self._details = details
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Opcode.READLINK: self._readlink,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
        }

    def _readlink(self, request: Request) -> Answer:
        return self._details.read_link(request.inode)

    def _getxattr(self, request: Request) -> Answer:
        size, _ = abi.GETXATTR_IN.unpack_from(request.body)
        name = bytes(request.body[abi.GETXATTR_IN.size : -1])
        if name.startswith(_SECURITY):
            # EOPNOTSUPP would be as true, but makes some tools warn of a copy that lacks something.
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        require_user_namespace(name)
        value = self._details.get_xattr(request.inode, name)
        return _fit(value, size) if isinstance(value, bytes) else _fit_later(value, size)

    def _listxattr(self, request: Request) -> Answer:
        size, _ = abi.GETXATTR_IN.unpack_from(request.body)
        names = self._details.list_xattrs(request.inode)
        return _fit(_join(names), size) if isinstance(names, list) else _join_later(names, size)


async def _fit_later(value: Awaitable[bytes], size_bytes: int) -> bytes:
    return _fit(await value, size_bytes)


async def _join_later(names: Awaitable[list[bytes]], size_bytes: int) -> bytes:
    return _fit(_join(await names), size_bytes)


def _join(names: list[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in names)


def _fit(value: bytes, size_bytes: int) -> bytes:
    """Return *value*, or its size to those who have room for nothing and so ask for it.

    Raises:
        OSError: ERANGE when the caller has too little room.
    """
    if size_bytes == 0:
        return abi.GETXATTR_OUT.pack(len(value), 0)
    if len(value) > size_bytes:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value
