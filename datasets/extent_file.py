"""A file of which some extents are read once, in order: few large reads, the next ones ahead."""

from __future__ import annotations

import bisect
import errno
import io
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from mountfs.datasets.extent import Extent, coalesce

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from _typeshed import WriteableBuffer

GAP_MAX_BYTES = 1 << 20
"""To read over so much is cheaper than another request: 10 ms at 100 MB/s."""

READ_MAX_BYTES = 32 << 20
"""Of one joined read. Extents that are larger are read directly into where they go."""

AHEAD = 4
"""Reads in flight, besides the one that is being used."""


class ExtentFile(io.RawIOBase):
    """Reads any place of a file, but the announced extents by joined reads that come ahead.

    Two joined reads are kept, so one should be done with one extent before going on.

    Args:
        file: What to read, open and not buffered; is closed with this.
        extents: What will be read.
        executor: Runs the reads.
    """

    def __init__(self, file: io.FileIO, extents: Sequence[Extent], executor: Executor) -> None:
        self._file = file
        self._executor = executor
        self._position = 0
        small = [extent for extent in extents if len(extent) <= READ_MAX_BYTES]
        self._reads = coalesce(small, gap_max_bytes=GAP_MAX_BYTES, max_bytes=READ_MAX_BYTES)
        self._starts = [read.start for read in self._reads]
        self._buffers: OrderedDict[int, Future[bytes]] = OrderedDict()  # by number of the read

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the file below."""
        return self._file.fileno()

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position and return it."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += os.fstat(self.fileno()).st_size
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._file.name)
        self._position = offset
        return offset

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer; return how many bytes there were, 0 only at the end of the file."""
        target = memoryview(buffer).cast("B")
        number = bisect.bisect_right(self._starts, self._position) - 1
        if number >= 0 and self._position < self._reads[number].stop:
            content = self._content_of(number)
            start = self._position - self._reads[number].start
            count = min(len(target), len(content) - start)
            target[:count] = memoryview(content)[start : start + count]
        else:
            count = os.preadv(self.fileno(), [target], self._position)
        self._position += count
        return count

    def close(self) -> None:
        """Close the file. Idempotent."""
        if not self.closed:
            for future in self._buffers.values():
                future.cancel()
            for future in self._buffers.values():
                if not future.cancelled():
                    future.exception()  # a read must not find its descriptor taken by another file
            self._buffers.clear()
            self._file.close()
        super().close()

    def _content_of(self, number: int) -> bytes:
        for near in range(number, min(number + 1 + AHEAD, len(self._reads))):
            if near not in self._buffers:
                self._buffers[near] = self._executor.submit(self._read, self._reads[near])
        for past in [past for past in self._buffers if past < number - 1]:
            self._buffers.pop(past).cancel()
        return self._buffers[number].result()

    def _read(self, extent: Extent) -> bytes:
        pieces = []
        position = extent.start
        while position < extent.stop:
            piece = os.pread(self.fileno(), extent.stop - position, position)
            if not piece:
                reason = f"the file ends at {position} instead of {extent.stop}"
                raise OSError(errno.EIO, f"short read: {reason}", self._file.name)
            pieces.append(piece)
            position += len(piece)
        return b"".join(pieces)
