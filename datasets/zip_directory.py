"""The central directory of a zip archive, read in order with bounded memory.

The directory is what counts in a zip archive; `zip_stream` holds against it what stands before each
member.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mountfs.datasets.archive_error import damaged, refused
from mountfs.datasets.member_content import RangeContent

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCRYPTED = 1 << 0
PATCH = 1 << 5
UTF8 = 1 << 11
MASKED = 1 << 13

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_MAGIC = b"PK\5\6"
_LOCATOR_MAGIC = b"PK\6\7"
_END64_MAGIC = b"PK\6\6"
_ENTRY_MAGIC = b"PK\1\2"
_COMMENT_BYTES_MAX = 0xFFFF

_EXTRA_ZIP64 = 0x0001
_EXTRA_UNICODE_NAME = 0x7075
_UNIX = 3
_FILE_TYPE, _SYMBOLIC_LINK = 0o170000, 0o120000


class ZipMember(NamedTuple):
    """A file in the archive.

    Attributes:
        name: as Python shows it.
        raw_name: as the archive has it.
        offset: of the header before the content, in the file.
        packed_size: bytes in the archive.
        size: bytes of content.
        crc: CRC-32 of the content.
        method: how it is compressed.
    """

    name: str
    raw_name: bytes
    offset: int
    packed_size: int
    size: int
    crc: int
    method: int


class _End(NamedTuple):
    """Where the directory is; *shift* is how many foreign bytes come before the archive."""

    members: int
    size: int
    offset: int
    shift: int


def read_directory(path: str, file: BinaryIO) -> Iterator[ZipMember]:
    """Yield the files of an archive in its order, without directories and symbolic links.

    Args:
        path: the archive, for errors and to read on.
        file: the archive, open.

    Raises:
        OSError: as a file does.
        ArchiveError: the directory is damaged or not there, or says that a member is encrypted.
    """
    end = _find_end(path, file)
    last: str | None = None
    place = RangeContent(
        path=path, member="(central directory)", offset=end.offset + end.shift, size=end.size
    )
    with place() as directory:
        for _ in range(end.members):
            fixed = directory.read(_ENTRY.size)
            if len(fixed) < _ENTRY.size or not fixed.startswith(_ENTRY_MAGIC):
                raise damaged(path, "damaged central directory", last, where="after")
            fields = _ENTRY.unpack(fixed)
            variable_bytes = sum(fields[10:13])
            variable = directory.read(variable_bytes)
            if len(variable) < variable_bytes:
                raise damaged(path, "truncated central directory", last, where="after")
            member = _parse_entry(path, fields, variable, end)
            last = member.name
            is_link = fields[1] >> 8 == _UNIX and fields[15] >> 16 & _FILE_TYPE == _SYMBOLIC_LINK
            if not member.name.endswith("/") and not is_link:
                yield member
        if directory.read(1):
            raise damaged(path, "more in the central directory than its end says")


def _parse_entry(path: str, fields: tuple[int, ...], variable: bytes, end: _End) -> ZipMember:
    flags, method, crc = fields[3], fields[4], fields[7]
    packed_size, size, name_bytes, extra_bytes = fields[8:12]
    offset = fields[16]
    raw_name = variable[:name_bytes]
    name = _decode_name(raw_name, is_utf8=bool(flags & UTF8), is_unix=fields[1] >> 8 == _UNIX)
    for kind, extra in _parse_extra(variable[name_bytes : name_bytes + extra_bytes]):
        if kind == _EXTRA_UNICODE_NAME and extra[1:5] == _crc_bytes(raw_name):
            name = extra[5:].decode("utf-8", "surrogateescape")
        elif kind == _EXTRA_ZIP64:
            large = [0, 0, 0]
            for number, value in enumerate((size, packed_size, offset)):
                large[number] = value
                if value == 0xFFFFFFFF:
                    if len(extra) < 8:
                        raise damaged(path, "damaged sizes in the central directory", name)
                    large[number] = int.from_bytes(extra[:8], "little")
                    extra = extra[8:]
            size, packed_size, offset = large
    if flags & (ENCRYPTED | MASKED):
        raise refused(path, "an encrypted file is not supported", name)
    if flags & PATCH:
        raise refused(path, "a file that is a patch of another is not supported", name)
    if offset + packed_size > end.offset:
        raise damaged(path, "a file that reaches into the central directory", name)
    return ZipMember(name, raw_name, offset + end.shift, packed_size, size, crc, method)


def _decode_name(raw: bytes, *, is_utf8: bool, is_unix: bool) -> str:
    if is_unix and not is_utf8:  # zip and macOS often leave the flag out
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return raw.decode("utf-8" if is_utf8 else "cp437", "surrogateescape")


def _parse_extra(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _crc_bytes(name: bytes) -> bytes:
    return zlib.crc32(name).to_bytes(4, "little")


def _find_end(path: str, file: BinaryIO) -> _End:
    """Return what the last record of the archive says; it may be followed by a comment."""
    file_bytes = file.seek(0, 2)
    tail_start = file.seek(max(0, file_bytes - _END.size - _COMMENT_BYTES_MAX))
    tail = file.read()
    at = tail.rfind(_END_MAGIC)
    while at >= 0:
        if at + _END.size <= len(tail):
            fields = _END.unpack_from(tail, at)
            if at + _END.size + fields[7] == len(tail):
                break
        at = tail.rfind(_END_MAGIC, 0, at)
    if at < 0:
        raise damaged(path, "no end of a zip archive: truncated, or something else")
    _, disk, start_disk, _, count, size, offset, _ = fields
    position = tail_start + at
    if position >= _LOCATOR.size:
        file.seek(position - _LOCATOR.size)
        locator = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if locator[0] == _LOCATOR_MAGIC:
            position -= _LOCATOR.size + _END64.size
            file.seek(max(0, position))
            record = file.read(_END64.size)
            if position < 0 or not record.startswith(_END64_MAGIC):
                raise damaged(path, "damaged end of a large zip archive")
            _, _, _, _, disk, start_disk, _, count, size, offset = _END64.unpack(record)
    if disk or start_disk:
        raise refused(path, "a zip archive in several parts is not supported")
    shift = position - size - offset
    if shift < 0:
        raise damaged(path, "the central directory is not where the end of the archive says")
    return _End(count, size, offset, shift)
