"""The members of a tar archive as items, in one pass of large reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.datasets.archive_error import refused
from mountfs.datasets.item import Item
from mountfs.datasets.member_content import (
    HELD_BYTES_MAX,
    RangeContent,
    SpooledContent,
    held,
    spool,
)
from mountfs.datasets.tar_input import READ_BYTES, open_tar_input
from mountfs.datasets.tar_walk import truncated, walk_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mountfs.datasets.tar_input import TarInput
    from mountfs.datasets.tar_walk import TarMember


def stream_tar(
    path: str,
    *,
    is_skipped: Callable[[str], bool] | None = None,
    held_bytes_max: int = HELD_BYTES_MAX,
) -> Iterator[Item]:
    """Yield the files of an archive as items, in its order.

    Members of up to *held_bytes_max* come with their content; an item of a larger one reads the
    archive again, or, if that is compressed, a copy in the temporary directory. A hard link is
    another file with the content of the one that it names.

    Args:
        path: the archive: plain, or compressed with gzip, bzip2, xz or zstd.
        is_skipped: is asked for each name in turn whether to leave the member out, of which then
            nothing is kept; None leaves out none.
        held_bytes_max: what an item may hold.

    Raises:
        OSError: as a file does.
        ArchiveError: the archive is damaged, truncated or of a kind that is refused.
    """
    links: dict[int, TarMember] | None = None
    with open_tar_input(path) as source:
        for member in walk_tar(source):
            if is_skipped is not None and is_skipped(member.name):
                continue
            name, offset, size, link, _ = member
            if link:
                if links is None:
                    links = _find_links(source)
                _, offset, size, _, _ = links[offset]
                content = RangeContent(path=path, member=name, offset=offset, size=size)
                yield Item(content, path=path, name=name, size_bytes=size)
            elif size <= held_bytes_max:
                taken = source.take(size)
                if len(taken) < size:
                    raise truncated(source, name, where="in")
                yield Item(held(taken), path=path, name=name, size_bytes=size)
            elif source.is_plain:
                content = RangeContent(path=path, member=name, offset=offset, size=size)
                yield Item(content, path=path, name=name, size_bytes=size)
            else:
                spooled = SpooledContent(spool(_take_chunks(source, member)))
                yield Item(spooled, path=path, name=name, size_bytes=size)


def names_in_tar(path: str) -> Iterator[str]:
    """Yield the name of each item of `stream_tar`, which takes one pass of the archive.

    Raises:
        OSError, ArchiveError: as `stream_tar` does.
    """
    with open_tar_input(path) as source:
        for member in walk_tar(source):
            yield member.name


def _take_chunks(source: TarInput, member: TarMember) -> Iterator[bytes]:
    rest = member.size
    while rest:
        chunk = source.take(min(rest, READ_BYTES))
        if not chunk:
            raise truncated(source, member.name, where="in")
        rest -= len(chunk)
        yield chunk


def _find_links(source: TarInput) -> dict[int, TarMember]:
    """Return what hard links mean, by their own offset.

    Reads the archive twice more, and holds only what links point to: archives without links, which
    are nearly all, shall not pay for them.
    """
    if not source.is_plain:
        problem = "a hard link in a compressed archive is not supported"
        raise refused(source.path, f"{problem}; make it with tar --hard-dereference")
    with open_tar_input(source.path) as again:
        targets = {member.link for member in walk_tar(again) if member.link}
    return resolve_links(source.path, targets)


def resolve_links(path: str, targets: set[str]) -> dict[int, TarMember]:
    """Return the file that each hard link stands for, by the offset of the link.

    Args:
        path: a plain archive.
        targets: the names to which its links point.

    Raises:
        ArchiveError: a link points to nothing before it.
    """
    files: dict[str, TarMember] = {}
    links = {}
    with open_tar_input(path) as source:
        for member in walk_tar(source):
            file = member
            if member.link:
                if member.link not in files:
                    problem = f"a hard link to {member.link!r}, which is not before it"
                    raise refused(path, problem, member.name)
                file = links[member.offset] = files[member.link]
            if member.name in targets:
                files[member.name] = file
    return links
