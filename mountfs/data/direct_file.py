"""Writing past the kernel's page cache.

What is synced at once only pays for the cache: the copy, fresh pages, their write-back. Measured, a
sync of four files of 100 KB takes 0.5 ms instead of 1.6, and 0.2 ms of the processor instead of
1.3. Who reads it back, as an upload does once, waits for the disk: 0.2 ms for 100 KB.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
from typing import TYPE_CHECKING

from mountfs.data.staging_file import write_fully

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

ALIGNMENT_BYTES = 4096
"""Of places and lengths; enough for every disk whose logical blocks are not larger than a page."""

BUFFER_BYTES = 1024 * 1024
"""What one system call writes. The kernel wants memory that is aligned, too, so all bytes are
copied to here; the copy of what was just written by an application costs little."""


class DirectFile:
    """A second way into a file that is open already; not for several threads at once.

    Args:
        fd: opened with ``O_DIRECT``.
        buffer: of `BUFFER_BYTES`, and aligned.
    """

    __slots__ = ("_buffer", "_fd")

    def __init__(self, fd: int, buffer: mmap.mmap) -> None:
        self._fd = fd
        self._buffer = buffer

    def write(self, views: Iterable[memoryview], offset: int) -> None:
        """Write all of *views* from *offset* on; both are multiples of `ALIGNMENT_BYTES`.

        Nothing of the page cache is in the way: what lies in the same blocks is overwritten.

        Raises:
            OSError: no room, or a disk that fails; part of it may be written. EINVAL: not here.
        """
        with memoryview(self._buffer) as buffer:
            filled = 0
            for view in views:
                done = 0
                while done < len(view):
                    count = min(len(view) - done, BUFFER_BYTES - filled)
                    buffer[filled : filled + count] = view[done : done + count]
                    done += count
                    filled += count
                    if filled == BUFFER_BYTES:
                        offset = write_fully(self._fd, (buffer,), offset)
                        filled = 0
            write_fully(self._fd, (buffer[:filled],), offset)

    def close(self) -> None:
        """Close it; the other way stays open, and its sync tells of errors."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def open_direct(path: Path) -> DirectFile | None:
    """Open the existing file *path*; None where that cannot be, for whatever reason."""
    try:
        buffer = mmap.mmap(-1, BUFFER_BYTES)
        return DirectFile(os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC), buffer)
    except OSError as error:
        log.info("%s: cannot be opened to be written past the page cache: %s", path, error)
        return None
