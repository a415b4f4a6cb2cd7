"""The values that travel between the store and everything above it."""

from __future__ import annotations

from typing import NamedTuple


class ObjectId(NamedTuple):
    """One version of one object: what every GET asks for.

    Attributes:
        key: the whole key; bytes that are not UTF-8 are kept as surrogate escapes.
        etag: as the store sent it, with its quotes; never a weak one.
    """

    key: str
    etag: str


class ObjectInfo(NamedTuple):
    """What a LIST says of an object.

    A named tuple, not a dataclass: a million of them are made while a large directory is listed,
    and a frozen dataclass takes three times as long to make.

    Attributes:
        key: the whole key.
        size_bytes: the length of the object.
        etag: as the store sent it, with its quotes.
        mtime_ns: last modification, nanoseconds since the epoch.
    """

    key: str
    size_bytes: int
    etag: str
    mtime_ns: int


class ListPage(NamedTuple):
    """One answer to a LIST.

    Attributes:
        objects: in the order of their keys (UTF-8 binary order).
        prefixes: common prefixes, each ending with ``/``, in order; empty without a delimiter.
        next_token: continuation token; empty on the last page.
    """

    objects: list[ObjectInfo]
    prefixes: list[str]
    next_token: str
