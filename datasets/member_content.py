"""What opens the content of a member: bytes that are there, a range of a file, or a spooled copy.

Each is a function without arguments that returns a binary file, as `Item` wants it.
"""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

from mountfs.datasets.archive_error import damaged, naming
from mountfs.datasets.tar_header import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import WriteableBuffer

HELD_BYTES_MAX = 64 << 20
"""Members up to this size are held in memory as a whole, larger ones are read where they are."""


def held(content: bytes) -> Callable[[], BinaryIO]:
    """Return what opens bytes that are in memory, without copying them. Pickles with them."""
    return partial(io.BytesIO, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeContent:
    """A range of a file, which is opened anew.

    Attributes:
        path: the archive.
        member: what the archive calls the range.
        offset: where it starts.
        size: its length in bytes.
        crc: CRC-32 of it, checked by a read from its start to its end; None if nobody knows.
    """

    path: str
    member: str
    offset: int
    size: int
    crc: int | None = None

    def __call__(self) -> BinaryIO:
        """Open the file.

        Raises:
            OSError: as `open` does.
        """
        return cast("BinaryIO", io.BufferedReader(_RangeFile(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedContent:
    """A member of a tar archive, where an index says that it is.

    Attributes:
        path: the archive.
        member: what the archive calls it.
        offset: where its content starts.
        size: its length in bytes.
        header_crc: CRC-32 of the block before it.
    """

    path: str
    member: str
    offset: int
    size: int
    header_crc: int

    def __call__(self) -> BinaryIO:
        """Open the archive, and read a small member at once with its header.

        Raises:
            OSError: as a file does.
            ArchiveError: the archive is not the one that was indexed.
        """
        place = RangeContent(path=self.path, member=self.member, offset=self.offset, size=self.size)
        header = bytearray(BLOCK_BYTES)
        content = bytearray(self.size if self.size <= HELD_BYTES_MAX else 0)
        with naming(self.path), open(self.path, "rb", buffering=0) as file:
            count = os.preadv(file.fileno(), [header, content], self.offset - BLOCK_BYTES)
            if zlib.crc32(header) != self.header_crc:
                problem = "the archive is not the one of the index: build it anew"
                raise damaged(self.path, problem, self.member)
        if count < BLOCK_BYTES + self.size:
            return place()  # a large one; or a short read, which that one continues or refuses
        return io.BytesIO(content)


def spool(chunks: Iterable[bytes]) -> BinaryIO:
    """Return a file without a name, in the temporary directory, that holds the chunks."""
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # outlives the call
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


class SpooledContent:
    """A spooled copy of what cannot be read twice, which is closed with this object.

    Does not pickle: no other process could open it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self) -> BinaryIO:
        """Return the file, of which there is only one."""
        return self._file

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a large member of a compressed archive cannot be sent to another process: "
            "read it where it was streamed"
        )

    def __del__(self) -> None:
        self._file.close()


class _RangeFile(io.RawIOBase):
    """Reads the range as if it were a file of its own."""

    _descriptor = -1

    def __init__(self, content: RangeContent) -> None:
        super().__init__()
        self._content = content
        self._position = 0
        self._crc = 0
        self._summed = 0  # so many bytes from the start are in the CRC
        self._descriptor = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._content.size}
        if start[whence] + offset < 0:
            raise ValueError(f"negative seek value {start[whence] + offset}")
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        content = self._content
        view = memoryview(buffer).cast("B")[: max(0, content.size - self._position)]
        if not view:
            return 0
        with naming(content.path):
            count = os.preadv(self._descriptor, [view], content.offset + self._position)
        if not count:
            problem = f"short read: ends at byte {self._position} of {content.size}"
            raise damaged(content.path, problem, content.member)
        if content.crc is not None:
            self._check(view[:count])
        self._position += count
        return count

    def readall(self) -> bytes:
        rest = bytearray(max(0, self._content.size - self._position))
        view = memoryview(rest)
        while view:
            view = view[self.readinto(view) :]
        return bytes(rest)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        super().close()

    def _check(self, chunk: memoryview) -> None:
        """Add what was read to the CRC, if it goes on where that ends; compare it at the end."""
        content = self._content
        if self._position > self._summed:
            return
        chunk = chunk[self._summed - self._position :]
        self._crc = zlib.crc32(chunk, self._crc)
        self._summed += len(chunk)
        if self._summed == content.size and chunk and self._crc != content.crc:
            raise damaged(content.path, "wrong CRC", content.member)
