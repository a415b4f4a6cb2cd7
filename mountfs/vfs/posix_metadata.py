"""How attributes are written as user metadata of an object (``x-amz-meta-*``), and read from it.

The names are those of s3fs-fuse and rclone: ``mode``, ``uid``, ``gid``, ``mtime``, ``atime``, and
s3fs' ``ctime`` and ``xattr``, and rclone's ``rdev``. Everything that either of them writes is read.
They agree on owner, group and ``mtime``, which is what rclone reads without ``--metadata``, too. On
the rest they do not, and what is written here is s3fs' form; rclone with ``--metadata`` takes its
modes for octal numbers.

======== ================================== ==================================== ================
name     written by s3fs                    written by rclone (``--metadata``)   written here
======== ================================== ==================================== ================
mode     decimal, with the file type        octal, with the file type            as s3fs
uid, gid decimal                            decimal                              decimal
times    seconds, dot, nine digits          ``mtime`` seconds, dot, up to nine   as s3fs
                                            digits; else RFC 3339
rdev     not written                        hexadecimal                          as rclone
xattr    URL-encoded JSON, values base64    not written                          as s3fs
======== ================================== ==================================== ================

- A directory's are at its marker object. A symbolic link is an object whose ``mode`` says
  so and whose content is the target. A FIFO, a socket or a device is an empty object.
  rclone's way to keep links, a ``.rclonelink`` suffix, is not supported: such an object is shown as
  what it is, a file.
- Values before 1970 are a minus and the distance to the epoch, which is rclone's reading.
- Everything written here is printable ASCII, whatever is in it, so it needs no encoding on its way.
  Metadata of others may need one; that is the store's business.
- What cannot be read is as if it were not there, and is kept as it is until it is replaced.
- Without ``--attributes=posix`` nothing is read back: what chmod, chown and utimens set is
  saved with the next upload, for whoever reads it, and a later mount shows its defaults and the
  store's own modification time.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from typing import TYPE_CHECKING, Final

from mountfs.objects import ObjectHeaders
from mountfs.store.header_text import headers_to_send
from mountfs.vfs.attribute_text import (
    ID_MAX,
    format_rdev,
    format_time_ns,
    format_xattrs,
    parse_id,
    parse_mode,
    parse_rdev,
    parse_time_ns,
    parse_xattrs,
)
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.posix_rules import TIME_LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

METADATA_MAX_BYTES = 2048
"""S3's limit for all user metadata of an object, names and values."""

_STALE_TIMES = frozenset(
    ("atime", "ctime", "mtime", "file-atime", "file-mtime", "goog-reserved-file-mtime")
)
"""Times that are wrong once the content is another: rclone and others would believe them."""

_ABOUT_OLD_CONTENT = _STALE_TIMES | {
    # digests; rclone compares the first with the content
    "md5chksum", "md5", "sha1", "sha256", "sha512", "crc32", "crc32c", "crc64nvme", "checksum",
    "s3cmd-attrs",  # times and a digest in one
    # how the content was encrypted by its writer; ours is not
    "x-amz-key", "x-amz-key-v2", "x-amz-iv", "x-amz-matdesc", "x-amz-wrap-alg", "x-amz-cek-alg",
    "x-amz-tag-len", "x-amz-unencrypted-content-length", "x-amz-unencrypted-content-md5",
}  # fmt: skip

_FIRST_TO_GO: Final = ("atime", "ctime", "mtime", "gid", "uid", "mode", "rdev", "xattr")
"""What is left out where there is no room, the least missed first."""


def decode_metadata(headers: ObjectHeaders, *, is_directory: bool) -> NodeAttributes:
    """Return what the user metadata says, and *headers* with it. Never raises.

    *is_directory* is what the key says: a marker's mode is a directory's, no other is.
    """
    metadata = headers.metadata
    mode = parse_mode(metadata.get("mode"), is_directory, is_decimal="ctime" in metadata)
    decoded = NodeAttributes(
        mode=mode,
        uid=parse_id(metadata.get("uid")),
        gid=parse_id(metadata.get("gid")),
        atime_ns=parse_time_ns(metadata.get("atime")),
        mtime_ns=parse_time_ns(metadata.get("mtime")),
        ctime_ns=parse_time_ns(metadata.get("ctime")),
        rdev=parse_rdev(metadata.get("rdev")),
        xattrs=parse_xattrs(metadata.get("xattr")),
        headers=headers,
    )
    garbage = [
        name
        for name, value in (
            ("mode", decoded.mode),
            ("uid", decoded.uid),
            ("gid", decoded.gid),
            ("atime", decoded.atime_ns),
            ("mtime", decoded.mtime_ns),
            ("ctime", decoded.ctime_ns),
            ("rdev", decoded.rdev),
            ("xattr", decoded.xattrs),
        )
        if value is None and name in metadata
    ]
    if garbage:
        log.debug("user metadata that means nothing: %s", {n: metadata[n] for n in garbage})
    return decoded


def encode_metadata(attributes: NodeAttributes, *, is_content_new: bool) -> dict[str, str]:
    """Return the user metadata to send with an object.

    What `NodeAttributes.headers` holds of others is kept. Where *is_content_new* (an upload, not a
    copy of the object) without what was true of the old content only: its times, digests, keys.
    Where all does not fit, ours is left out rather than the upload refused; `require_fit` is how
    to refuse in time.
    """
    kept = _kept_metadata(attributes, is_content_new=is_content_new)
    if not attributes.is_special and attributes.mtime_ns is None and attributes.ctime_ns is None:
        return kept
    metadata = kept | _own_metadata(attributes)
    room_bytes = max(METADATA_MAX_BYTES, metadata_size_bytes(kept))
    for name in _FIRST_TO_GO:
        if metadata_size_bytes(metadata) <= room_bytes:
            break
        if name in metadata and metadata[name] != kept.get(name):
            log.warning("no room for %s among the user metadata of an object", name)
            metadata.pop(name)
    return metadata


def require_fit(attributes: NodeAttributes) -> None:
    """Make sure that all of this can be saved with the object, also after other changes.

    Raises:
        OSError: ENOSPC, what others keep with the object included; E2BIG, the extended attributes
            would not even fit alone.
    """
    limit_ns = TIME_LIMIT_SECONDS * 1_000_000_000
    widest = NodeAttributes(
        mode=stat.S_IFREG,
        uid=ID_MAX,
        gid=ID_MAX,
        atime_ns=-limit_ns,
        mtime_ns=-limit_ns,
        ctime_ns=-limit_ns,
        rdev=attributes.rdev,
        xattrs=attributes.xattrs,
    )
    own = _own_metadata(widest)
    number = 0
    if metadata_size_bytes(own) > METADATA_MAX_BYTES:
        number = errno.E2BIG
    elif (
        metadata_size_bytes(_kept_metadata(attributes, is_content_new=False) | own)
        > METADATA_MAX_BYTES
    ):
        number = errno.ENOSPC
    if number:
        raise OSError(number, os.strerror(number))


def metadata_size_bytes(metadata: Mapping[str, str]) -> int:
    """Return how much of S3's limit *metadata* takes, at most.

    Each name is counted with its ``x-amz-meta-``: whether S3 does so is not documented, and too
    little is never refused. Text that is not ASCII counts as it is sent.
    """
    headers = headers_to_send(ObjectHeaders(metadata=metadata))
    return sum(len(name.encode()) + len(value) for name, value in headers)


def _kept_metadata(attributes: NodeAttributes, *, is_content_new: bool) -> dict[str, str]:
    """Return what the object holds already and goes on to hold."""
    if attributes.headers is None:
        return {}
    return {
        name: value
        for name, value in attributes.headers.metadata.items()
        if not (is_content_new and name in _ABOUT_OLD_CONTENT)
        and not (name == "xattr" and attributes.xattrs is not None)
    }


def _own_metadata(attributes: NodeAttributes) -> dict[str, str]:
    own: dict[str, str] = {}
    if attributes.mode is not None:
        own["mode"] = str(attributes.mode)
    if attributes.uid is not None:
        own["uid"] = str(attributes.uid)
    if attributes.gid is not None:
        own["gid"] = str(attributes.gid)
    if attributes.atime_ns is not None:
        own["atime"] = format_time_ns(attributes.atime_ns)
    if attributes.mtime_ns is not None:
        own["mtime"] = format_time_ns(attributes.mtime_ns)
    if attributes.ctime_ns is not None:
        own["ctime"] = format_time_ns(attributes.ctime_ns)
    if attributes.rdev is not None:
        own["rdev"] = format_rdev(attributes.rdev)
    if attributes.xattrs:
        own["xattr"] = format_xattrs(attributes.xattrs)
    return own
