"""The values that travel between the store and everything above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Body = Sequence[bytes | bytearray | memoryview]
"""Buffers to be sent in this order, as one. Nobody changes them before the call that sends them has
returned."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHeaders:
    """What a store keeps with an object besides its bytes; empty is what was not said.

    Attributes:
        content_type: e.g. ``application/json``.
        cache_control: how long a web browser may keep it.
        content_encoding: e.g. ``gzip``; the bytes are handed out as they are, encoded.
        content_disposition: under which name a web browser saves it.
        content_language: e.g. ``de``.
        metadata: the user's own; names in lower case and without ``x-amz-meta-``.
    """

    content_type: str = ""
    cache_control: str = ""
    content_encoding: str = ""
    content_disposition: str = ""
    content_language: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDetails:
    """What a HEAD says of an object.

    Attributes:
        info: what a LIST says, too; `ObjectInfo.mtime_ns` in whole seconds.
        headers: what is kept with it.
        version_id: of a bucket with versions; else empty.
        storage_class: never empty: ``STANDARD`` where the store says nothing.
    """

    info: ObjectInfo
    headers: ObjectHeaders
    version_id: str = ""
    storage_class: str = "STANDARD"


class UploadedPart(NamedTuple):
    """A part of a multipart upload that the store has.

    Attributes:
        number: its place, from 1.
        etag: as the store sent it, with its quotes.
        size_bytes: its length.
        checksum: CRC64NVME as the store writes it (base64); empty where none is known.
    """

    number: int
    etag: str
    size_bytes: int
    checksum: str = ""


class PendingUpload(NamedTuple):
    """A multipart upload that was begun and neither completed nor aborted.

    Attributes:
        key: the whole key that it will have.
        upload_id: the store's name for it.
        initiated_ns: when it was begun, nanoseconds since the epoch.
    """

    key: str
    upload_id: str
    initiated_ns: int
