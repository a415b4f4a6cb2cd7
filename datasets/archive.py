"""What is in an archive, whatever kind it is of: its members in order, or its samples.

Both are made for `expand` of an iterable dataset: functions of an archive, without state, that can
begin in the middle and be counted without reading what they yield.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from mountfs.datasets.archive_error import naming
from mountfs.datasets.item import Item
from mountfs.datasets.paths import local_path
from mountfs.datasets.sample import group_samples, split_name
from mountfs.datasets.tar_index import TarIndex
from mountfs.datasets.tar_stream import names_in_tar, stream_tar
from mountfs.datasets.zip_stream import names_in_zip, stream_zip

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator

    from mountfs.datasets.sample import Sample

_TAR_SUFFIXES = (
    ".tar", ".tgz", ".tar.gz", ".tzst", ".tar.zst", ".tbz2", ".tar.bz2", ".txz", ".tar.xz",
)  # fmt: skip

_ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")
"""A zip archive starts with a member, or, if it is empty, with its end."""


def members(archive: str | os.PathLike[str] | Item, *, start: int = 0) -> Iterator[Item]:
    """Yield the files in an archive as items, in its order, in one pass of large reads.

    Never holds the archive: an item has its own content if that is small, and reads the archive
    again if it is large (more than 64 MiB). Directories, symbolic links and devices are left out,
    a hard link is one more file.

    Args:
        archive: a tar archive, plain or compressed with gzip, bzip2, xz or (with the library
            zstandard) zstd; or a zip archive. A path, ``s3://bucket/key`` or an item, whose label
            its members get.
        start: so many members are left out, and not kept for a moment.

    Raises:
        OSError: as a file does.
        ArchiveError: the archive is damaged or truncated, or has what is not supported: sparse or
            encrypted files. Names the archive and the member.
    """
    numbers = itertools.count()
    return _stream(archive, _before(start, lambda _: next(numbers)))


def count_members(archive: str | os.PathLike[str] | Item) -> int:
    """Return how many items `members` yields.

    Reads the directory of a zip archive, or the index beside a tar archive, or, where there is
    none, all of the tar archive.

    Raises:
        OSError, ArchiveError: as `members` and ``TarIndex.load`` do.
    """
    return sum(1 for _ in _names(archive))


def samples(
    archive: str | os.PathLike[str] | Item,
    extensions: Collection[str] | None = None,
    *,
    start: int = 0,
) -> Iterator[Sample]:
    """Yield the samples in an archive: ``key, {extension: bytes}`` of members that belong together.

    Args:
        archive: see `members`.
        extensions: see `group_samples`.
        start: so many samples are left out, and not kept for a moment.

    Raises:
        OSError: as a file does.
        ArchiveError: as `members` and `group_samples` do.
    """
    return group_samples(_stream(archive, _before(start, _key_of)), extensions)


def find_counter(expand: Callable[..., Any]) -> Callable[[Item], int] | None:
    """Return what counts what `members` or `samples` yields by names alone; None for others.

    Args:
        expand: also a ``functools.partial`` of `samples` that says which extensions.
    """
    if expand is members:
        return count_members
    if isinstance(expand, functools.partial):
        is_whole = not expand.args and expand.keywords.keys() <= {"extensions"}
        expand = expand.func if is_whole else expand
    return _count_samples if expand is samples else None


def _count_samples(archive: Item) -> int:
    return sum(1 for _ in itertools.groupby(_names(archive), _key_of))


def _key_of(name: str) -> str:
    return split_name(name)[0]


def _before(start: int, group_of: Callable[[str], object]) -> Callable[[str], bool] | None:
    """Return what tells of each name in turn whether it is in the first *start* groups.

    Args:
        start: how many.
        group_of: neighbours for which it returns the same are one group.
    """
    if not start:
        return None
    seen = 0
    last: object = None

    def is_before(name: str) -> bool:
        nonlocal seen, last
        if seen <= start:
            group = group_of(name)
            if group != last:
                seen, last = seen + 1, group
        return seen <= start

    return is_before


def _stream(
    archive: str | os.PathLike[str] | Item, is_skipped: Callable[[str], bool] | None
) -> Iterator[Item]:
    path = _path_of(archive)
    stream = (stream_zip if _is_zip(path) else stream_tar)(path, is_skipped=is_skipped)
    if not isinstance(archive, Item) or archive.label is None:
        return stream
    return _with_label(stream, archive.label)


def _names(archive: str | os.PathLike[str] | Item) -> Iterator[str]:
    path = _path_of(archive)
    if _is_zip(path):
        return names_in_zip(path)
    try:
        index = TarIndex.load(path)
    except FileNotFoundError:
        return names_in_tar(path)
    return map(index.name, range(len(index)))


def _path_of(archive: str | os.PathLike[str] | Item) -> str:
    return archive.path if isinstance(archive, Item) else local_path(archive)


def _is_zip(path: str) -> bool:
    name = path.lower()
    if name.endswith(".zip"):  # perhaps with something before it, such as a program
        return True
    if name.endswith(_TAR_SUFFIXES):
        return False  # to look costs an open of its own, and a mount what it has read ahead
    with naming(path), open(path, "rb", buffering=0) as file:
        return file.read(4) in _ZIP_MAGICS


def _with_label(stream: Iterator[Item], label: object) -> Iterator[Item]:
    for member in stream:
        member.label = label
        yield member
