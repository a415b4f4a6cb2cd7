"""What a request sends: buffers, one behind the other, read by CRT without being joined first."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from awscrt.checksums import crc64nvme

if TYPE_CHECKING:
    from mountfs.objects import Body


class BodyStream:
    """A stream over buffers, for one request. CRT reads it on a thread of its own.

    Args:
        body: must not change until the request has ended, and `close` was called.
    """

    __slots__ = ("_index", "_offset", "_views", "size_bytes")

    def __init__(self, body: Body) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in body if len(buffer)]
        self.size_bytes = sum(map(len, self._views))
        self._index = 0
        self._offset = 0

    def close(self) -> None:
        """Let go of the buffers, which could not be resized before; CRT drops the stream later."""
        views, self._views = self._views, []
        for view in views:
            view.release()

    def readinto(self, target: memoryview) -> int:
        """Copy what comes next into *target* as far as there is room; 0 at the end."""
        done = 0
        while done < len(target) and self._index < len(self._views):
            view = self._views[self._index]
            count = min(len(view) - self._offset, len(target) - done)
            target[done : done + count] = view[self._offset : self._offset + count]
            done += count
            self._offset += count
            if self._offset == len(view):
                self._index += 1
                self._offset = 0
        return done

    def read(self, size: int) -> bytes:
        """Return what comes next; CRT insists on the method and uses `readinto`."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on elsewhere; return where."""
        if whence == io.SEEK_CUR:
            offset += sum(map(len, self._views[: self._index])) + self._offset
        elif whence == io.SEEK_END:
            offset += self.size_bytes
        position = rest = min(max(offset, 0), self.size_bytes)
        self._index = 0
        while self._index < len(self._views) and rest >= len(self._views[self._index]):
            rest -= len(self._views[self._index])
            self._index += 1
        self._offset = rest
        return position


def size_of_body(body: Body) -> int:
    """Return how many bytes *body* has."""
    return sum(memoryview(buffer).nbytes for buffer in body)


def md5_of_body(body: Body) -> str:
    """Return the MD5 of *body* in hexadecimal, as the ETag of a plain object."""
    digest = hashlib.md5(usedforsecurity=False)
    for buffer in body:
        digest.update(buffer)
    return digest.hexdigest()


def crc_of_body(body: Body) -> int:
    """Return the CRC64NVME of *body*."""
    crc = 0
    for buffer in body:
        crc = crc64nvme(buffer, crc)
    return crc
