"""One header block of a tar archive, parsed and checked; pure, and knows no file.

Understands the old format, ustar, GNU's and POSIX' extended headers (pax). Text is UTF-8 with
`surrogateescape`, as names of files are everywhere else in Python.
"""

from __future__ import annotations

import enum
import zlib
from typing import TypeAlias

BLOCK_BYTES = 512
"""The unit of the format."""

ZERO_BLOCK = bytes(BLOCK_BYTES)

_CHECKSUM = slice(148, 156)
_SPACES_SUM = 8 * 0x20
_ADLER_MODULUS = 65521
_USTAR = b"ustar\0"
"""GNU's own format has a space at the end, and keeps other things in the place of the prefix."""


class Kind(enum.IntEnum):
    """What the header says that follows, by its type flag."""

    FILE = 0
    HARD_LINK = 1
    OTHER = 2
    """A directory, a symbolic link, a device, a FIFO: no content, whatever its size says."""
    PAX = 3
    PAX_GLOBAL = 4
    LONG_NAME = 5
    LONG_LINK = 6
    SPARSE = 7
    CONTINUED = 8
    """The rest of a file that began in another volume."""
    VOLUME = 9
    """GNU's label of the archive, or the list of names of an incremental dump: content to skip."""


_KINDS = {
    **dict.fromkeys(b"\x0007", Kind.FILE),
    ord("1"): Kind.HARD_LINK,
    **dict.fromkeys(b"23456", Kind.OTHER),
    **dict.fromkeys(b"xX", Kind.PAX),
    ord("g"): Kind.PAX_GLOBAL,
    ord("L"): Kind.LONG_NAME,
    ord("K"): Kind.LONG_LINK,
    ord("S"): Kind.SPARSE,
    ord("M"): Kind.CONTINUED,
    **dict.fromkeys(b"DV", Kind.VOLUME),
}


_FILE = Kind.FILE

TarHeader: TypeAlias = tuple[Kind, str, int, str]
"""What one header block says: a plain tuple, of which a stream makes very many.

The kind of what follows; its name, with the prefix of ustar, but without what earlier blocks say;
bytes of content after the block, without padding, 0 for links and others; the name that a hard link
points to, else empty.
"""


def parse_header(block: bytes) -> TarHeader:
    """Return what *block* says.

    Raises:
        ValueError: its checksum is wrong, or a number is none; the text says which.
    """
    # The low half of Adler-32 is one more than the sum of the bytes modulo 65521, so C does the
    # adding. 512 bytes sum up to less than twice the modulus: only a sum that is off by exactly the
    # modulus would pass, which takes 257 changed bytes or more.
    field = block[_CHECKSUM]
    expected = _parse_number(field, "checksum") - _SPACES_SUM + sum(field) + 1
    if zlib.adler32(block) & 0xFFFF != expected % _ADLER_MODULUS and not _is_signed(block):
        raise ValueError("wrong checksum of a header")
    kind = _KINDS.get(block[156], _FILE)  # POSIX: what is unknown is a file
    name = str(block[:100].partition(b"\0")[0], "utf-8", "surrogateescape")
    if block[345] and block[257:263] == _USTAR:
        name = decode_name(block[345:500].partition(b"\0")[0]) + "/" + name
    if kind is _FILE and name[-1:] == "/":
        kind = Kind.OTHER  # how a directory was written before there was a type for it
    if kind is Kind.OTHER:
        return kind, name, 0, ""
    if kind is Kind.HARD_LINK:
        return kind, name, 0, decode_name(block[157:257].partition(b"\0")[0])
    return kind, name, _parse_number(block[124:136], "size"), ""


def decode_name(raw: bytes) -> str:
    """Return a name as Python shows the names of files."""
    return str(raw, "utf-8", "surrogateescape")


def parse_pax(payload: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header.

    Raises:
        ValueError: they are not what POSIX demands.
    """
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(payload):
        digits, space, _ = payload[start : start + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise ValueError("an extended header with a record without a length")
        stop = start + int(digits)
        record = payload[start + len(digits) + 1 : stop]
        keyword, equals, value = record.partition(b"=")
        if stop > len(payload) or not equals or not value.endswith(b"\n"):
            raise ValueError("an extended header with a record that is cut off")
        records[keyword] = value[:-1]
        start = stop
    return records


def parse_pax_size(value: bytes) -> int:
    """Return the size that an extended header gives.

    Raises:
        ValueError: it is no number.
    """
    if not value.isdigit():
        raise ValueError("an extended header whose size is no number")
    return int(value)


def _parse_number(field: bytes, what: str) -> int:
    try:
        value = int(field.partition(b"\0")[0], 8)
    except ValueError:
        value = _parse_other_number(field, what)
    if value < 0:
        raise ValueError(f"a header with a negative {what}")
    return value


def _parse_other_number(field: bytes, what: str) -> int:
    """Return a number that is not octal: too large for that, or left out."""
    if field[0] & 0x80:  # GNU: binary, big endian
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return -1 if field[0] & 0x40 else value
    if field.strip(b" \0"):
        raise ValueError(f"a header whose {what} is no number")
    return 0


def _is_signed(block: bytes) -> bool:
    # Some old programs added up signed characters.
    field = block[_CHECKSUM]
    total = sum(block) - sum(field) + _SPACES_SUM
    negative = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in field)
    return total - 256 * negative == _parse_number(field, "checksum")
