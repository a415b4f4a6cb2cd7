"""The bytes of a tar archive in order: plain, or decompressed while they are read.

Knows nothing of headers. Holds two blocks, whatever the size of the archive.
"""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from mountfs.datasets.archive_error import damaged, naming, refused
from mountfs.datasets.decompressor import ZlibDecompressor
from mountfs.datasets.tar_header import BLOCK_BYTES, parse_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mountfs.datasets.decompressor import Decompressor

READ_BYTES = 1 << 20
"""A read of a mount in order should be large; two of these still fit into a core's cache."""

JUMP_BYTES = 4 << 20
"""What is skipped and shorter is read all the same. A seek costs a mount its read-ahead, which is a
round trip to the store, in which this much could have arrived."""

DIRECT_BYTES = 32 << 10
"""From here on a member is read into the object that holds it: two calls cost less than a copy."""

AHEAD_MIN_BYTES = 64
"""Read ahead of a small member that follows a large one, doubled for each that follows that. Up to
the fourth only the next header comes along, and of a large member behind that nothing, which would
have to be copied: an image, its label and its caption are copied once each."""

_GZIP_WBITS = 31
"""zlib's number for the header and the checksum of gzip."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

INDEX_MAGIC = b"mountfs tar index 1\n"
"""With this an index begins, which lies beside its archive and may be taken for one by mistake."""


class TarInput(ABC):
    """Bytes that are taken in order, once.

    Attributes:
        path: the archive, for errors.
        is_plain: whether positions are also offsets in the file.
    """

    path: str
    is_plain: bool

    @property
    @abstractmethod
    def position(self) -> int:
        """How many bytes of the (decompressed) archive were taken or skipped."""

    @abstractmethod
    def take(self, count: int) -> bytes:
        """Return the next *count* bytes, copied once; fewer only at the end of the archive."""

    @abstractmethod
    def skip_to(self, position: int) -> bool:
        """Go on to a position; return whether there are as many bytes."""


@contextmanager
def open_tar_input(path: str) -> Iterator[TarInput]:
    """Open an archive; whether and how it is compressed, its first bytes say.

    Raises:
        OSError: as a file does, with its name.
        ArchiveError: it is an index, or compressed with zstd and the library for that is missing.
    """
    with naming(path), open(path, "rb", buffering=0) as file:
        inflate = _find_inflate(path, os.pread(file.fileno(), BLOCK_BYTES, 0))
        if inflate is None:
            yield PlainInput(path, file.fileno())
        else:
            yield InflatedInput(path, inflate(file))


class PlainInput(TarInput):
    """The bytes of a file as they are."""

    is_plain = True

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        # Two, so that what begins in one and ends in the other is copied once, not twice.
        buffer_bytes = max(DIRECT_BYTES, min(READ_BYTES, os.fstat(descriptor).st_size))
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._spare = memoryview(bytearray(buffer_bytes))
        self._begin = 0
        self._end = 0
        self._read_position = 0
        self._ahead_bytes = READ_BYTES

    @property
    def position(self) -> int:
        """How many bytes were taken or skipped."""
        return self._read_position - self._end + self._begin

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes, copied at most once; fewer only at the end of the file."""
        begin = self._begin
        stop = begin + count
        if stop <= self._end:
            self._begin = stop
            return self._buffer[begin:stop].tobytes()
        first = self._buffer[begin : self._end]
        if count >= DIRECT_BYTES or not self._ahead_bytes:
            return self._take_directly(first, count - len(first))
        self._refill(count - len(first))  # the views of the old block stay as they are
        self._begin = min(count - len(first), self._end)
        return b"".join((first, self._buffer[: self._begin]))

    def skip_to(self, position: int) -> bool:
        """Go on to a position; return whether there are as many bytes."""
        rest = position - self._read_position
        if rest <= 0:
            self._begin = self._end + rest
            return True
        self._begin = self._end = 0
        if rest < BLOCK_BYTES:  # padding, which nobody misses: what follows will be
            self._read_position += rest
            return True
        if rest >= JUMP_BYTES:
            self._read_position += rest
            return self._read_position <= os.fstat(self._descriptor).st_size
        self._ahead_bytes = READ_BYTES
        while rest > self._end:
            rest -= self._end
            if not self._refill(BLOCK_BYTES):
                return False
        self._begin = rest
        return True

    def seek(self, position: int) -> None:
        """Go on at any position, also an earlier one."""
        if position < self.position:
            self._begin = self._end = 0
            self._read_position = position
        else:
            self.skip_to(position)

    def _take_directly(self, first: memoryview, rest: int) -> bytes:
        """Return what was read ahead and the bytes that follow it, which no buffer sees.

        After a large member this is also how exactly the header of the next is read, so that a
        large one is never copied.
        """
        self._begin = self._end = 0
        self._ahead_bytes = 0 if rest >= DIRECT_BYTES else AHEAD_MIN_BYTES
        part = os.pread(self._descriptor, rest, self._read_position)
        self._read_position += len(part)
        if len(part) == rest and not first:
            return part
        parts: list[bytes | memoryview] = [first, part]
        while part and (rest := rest - len(part)):
            part = os.pread(self._descriptor, rest, self._read_position)
            self._read_position += len(part)
            parts.append(part)
        return b"".join(parts)

    def _refill(self, wanted: int) -> int:
        """Read on into the other buffer: *wanted* bytes and the next header; return how many.

        What is read ahead of that becomes more each time.
        """
        self._buffer, self._spare = self._spare, self._buffer
        padding = -(self._read_position + wanted) % BLOCK_BYTES
        count = max(wanted + padding + BLOCK_BYTES, self._ahead_bytes)
        self._ahead_bytes = min(2 * self._ahead_bytes, READ_BYTES)
        self._begin = 0
        self._end = 0
        while self._end < wanted:
            room = self._buffer[self._end : count]
            part_bytes = os.preadv(self._descriptor, [room], self._read_position)
            if not part_bytes:
                break
            self._end += part_bytes
            self._read_position += part_bytes
        return self._end


class InflatedInput(TarInput):
    """What the chunks of a decompressor amount to."""

    is_plain = False

    def __init__(self, path: str, chunks: Iterator[bytes]) -> None:
        self.path = path
        self._position = 0
        self._chunks = chunks
        self._chunk = memoryview(b"")

    @property
    def position(self) -> int:
        """How many bytes were taken or skipped."""
        return self._position

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes, copied once; fewer only at the end of the archive.

        Raises:
            ArchiveError: they cannot be decompressed.
        """
        if count <= len(self._chunk):
            return self._take_part(count).tobytes()
        parts = []
        while count and (self._chunk or self._refill()):
            parts.append(self._take_part(count))
            count -= len(parts[-1])
        return b"".join(parts)

    def skip_to(self, position: int) -> bool:
        """Go on to a position, decompressing all before; return whether there are as many bytes.

        Raises:
            ArchiveError: they cannot be decompressed.
        """
        count = position - self._position
        while count and (self._chunk or self._refill()):
            count -= len(self._take_part(count))
        return not count

    def _take_part(self, count: int) -> memoryview:
        part = self._chunk[:count]
        self._chunk = self._chunk[count:]
        self._position += len(part)
        return part

    def _refill(self) -> bool:
        try:
            self._chunk = memoryview(next(self._chunks, b""))
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the file; bz2 has no error of its own and uses OSError without errno
            raise damaged(self.path, f"damaged after {self._position} bytes: {error}") from error
        return bool(self._chunk)


def _inflate(make: Callable[[], Decompressor], file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of all streams that follow one another, at most `READ_BYTES` a time."""
    raw = file.read(READ_BYTES)
    while raw:
        codec = make()
        while not codec.eof:
            if codec.needs_input:
                raw = raw or file.read(READ_BYTES)
                if not raw:
                    raise EOFError("the compressed file is truncated")
                chunk, raw = codec.decompress(raw, READ_BYTES), b""
            else:
                chunk = codec.decompress(b"", READ_BYTES)
            if chunk:
                yield chunk
        # Another stream may follow; some programs pad with zeros to a multiple of a block.
        raw = codec.unused_data or raw
        while not (raw := raw.lstrip(b"\0")) and (raw := file.read(READ_BYTES)):
            pass


def _inflate_zstd(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(
        file, read_size=READ_BYTES, read_across_frames=True
    )
    try:
        while chunk := reader.read(READ_BYTES):
            yield chunk
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _find_inflate(path: str, start: bytes) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    """Return what decompresses a file that begins with *start*; None for one that is plain."""
    if start.startswith(INDEX_MAGIC):
        remedy = "name the archives only, for example with the pattern *.tar"
        raise refused(path, f"the index of an archive, not an archive: {remedy}")
    if _is_header(start):  # a member's name may begin with any magic number
        return None
    codecs: dict[bytes, Callable[[], Decompressor]] = {
        b"\x1f\x8b": partial(ZlibDecompressor, _GZIP_WBITS),
        b"BZh": bz2.BZ2Decompressor,
        b"\xfd7zXZ\0": lzma.LZMADecompressor,
    }
    for magic, make in codecs.items():
        if start.startswith(magic):
            return partial(_inflate, make)
    if not start.startswith(_ZSTD_MAGIC):
        return None
    try:
        import zstandard  # noqa: F401  # only whether it is there
    except ImportError:
        raise refused(path, "zstd needs the library zstandard: pip install zstandard") from None
    return _inflate_zstd


def _is_header(start: bytes) -> bool:
    try:
        parse_header(start)
    except (ValueError, IndexError):
        return False
    return True
