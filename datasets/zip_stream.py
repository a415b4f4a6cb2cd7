"""The members of a zip archive as items, in the order of its directory."""

from __future__ import annotations

import bz2
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mountfs.datasets.archive_error import damaged, naming, refused
from mountfs.datasets.decompressor import ZlibDecompressor
from mountfs.datasets.item import Item
from mountfs.datasets.member_content import HELD_BYTES_MAX, RangeContent, held, spool
from mountfs.datasets.tar_input import READ_BYTES, PlainInput
from mountfs.datasets.zip_directory import read_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mountfs.datasets.decompressor import Decompressor
    from mountfs.datasets.zip_directory import ZipMember

STORED, DEFLATED, BZIP2 = 0, 8, 12

_RAW_WBITS = -15
"""zlib's number for a stream without header and checksum."""

_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 99: "AES"}
"""What some programs write and is refused, by a name that helps."""

_HEADER = struct.Struct("<4s22sHH")
_HEADER_MAGIC = b"PK\3\4"


def stream_zip(
    path: str,
    *,
    is_skipped: Callable[[str], bool] | None = None,
    held_bytes_max: int = HELD_BYTES_MAX,
) -> Iterator[Item]:
    """Yield the files of an archive as items, in the order of its directory.

    Members of up to *held_bytes_max* come with their content, whose CRC is right. An item of a
    larger one reads it from the archive, where it checks the CRC at the end of a read in order; a
    compressed one is first unpacked to the temporary directory.

    Args:
        path: the archive.
        is_skipped: is asked for each name in turn whether to leave the member out, of which then
            only the name is read; None leaves out none.
        held_bytes_max: what an item may hold.

    Raises:
        OSError: as a file does.
        ArchiveError: the archive is damaged, encrypted or compressed in an unusual way.
    """
    with naming(path), open(path, "rb", buffering=0) as file:
        source = PlainInput(path, file.fileno())
        for member in read_directory(path, file):
            if is_skipped is not None and is_skipped(member.name):
                continue
            if member.method not in (STORED, DEFLATED, BZIP2):
                name = _METHODS.get(member.method, f"number {member.method}")
                raise refused(path, f"compression {name} is not supported", member.name)
            _go_to_content(source, member)
            if max(member.size, member.packed_size) <= held_bytes_max:
                opener = held(_take_content(source, member))
            else:
                opener = _locate(path, source.position, member)
            yield Item(opener, path=path, name=member.name, size_bytes=member.size)


def names_in_zip(path: str) -> Iterator[str]:
    """Yield the name of each item of `stream_zip`, which only reads the directory.

    Raises:
        OSError, ArchiveError: as `stream_zip` does.
    """
    with naming(path), open(path, "rb", buffering=0) as file:
        for member in read_directory(path, file):
            yield member.name


def _go_to_content(source: PlainInput, member: ZipMember) -> None:
    source.seek(member.offset)
    header = source.take(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_HEADER_MAGIC):
        raise damaged(source.path, f"no header at byte {member.offset}", member.name)
    _, _, name_bytes, extra_bytes = _HEADER.unpack(header)
    if source.take(name_bytes) != member.raw_name:
        problem = "another name before the content than in the central directory"
        raise damaged(source.path, problem, member.name)
    source.skip_to(source.position + extra_bytes)


def _take_content(source: PlainInput, member: ZipMember) -> bytes:
    packed = source.take(member.packed_size)
    if len(packed) < member.packed_size:
        raise damaged(source.path, "truncated", member.name)
    if member.method == STORED:
        content = packed
    else:
        content = b"".join(_unpack([packed], source.path, member))
    if len(content) != member.size:
        problem = f"{len(content)} bytes instead of {member.size}"
        raise damaged(source.path, problem, member.name)
    if zlib.crc32(content) != member.crc:
        raise damaged(source.path, "wrong CRC", member.name)
    return content


def _locate(path: str, offset: int, member: ZipMember) -> Callable[[], BinaryIO]:
    """Return what opens a member that is too large to hold."""
    packed = RangeContent(
        path=path,
        member=member.name,
        offset=offset,
        size=member.packed_size,
        crc=member.crc if member.method == STORED else None,
    )
    if member.method != STORED:
        return _PackedContent(packed=packed, member=member)
    if member.size != member.packed_size:
        problem = f"{member.packed_size} bytes instead of {member.size}"
        raise damaged(path, problem, member.name)
    return packed


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackedContent:
    """A member that is unpacked to a temporary file when it is opened."""

    packed: RangeContent
    member: ZipMember

    def __call__(self) -> BinaryIO:
        with self.packed() as file:
            return spool(self._checked(file))

    def _checked(self, file: BinaryIO) -> Iterator[bytes]:
        crc = size = 0
        chunks = iter(lambda: file.read(READ_BYTES), b"")
        for chunk in _unpack(chunks, self.packed.path, self.member):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            yield chunk
        if size != self.member.size:
            problem = f"{size} bytes instead of {self.member.size}"
            raise damaged(self.packed.path, problem, self.member.name)
        if crc != self.member.crc:
            raise damaged(self.packed.path, "wrong CRC", self.member.name)


def _unpack(packed: Iterable[bytes], path: str, member: ZipMember) -> Iterator[bytes]:
    """Yield the content, and at most one byte more than the directory promises.

    Raises:
        ArchiveError: it cannot be unpacked.
    """
    rest = member.size + 1
    codec: Decompressor = (
        ZlibDecompressor(_RAW_WBITS) if member.method == DEFLATED else bz2.BZ2Decompressor()
    )
    try:
        for raw in packed:
            data = raw
            while True:
                chunk = codec.decompress(data, min(rest, READ_BYTES))
                rest -= len(chunk)
                if chunk:
                    yield chunk
                if codec.eof or not rest:
                    return
                if codec.needs_input:
                    break
                data = b""
    except (zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file; bz2 has no error of its own and uses OSError without errno
        raise damaged(path, f"damaged content: {error}", member.name) from error
    raise damaged(path, "truncated content", member.name)
