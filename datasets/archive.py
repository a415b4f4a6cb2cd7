"""What is in an archive, whatever kind it is of: its members in order, or its samples.

Both are made for `expand` of an iterable dataset: functions of an archive, without state.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mountfs.datasets.archive_error import naming
from mountfs.datasets.item import Item
from mountfs.datasets.paths import local_path
from mountfs.datasets.sample import group_samples
from mountfs.datasets.tar_stream import count_tar, stream_tar
from mountfs.datasets.zip_stream import count_zip, stream_zip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mountfs.datasets.sample import Sample

_SUFFIXES = (
    *(".tar", ".tgz", ".tar.gz", ".tzst", ".tar.zst", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"),
    ".zip",
)
_ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")
"""A zip archive starts with a member, or, if it is empty, with its end."""


def is_archive(name: str | os.PathLike[str] | Item) -> bool:
    """Tell by its name whether a file is an archive that can be read here."""
    path = name.path if isinstance(name, Item) else os.fspath(name)
    return path.lower().endswith(_SUFFIXES)


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
    path = _path_of(archive)
    stream = (stream_zip if _is_zip(path) else stream_tar)(path, start=start)
    if not isinstance(archive, Item) or archive.label is None:
        return stream
    return _with_label(stream, archive.label)


def count_members(archive: str | os.PathLike[str] | Item) -> int:
    """Return how many items `members` yields.

    Reads the directory of a zip archive, but all of a tar archive.

    Raises:
        OSError, ArchiveError: as `members` does.
    """
    path = _path_of(archive)
    return count_zip(path) if _is_zip(path) else count_tar(path)


def samples(
    archive: str | os.PathLike[str] | Item,
    extensions: Collection[str] | None = None,
) -> Iterator[Sample]:
    """Yield the samples in an archive: ``key, {extension: bytes}`` of members that belong together.

    Args:
        archive: see `members`.
        extensions: see `group_samples`.

    Raises:
        OSError: as a file does.
        ArchiveError: as `members` and `group_samples` do.
    """
    return group_samples(members(archive), extensions)


def _path_of(archive: str | os.PathLike[str] | Item) -> str:
    return archive.path if isinstance(archive, Item) else local_path(archive)


def _is_zip(path: str) -> bool:
    if path.lower().endswith(".zip"):  # perhaps with something before it, such as a program
        return True
    with naming(path), open(path, "rb", buffering=0) as file:
        return file.read(4) in _ZIP_MAGICS


def _with_label(stream: Iterator[Item], label: object) -> Iterator[Item]:
    for member in stream:
        member.label = label
        yield member
