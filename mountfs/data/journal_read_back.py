"""Reading the segments that an earlier mount has left: what was acknowledged, and what is torn."""

from __future__ import annotations

import errno
import logging
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mountfs.data.journal_record import FoundRecord, find_records, read_record
from mountfs.data.journal_segment import Segment
from mountfs.data.staging_file import read_fully

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_NAME = re.compile(r"journal-([0-9]{8,})-([0-9a-f]{16})")


def open_segments(directory: Path) -> list[Segment]:
    """Open the segments in *directory*, in their order; nothing is appended to them.

    Raises:
        OSError: one of them cannot be opened.
    """
    found = sorted(
        (int(match[1]), bytes.fromhex(match[2]), name)
        for name in os.listdir(directory)
        if (match := _NAME.fullmatch(name))
    )
    segments: list[Segment] = []
    try:
        for number, segment_id, name in found:
            fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
            segment = Segment(directory, number, segment_id, fd)
            segment.is_sealed = True
            segment.has_unsynced = True  # who wrote it died
            segments.append(segment)
    except OSError:
        for segment in segments:
            segment.close()
        raise
    return segments


@dataclass(slots=True, kw_only=True)
class Content:
    """What was read back of a segment.

    Attributes:
        records: in their order.
        unreadable: ``[start, stop)`` that holds something that was acknowledged and cannot be read.
    """

    records: list[FoundRecord] = field(default_factory=list)
    unreadable: tuple[int, int] | None = None


def read_segment(segment: Segment) -> Content:
    """Return the records of *segment*, up to the first that cannot be read.

    If what follows was never acknowledged (a write that power loss or death cut short) that is the
    end of the segment. If it was, the segment is damaged: that is logged, and it is kept.

    Raises:
        OSError: the disk failed, or a later version has written it.
    """
    size_bytes = os.fstat(segment.fd).st_size
    data = bytearray(size_bytes)
    read_fully(segment.fd, data, 0)
    try:
        content = parse_segment(memoryview(data), segment.path.name)
    except (KeyError, ValueError) as error:  # it is whole, but not what we write
        raise OSError(errno.EINVAL, f"{segment.path}: {error}") from error
    segment.size_bytes = size_bytes
    if content.unreadable is not None:
        segment.is_damaged = True
        log.error(
            "%s: the journal is damaged: bytes %d to %d cannot be read, and files that were closed "
            "successfully may be in them; the file is kept, nothing behind the damage is replayed",
            segment.path,
            *content.unreadable,
        )
    return content


def parse_segment(data: memoryview, name: str) -> Content:
    """Return what the bytes of the segment called *name* say; see `read_segment`."""
    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} names no segment"
    segment_id = bytes.fromhex(match[2])
    content = Content()
    position = 0
    while position < len(data):
        found = read_record(data, position, segment_id)
        if found is None:
            break
        content.records.append(found)
        position = found.stop
    for later in find_records(data, position, segment_id):
        if later.synced_bytes > position:  # and so it was acknowledged
            content.unreadable = (position, len(data))
            break
    return content
