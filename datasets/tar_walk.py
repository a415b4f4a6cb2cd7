"""The members of a tar archive in order, whatever dialect they are written in.

Damage of any kind is an error, also an archive that ends before its mark, or goes on after it: what
other programs take for the end may be a hole of zeros in the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mountfs.datasets.archive_error import damaged, refused
from mountfs.datasets.tar_header import (
    BLOCK_BYTES,
    ZERO_BLOCK,
    Kind,
    decode_name,
    parse_header,
    parse_pax,
    parse_pax_size,
)
from mountfs.datasets.tar_input import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.datasets.archive_error import ArchiveError
    from mountfs.datasets.tar_header import TarHeader
    from mountfs.datasets.tar_input import TarInput

EXTENDED_BYTES_MAX = 16 << 20
"""An extended header is held in memory. Real ones have a few KB, damaged ones may say anything."""

_SPARSE = (b"GNU.sparse.", b"SCHILY.realsize")


class TarMember(NamedTuple):
    """A file in the archive, or another name of an earlier one.

    Attributes:
        name: as the archive has it, with any leading ``./``.
        offset: where its content starts, in the decompressed archive.
        size: bytes of content.
        link: the name that a hard link points to; else empty.
        header: the block right before the content.
    """

    name: str
    offset: int
    size: int
    link: str
    header: bytes


def walk_tar(source: TarInput) -> Iterator[TarMember]:
    """Yield files and hard links; who wants the content takes it before the next is asked for.

    Directories, symbolic links and devices are left out: they have no content.

    Raises:
        ArchiveError: the archive is damaged, truncated, or has sparse files or parts of files that
            other volumes continue.
    """
    walk = _Walk()
    try:
        yield from walk.members(source)
    except ValueError as error:
        problem = f"{error} before byte {source.position}"
        raise damaged(source.path, problem, walk.last, where="after") from None
    except _TruncatedError:
        raise truncated(source, walk.last, where="after") from None


def truncated(source: TarInput, member: str | None, *, where: str) -> ArchiveError:
    """Return the error for an archive that ended where *source* is."""
    return damaged(source.path, f"truncated at byte {source.position}", member, where=where)


class _TruncatedError(Exception):
    """The archive ends here, and should not."""


class _Walk:
    """One pass.

    Attributes:
        last: the name of the member that was yielded last.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self._for_all: dict[bytes, bytes] = {}
        self._for_next: dict[bytes, bytes] = {}

    def members(self, source: TarInput) -> Iterator[TarMember]:
        position = source.position
        while True:
            block = source.take(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                raise _TruncatedError
            if not block[0] and block == ZERO_BLOCK:
                _check_end(source)
                return
            kind, name, size, link = header = parse_header(block)
            start = position + BLOCK_BYTES
            if kind > Kind.OTHER:
                self._take_extended(source, header)
            elif self._for_next or self._for_all:
                kind, name, size, link = self._extend(source, header)
            if kind <= Kind.HARD_LINK:
                self.last = name
                yield TarMember(name, start, size, link, block)
            position = start + size + -size % BLOCK_BYTES
            if not source.skip_to(position):
                raise _TruncatedError

    def _take_extended(self, source: TarInput, header: TarHeader) -> None:
        """Keep what a header that is no member says about the next one, or about all that follow.

        Raises:
            ArchiveError: it starts a member of a kind that is refused.
        """
        kind, name, size, _ = header
        if kind is Kind.VOLUME:
            return
        if kind is Kind.SPARSE or kind is Kind.CONTINUED:
            what = "a sparse file" if kind is Kind.SPARSE else "a file from another volume"
            raise refused(source.path, f"{what} is not supported", _name_of(name, self._for_next))
        if size > EXTENDED_BYTES_MAX:
            raise ValueError(f"an extended header of {size} bytes")
        payload = source.take(size)
        if len(payload) < size:
            raise _TruncatedError
        if kind is Kind.LONG_NAME:
            self._for_next[b"path"] = payload.partition(b"\0")[0]
        elif kind is Kind.LONG_LINK:
            self._for_next[b"linkpath"] = payload.partition(b"\0")[0]
        elif kind is Kind.PAX:
            self._for_next.update(parse_pax(payload))
        else:
            self._for_all.update(parse_pax(payload))

    def _extend(self, source: TarInput, header: TarHeader) -> TarHeader:
        """Return the header of a member with what extended headers say in its place."""
        extended = {**self._for_all, **self._for_next}
        self._for_next = {}
        kind, name, size, link = header
        name = _name_of(name, extended)
        if any(key.startswith(_SPARSE) for key in extended):
            raise refused(source.path, "a sparse file is not supported", name)
        if kind is Kind.FILE:
            if b"size" in extended:
                size = parse_pax_size(extended[b"size"])
            if name.endswith("/"):
                kind, size = Kind.OTHER, 0
        elif kind is Kind.HARD_LINK and b"linkpath" in extended:
            link = decode_name(extended[b"linkpath"])
        return kind, name, size, link


def _check_end(source: TarInput) -> None:
    """Refuse anything but zeros after a block of zeros, which is the mark of the end."""
    while rest := source.take(READ_BYTES):
        if rest.count(0) != len(rest):
            raise ValueError("more content after the mark of the end")


def _name_of(name: str, extended: dict[bytes, bytes]) -> str:
    return decode_name(extended[b"path"]) if b"path" in extended else name
