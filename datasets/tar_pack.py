"""Packs files into tar shards of about one size, the same bytes for the same files."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

from mountfs.datasets.archive_error import damaged
from mountfs.datasets.item import Item
from mountfs.datasets.paths import local_path
from mountfs.datasets.sample import split_name
from mountfs.datasets.tar_header import BLOCK_BYTES
from mountfs.datasets.tar_index import TarIndex
from mountfs.datasets.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.datasets.entry import Openable

SHARD_BYTES = 128 << 20
"""Large enough that a shard is one long read, small enough that there is one for every worker."""

COPY_BYTES = 1 << 20
"""The unit of copying; a read of a mount in order should be large."""

_RECORD_BYTES = 20 * BLOCK_BYTES
"""What tar pads an archive to."""


def pack(
    source: Iterable[Openable | Item],
    pattern: str,
    *,
    root: str | os.PathLike[str] = "",
    shard_bytes: int = SHARD_BYTES,
    with_index: bool = False,
) -> list[str]:
    """Write files to tar shards, in their order, and return the paths of the shards.

    Each shard appears whole or not at all. A shard ends with the sample with which it reaches
    *shard_bytes*: members that follow one another and belong to one sample stay together. Owners,
    modes and times are not kept, so that equal files make equal shards.

    Args:
        source: what to pack; each item is closed when it was read.
        pattern: the path of a shard, with a field for its number: ``train/shard-{:06d}.tar``.
        root: what the names in the archive are relative to; the path as it is if empty. A member of
            another archive keeps its name.
        shard_bytes: from this size on a shard is finished.
        with_index: also write an index next to each shard.

    Raises:
        ValueError: the pattern has no field, or a file is not below *root*.
        OSError: a file cannot be read, or a shard cannot be written; finished shards stay.
        ArchiveError: a file ended before the length it had.
    """
    if pattern.format(0) == pattern.format(1):
        raise ValueError(f"the pattern {pattern!r} has no field for a number, such as {{:06d}}")
    base = local_path(root) if os.fspath(root) else ""
    shards: list[str] = []
    shard: Writer | None = None
    last_key: str | None = None
    try:
        for one in source:
            item = one if isinstance(one, Item) else one.item()
            name = _name_in_archive(item, base)
            key = split_name(name)[0]
            if shard is not None and shard.tell() >= shard_bytes and key != last_key:
                _finish(shard, with_index)
                shard = None
            if shard is None:
                shards.append(local_path(pattern.format(len(shards))))
                shard = Writer(shards[-1])
            last_key = key
            with item:
                _append(shard, item, name)
        if shard is not None:
            _finish(shard, with_index)
    except BaseException:
        if shard is not None:
            shard.discard()
        raise
    return shards


def _name_in_archive(item: Item, base: str) -> str:
    if item.name != item.path or not base:
        return item.name.lstrip("/")
    name = os.path.relpath(item.path, base)
    if name.startswith("../"):
        raise ValueError(f"{item.path} is not below {base}")
    return name


def _append(shard: Writer, item: Item, name: str) -> None:
    info = tarfile.TarInfo(name)
    rest = info.size = item.size
    shard.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    while rest:
        chunk = item.read(min(rest, COPY_BYTES))
        if not chunk:
            problem = f"short read: the last {rest} of {info.size} bytes are missing"
            raise damaged(item.path, problem, None if item.name == item.path else item.name)
        shard.write(chunk)
        rest -= len(chunk)
    shard.write(bytes(-info.size % BLOCK_BYTES))


def _finish(shard: Writer, with_index: bool) -> None:
    shard.write(bytes(2 * BLOCK_BYTES))
    shard.write(bytes(-shard.tell() % _RECORD_BYTES))
    shard.close()
    if with_index:
        TarIndex.build(shard.name).save()
