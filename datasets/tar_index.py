"""Random access into a plain tar archive: where each member is, found in one pass and kept.

A million members take about 30 MB and their names, in a handful of objects: forked workers share
them.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from mountfs.datasets.archive_error import damaged, naming, refused
from mountfs.datasets.item import Item
from mountfs.datasets.member_content import IndexedContent
from mountfs.datasets.paths import local_path
from mountfs.datasets.tar_input import INDEX_MAGIC, open_tar_input
from mountfs.datasets.tar_stream import resolve_links
from mountfs.datasets.tar_walk import walk_tar
from mountfs.datasets.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INDEX_SUFFIX = ".index"
"""What an index is called: the archive's name and this."""

_COUNTS = struct.Struct("<QQQI")
"""members, bytes of the archive, bytes of all names, CRC-32 of all that follows"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """A member of an archive.

    Attributes:
        path: the archive.
        name: what the archive calls it.
        offset: where its content starts.
        size: bytes of content.
        header_crc: CRC-32 of the block before the content, by which a read sees that the archive
            is still the one that was indexed.
    """

    path: str
    name: str
    offset: int
    size: int
    header_crc: int

    def item(self) -> Item:
        """Return the member to read, which nothing has opened yet."""
        content = IndexedContent(
            path=self.path,
            member=self.name,
            offset=self.offset,
            size=self.size,
            header_crc=self.header_crc,
        )
        return Item(content, path=self.path, name=self.name, size_bytes=self.size)


class TarIndex(Sequence[TarEntry]):
    """The members of one archive in its order, as entries. Immutable; pickles in one piece.

    Attributes:
        path: the archive.
    """

    def __init__(
        self,
        path: str,
        archive_bytes: int,
        columns: tuple[array[int], array[int], array[int], array[int]],
        names: bytes,
    ) -> None:
        self.path = path
        self._archive_bytes = archive_bytes
        self._offsets, self._sizes, self._header_crcs, self._name_ends = columns
        self._names = names

    @classmethod
    def build(cls, path: str | os.PathLike[str]) -> TarIndex:
        """Read through an archive once, twice if it has hard links.

        Raises:
            OSError: as a file does.
            ArchiveError: the archive is damaged, truncated, compressed, or has sparse files.
        """
        file = local_path(path)
        columns = (array("Q"), array("Q"), array("I"), array("Q"))
        offsets, sizes, header_crcs, name_ends = columns
        names = bytearray()
        links: dict[int, int] = {}
        targets: set[str] = set()
        with open_tar_input(file) as source:
            if not source.is_plain:
                problem = "a compressed archive has no random access"
                raise refused(file, f"{problem}: unpack it, or stream it with expand=members")
            for name, offset, size, link, header in walk_tar(source):
                if link:
                    links[offset] = len(offsets)
                    targets.add(link)
                offsets.append(offset)
                sizes.append(size)
                header_crcs.append(zlib.crc32(header))
                names += name.encode("utf-8", "surrogateescape")
                name_ends.append(len(names))
            archive_bytes = source.position
        if links:
            for offset, target in resolve_links(file, targets).items():
                row = links[offset]
                offsets[row], sizes[row] = target.offset, target.size
                header_crcs[row] = zlib.crc32(target.header)
        return cls(file, archive_bytes, columns, bytes(names))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], index: str | os.PathLike[str] | None = None
    ) -> TarIndex:
        """Read what `save` wrote; without *index* next to the archive.

        Raises:
            OSError: as a file does.
            ArchiveError: the index is damaged, or of an archive of another size.
        """
        file = local_path(path)
        place = f"{file}{INDEX_SUFFIX}" if index is None else local_path(index)
        with naming(place), open(place, "rb") as opened:
            content = opened.read()
        start = len(INDEX_MAGIC) + _COUNTS.size
        if not content.startswith(INDEX_MAGIC) or len(content) < start:
            raise damaged(place, "no index of a tar archive")
        count, archive_bytes, names_bytes, crc = _COUNTS.unpack_from(content, len(INDEX_MAGIC))
        body = memoryview(content)[start:]
        columns = (array("Q"), array("Q"), array("I"), array("Q"))
        column_bytes = sum(count * column.itemsize for column in columns)
        if len(body) != column_bytes + names_bytes or zlib.crc32(body) != crc:
            raise damaged(place, "the index is damaged or truncated: build it anew")
        for column in columns:
            column.frombytes(body[: count * column.itemsize])
            body = body[count * column.itemsize :]
            _swap_if_big_endian(column)
        if archive_bytes != os.stat(file).st_size:
            raise damaged(place, f"the index is of another archive than {file}: build it anew")
        return cls(file, archive_bytes, columns, bytes(body))

    @classmethod
    def load_or_build(
        cls, path: str | os.PathLike[str], index: str | os.PathLike[str] | None = None
    ) -> TarIndex:
        """Do as `load`; where no index is, build it and keep it there.

        Processes that do so at the same time build it each, and leave one that is whole.

        Raises:
            OSError, ArchiveError: as `load`, `build` and `save` do.
        """
        try:
            return cls.load(path, index)
        except FileNotFoundError:
            built = cls.build(path)  # which raises where it is the archive that is missing
        try:
            built.save(index)
        except OSError as error:
            problem = f"the index of {path} cannot be written here: {error.strerror}"
            remedy = "say index= for a place where it can"
            raise OSError(error.errno, f"{problem}; {remedy}", error.filename) from error
        return built

    def save(self, index: str | os.PathLike[str] | None = None) -> str:
        """Write the index, by default next to the archive; all or nothing. Return where it is.

        Raises:
            OSError: as writing a file does.
        """
        place = f"{self.path}{INDEX_SUFFIX}" if index is None else local_path(index)
        body = bytearray()
        for column in (self._offsets, self._sizes, self._header_crcs, self._name_ends):
            little = column[:]
            _swap_if_big_endian(little)
            body += little.tobytes()
        body += self._names
        counts = _COUNTS.pack(len(self), self._archive_bytes, len(self._names), zlib.crc32(body))
        with Writer(place) as file:
            file.write(INDEX_MAGIC + counts)
            file.write(body)
        return place

    def find(self, name: str) -> TarEntry:
        """Return the member of that name; of several the last, as tar extracts them.

        Looks at all names, which takes some microseconds for each thousand.

        Raises:
            KeyError: there is none.
        """
        wanted = name.encode("utf-8", "surrogateescape")
        stop = len(self._names)
        for row in reversed(range(len(self))):
            start = self._name_ends[row - 1] if row else 0
            if stop - start == len(wanted) and self._names[start:stop] == wanted:
                return self._entry(row)
            stop = start
        raise KeyError(name)

    def name(self, index: int) -> str:
        """Return the name of one member."""
        row = range(len(self))[index]
        start = self._name_ends[row - 1] if row else 0
        return str(self._names[start : self._name_ends[row]], "utf-8", "surrogateescape")

    def find_runs(self, key: Callable[[str], str]) -> array[int]:
        """Return where each run of members starts for whose names *key* returns the same."""
        starts = array("Q")
        last: str | None = None
        for row in range(len(self)):
            found = key(self.name(row))
            if found != last:
                starts.append(row)
                last = found
        return starts

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> TarEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[TarEntry]: ...
    def __getitem__(self, index: int | slice) -> TarEntry | list[TarEntry]:
        if isinstance(index, slice):
            return [self._entry(row) for row in range(len(self))[index]]
        return self._entry(range(len(self))[index])

    def __iter__(self) -> Iterator[TarEntry]:
        return map(self._entry, range(len(self)))

    def _entry(self, row: int) -> TarEntry:
        return TarEntry(
            path=self.path,
            name=self.name(row),
            offset=self._offsets[row],
            size=self._sizes[row],
            header_crc=self._header_crcs[row],
        )


def _swap_if_big_endian(column: array[int]) -> None:
    if sys.byteorder == "big":
        column.byteswap()
