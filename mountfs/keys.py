"""Keys and names: where an object key becomes a path, and where it cannot.

Keys are `str` with surrogate escapes for bytes that are not UTF-8; names (one part of a path) are
`bytes`, as the kernel hands them over. S3 orders keys by their UTF-8 bytes, and so do we.
"""

from __future__ import annotations

NAME_MAX_BYTES = 255
"""The kernel's limit for one part of a path (``NAME_MAX``)."""

KEY_MAX_BYTES = 1024
"""S3's limit for a key, in UTF-8."""

CONTROL_NAME = b".mountfs"
"""The directory of the control files, at the root of a mount and nowhere else."""

_NOT_NAMES = frozenset((b"", b".", b".."))


def encode_name(part: str) -> bytes:
    """Return the name for one part of a key."""
    return part.encode("utf-8", "surrogateescape")


def decode_name(name: bytes) -> str:
    """Return the part of a key for a name; the inverse of `encode_name`."""
    return name.decode("utf-8", "surrogateescape")


def is_presentable(name: bytes, *, is_in_root: bool = False) -> bool:
    """Tell whether *name* can stand in a directory, which may be the root of the mount.

    An empty part, ``.``, ``..``, a NUL and more than 255 bytes cannot, and in the root the name of
    the control directory; keys that hold such a part are hidden.
    """
    return (
        name not in _NOT_NAMES
        and len(name) <= NAME_MAX_BYTES
        and b"\0" not in name
        and not (is_in_root and name == CONTROL_NAME)
    )


def sort_key(key: str) -> bytes:
    """Return what to sort *key* by to get S3's order."""
    return key.encode("utf-8", "surrogateescape")
