"""Checksums that travel with what is written, and the ETags that stand for them.

CRC64NVME costs a memory access and can be put together from parts, so S3 checks every byte from our
memory to its disks. Not every store knows it: when one ignores or rejects the header, no more are
sent, and what remains are the checks of TLS, of the length, and of the ETag of what came in parts.
"""

from __future__ import annotations

import hashlib
import logging
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import trio
from awscrt.checksums import combine_crc64nvme

from mountfs.store.body import crc_of_body, size_of_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.objects import Body, UploadedPart

log = logging.getLogger(__name__)

CHECKSUM_HEADER = "x-amz-checksum-crc64nvme"

INLINE_BYTES = 16 * 1024 * 1024
"""Computed in the loop's thread: takes less time than handing it to another one."""

_MD5 = re.compile(r'"[0-9a-f]{32}"')


class Checksums:
    """Whether the store takes checksums; yes until it is found out.

    Attributes:
        are_sent: whether requests should carry one.
    """

    __slots__ = ("are_sent",)

    def __init__(self) -> None:
        self.are_sent = True

    async def of_body(self, body: Body) -> str:
        """Return the checksum to send with *body*; empty if none is to be sent."""
        if not self.are_sent:
            return ""
        if size_of_body(body) <= INLINE_BYTES:
            return _encode(crc_of_body(body))
        return _encode(await trio.to_thread.run_sync(crc_of_body, body))

    def stop(self, why: str) -> None:
        """Send no more; *why* is for the log."""
        if self.are_sent:
            self.are_sent = False
            log.info("uploads go without CRC64NVME checksums: the store %s", why)


def crc_text(data: bytes) -> str:
    """Return the checksum of *data* as headers hold it."""
    return _encode(crc_of_body([data]))


def combine_checksums(parts: Sequence[UploadedPart]) -> str:
    """Return the checksum of all parts in a row; empty if that of one is not known."""
    if not parts or not all(part.checksum for part in parts):
        return ""
    crc = 0
    for part in parts:
        crc = combine_crc64nvme(crc, _decode(part.checksum), part.size_bytes)
    return _encode(crc)


def compose_etag(parts: Sequence[UploadedPart]) -> str:
    """Return the ETag that S3 gives to an object of these parts; empty where theirs are no MD5s."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        if not _MD5.fullmatch(part.etag):
            return ""
        digest.update(bytes.fromhex(part.etag[1:-1]))
    return f'"{digest.hexdigest()}-{len(parts)}"'


def _encode(crc: int) -> str:
    return b64encode(crc.to_bytes(8, "big")).decode()


def _decode(checksum: str) -> int:
    return int.from_bytes(b64decode(checksum), "big")
