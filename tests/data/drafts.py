"""What the tests of drafts share: staging files, on a disk that may be full."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING
from unittest import mock

import trio

from mountfs.data import staged_bytes
from mountfs.data.draft import Draft
from mountfs.data.staging_file import StagingFile, write_fully

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.data.budget import Budget
    from mountfs.objects import Body


class Disk:
    """A folder for staging files.

    Attributes:
        is_full: writes take the first byte and fail.
        may_write: writes wait for it, in their threads.
        is_writing: set by each write that has begun.
        writes: how many there were.
        files: all that were opened.
    """

    def __init__(self, folder: Path) -> None:
        self.is_full = False
        self.may_write = threading.Event()
        self.may_write.set()
        self.is_writing = threading.Event()
        self.writes = 0
        self.files: list[StagingFile] = []
        self._folder = folder
        self._limiter = trio.CapacityLimiter(4)
        self._patch = mock.patch.object(staged_bytes, "write_fully", self._write)
        self._patch.start()

    async def open(self) -> StagingFile:
        """Open a new staging file."""
        await trio.lowlevel.checkpoint()
        fd = os.open(self._folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC)
        self.files.append(StagingFile(fd, self._folder, self._limiter))
        return self.files[-1]

    def stop(self) -> None:
        """Let writes be as they were; all files have been closed."""
        self._patch.stop()
        assert [-1] * len(self.files) == [file.fd for file in self.files]

    def _write(self, fd: int, body: Body, offset: int) -> int:
        self.is_writing.set()
        assert self.may_write.wait(10), "nobody let the disk write"
        self.writes += 1
        if self.is_full and any(map(len, body)):
            write_fully(fd, [b"\xee"], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_fully(fd, body, offset)


def draft_on(disk: Disk, budget: Budget, *, block_bytes: int = 16, base_bytes: int = 0) -> Draft:
    """Return a draft with small blocks."""
    return Draft(
        block_bytes=block_bytes, base_bytes=base_bytes, budget=budget, open_staging=disk.open
    )


async def no_base(start: int, stop: int) -> list[bytes]:
    """Fail, since nothing is to be read from a base."""
    raise AssertionError(f"[{start}, {stop}) is no base's")
