"""Extended attributes that users set: ``user.*``, kept with the object.

Those of other namespaces that somebody else left in the metadata (s3fs keeps ACLs there) are not
shown and not lost. ``user.mountfs.*`` is reserved: these tell what the store knows of an object
and are made elsewhere.

The kernel lets them be set on regular files and directories only, by who may write.
"""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.posix_metadata import require_fit

NAMESPACE = b"user."
RESERVED = b"user.mountfs."
"""The read-only ones."""

NAME_MAX_BYTES = 255
"""The kernel's limit for a name, namespace included (``XATTR_NAME_MAX``)."""


def list_names(attributes: NodeAttributes) -> list[bytes]:
    """Return the names of what users set, in order."""
    return sorted(name for name in attributes.xattrs or {} if _is_settable(name))


def get_value(attributes: NodeAttributes, name: bytes) -> bytes:
    """Return the value of an attribute.

    Raises:
        OSError: ENODATA, it is not set; ENOTSUP, it is of another namespace.
    """
    if not name.startswith(NAMESPACE):
        _refuse(errno.ENOTSUP)
    value = (attributes.xattrs or {}).get(name) if _is_settable(name) else None
    if value is None:
        _refuse(errno.ENODATA)
    return value


def set_value(
    attributes: NodeAttributes, name: bytes, value: bytes, flags: int, *, now_ns: int
) -> NodeAttributes:
    """Return what setting an attribute changes; *flags* are those of ``setxattr``.

    *attributes* must have been learnt from the store: what is not known of is replaced.

    Raises:
        OSError: EEXIST and ENODATA as *flags* want; E2BIG and ENOSPC, see `require_fit`; EPERM,
            reserved; ENOTSUP, another namespace; ERANGE, the name is too long; EINVAL, no name.
    """
    _require_settable(name)
    xattrs = dict(attributes.xattrs or {})
    if flags & os.XATTR_CREATE and name in xattrs:
        _refuse(errno.EEXIST)
    if flags & os.XATTR_REPLACE and name not in xattrs:
        _refuse(errno.ENODATA)
    xattrs[name] = value
    changes = NodeAttributes(xattrs=xattrs, ctime_ns=now_ns)
    require_fit(attributes.overlaid(changes))
    return changes


def remove_value(attributes: NodeAttributes, name: bytes, *, now_ns: int) -> NodeAttributes:
    """Return what removing an attribute changes.

    Raises:
        OSError: ENODATA, it is not set; EPERM, reserved; ENOTSUP, another namespace.
    """
    _require_settable(name)
    xattrs = dict(attributes.xattrs or {})
    if xattrs.pop(name, None) is None:
        _refuse(errno.ENODATA)
    return NodeAttributes(xattrs=xattrs, ctime_ns=now_ns)


def _is_settable(name: bytes) -> bool:
    return name.startswith(NAMESPACE) and not name.startswith(RESERVED)


def _require_settable(name: bytes) -> None:
    if not name.startswith(NAMESPACE):
        _refuse(errno.ENOTSUP)
    if name == NAMESPACE:
        _refuse(errno.EINVAL)
    if len(name) > NAME_MAX_BYTES:
        _refuse(errno.ERANGE)
    if name.startswith(RESERVED):
        _refuse(errno.EPERM)


def _refuse(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
