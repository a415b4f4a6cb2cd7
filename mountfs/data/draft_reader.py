"""How the bytes of a draft are brought together from memory, disk and base."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from mountfs.data.range_map import Source
from mountfs.errors import StoreError

if TYPE_CHECKING:
    from mountfs.data.draft_content import DraftContent
    from mountfs.data.staged_bytes import StagedBytes

ReadBase = Callable[[int, int], Awaitable[Sequence[bytes | bytearray | memoryview]]]
"""Fetches the bytes ``[start, stop)`` of the base object, in any number of buffers."""

ZEROS = memoryview(bytes(1024 * 1024))
"""What a hole reads as, piece by piece; the allocator gives it memory when it is first read."""

GAP_BYTES = 256 * 1024
"""Ranges of the base that are this close are fetched as one: a request costs more."""

Slot = tuple[int, int, Source]


async def read_draft(
    content: DraftContent, staged: StagedBytes, start: int, stop: int, read_base: ReadBase
) -> tuple[memoryview, ...] | None:
    """Return ``[start, stop)``, cut to the file, or None if it was changed meanwhile.

    None of it was dropped. The bytes never change.

    Raises:
        OSError: the staging file could not be read, or the base is shorter than it was.
        StoreError: whatever *read_base* raises.
    """
    slots = list(content.segments(start, min(stop, content.size_bytes)))
    in_memory: dict[int, list[memoryview]] = {}
    for begin, end, source in slots:
        if source is Source.MEMORY:
            content.append_views(begin, end, in_memory.setdefault(begin, []))
    # Views do not change. What is on disk may be overwritten and the base replaced, but not
    # without a change of the draft, which the watch notices.
    watch = content.watch(start, stop)
    on_disk: dict[int, memoryview] = {}
    in_base: dict[int, list[memoryview]] = {}
    try:
        on_disk = await _read_disk(staged, slots)
        in_base = await _read_base(slots, read_base)
    except (OSError, StoreError):
        if not watch.is_stale:
            raise
    finally:
        content.unwatch(watch)
    if watch.is_stale:
        return None
    views: list[memoryview] = []
    for begin, end, source in slots:
        if source is Source.MEMORY:
            views += in_memory[begin]
        elif source is Source.BASE:
            views += in_base[begin]
        elif source is Source.STAGED or source is Source.SEALED:
            views.append(on_disk[begin])
        else:
            assert source is not Source.DROPPED, "the caller looks for what was dropped"
            append_zeros(end - begin, views)
    return tuple(views)


def append_zeros(size_bytes: int, views: list[memoryview]) -> None:
    """Append *size_bytes* of zeros, which take no memory."""
    while size_bytes:
        views.append(ZEROS[:size_bytes])
        size_bytes -= len(views[-1])


async def _read_disk(staged: StagedBytes, slots: Sequence[Slot]) -> dict[int, memoryview]:
    """Read what is in files, at one go; by offset."""
    ranges = [
        (start, stop, source is Source.SEALED)
        for start, stop, source in slots
        if source is Source.STAGED or source is Source.SEALED
    ]
    if not ranges:
        return {}
    found = await staged.read(ranges)
    return {start: memoryview(data) for (start, _, _), data in zip(ranges, found, strict=True)}


async def _read_base(slots: Sequence[Slot], read_base: ReadBase) -> dict[int, list[memoryview]]:
    """Fetch what is in the base, by few requests; by offset."""
    groups: list[list[tuple[int, int]]] = []
    for start, stop, source in slots:
        if source is not Source.BASE:
            continue
        if groups and start - groups[-1][-1][1] <= GAP_BYTES:
            groups[-1].append((start, stop))
        else:
            groups.append([(start, stop)])
    views: dict[int, list[memoryview]] = {}
    for group in groups:
        first, last = group[0][0], group[-1][1]
        buffers = await _fetch(first, last, read_base)
        for start, stop in group:
            views[start] = slice_views(buffers, start - first, stop - first)
    return views


async def fetch_base(start: int, stop: int, read_base: ReadBase) -> memoryview:
    """Fetch ``[start, stop)`` of the base, in one buffer.

    Raises:
        OSError: the base is shorter than it was.
        StoreError: whatever *read_base* raises.
    """
    views = await _fetch(start, stop, read_base)
    return views[0] if len(views) == 1 else memoryview(b"".join(views))


async def _fetch(start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
    views = [memoryview(data) for data in await read_base(start, stop)]
    if sum(map(len, views)) != stop - start:
        raise OSError(errno.EIO, f"the base did not give all of [{start}, {stop})")
    return views


def slice_views(buffers: Sequence[memoryview], start: int, stop: int) -> list[memoryview]:
    """Return ``[start, stop)`` of buffers that follow each other, without a copy."""
    views: list[memoryview] = []
    for buffer in buffers:
        size = len(buffer)
        if start < size and stop > 0:
            views.append(buffer[max(start, 0) : min(stop, size)])
        start -= size
        stop -= size
    return views
