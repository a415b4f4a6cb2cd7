"""What a draft keeps on disk: the staging file it spills to, and the one that it sealed.

Offsets in both are those of the file itself. Everything here waits for the disk in a thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

import trio

from mountfs.data.staging_file import read_fully, write_fully

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mountfs.data.staging_file import StagingFile

_COPY_BYTES = 64 * 1024 * 1024
"""How much one call copies from file to file."""

_KEEP_SIZE = 1
_PUNCH_HOLE = 2
"""Flags of fallocate(2)."""


class StagedBytes:
    """The files of one draft.

    Attributes:
        lock: held by whoever writes to the current file.
        current: where spilled bytes go; None before anything was spilled.
        sealed: what `Draft.persist` completed: it is read, and never written to again.
    """

    def __init__(self, open_staging: Callable[[], Awaitable[StagingFile]]) -> None:
        self.lock = trio.StrictFIFOLock()
        self.current: StagingFile | None = None
        self.sealed: StagingFile | None = None
        self._open_staging = open_staging
        self._reads = 0
        self._idle = trio.Event()

    async def write(self, chunks: Sequence[tuple[int, memoryview]]) -> None:
        """Write buffers to their places in the current file; the caller holds the lock.

        Raises:
            OSError: the disk did not take them; any of the places may have been written to.
        """
        file = await self.open()
        if chunks:
            await trio.to_thread.run_sync(_write_all, file.fd, chunks)

    async def read(self, ranges: Sequence[tuple[int, int, bool]]) -> list[bytearray]:
        """Read ranges: start, stop, and whether to read the sealed file.

        Raises:
            OSError: the disk did not give them.
        """
        wanted: list[tuple[int, int, int]] = []
        for start, stop, is_sealed in ranges:
            file = self.sealed if is_sealed else self.current
            assert file is not None, "bytes in a file that was never opened"
            wanted.append((file.fd, start, stop))
        self._reads += 1
        try:
            return await trio.to_thread.run_sync(_read_all, wanted)
        finally:
            self._reads -= 1
            if not self._reads:
                self._idle.set()
                self._idle = trio.Event()

    async def copy_sealed(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Copy ranges of the sealed file to the current one; the caller holds the lock.

        Raises:
            OSError: the disk did not do it; any of the places may have been written to.
        """
        if not ranges:
            return
        file = await self.open()
        assert self.sealed is not None, "bytes in a file that was never opened"
        await trio.to_thread.run_sync(_copy_all, self.sealed.fd, file.fd, ranges)

    async def punch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Give back the disk space of ranges of the current file, which are zeros then.

        The caller holds the lock.

        Raises:
            OSError: the disk did not do it.
        """
        if self.current is not None and ranges:
            await trio.to_thread.run_sync(_punch_all, self.current.fd, ranges)

    async def resize(self, size_bytes: int) -> None:
        """Give the current file its final size; the caller holds the lock.

        Raises:
            OSError: the disk did not do it.
        """
        file = await self.open()
        await trio.to_thread.run_sync(os.ftruncate, file.fd, size_bytes)

    async def open(self) -> StagingFile:
        """Return the current file, a new one if there is none; the caller holds the lock.

        Raises:
            OSError: there can be no staging file.
        """
        if self.current is None:
            self.current = await self._open_staging()
        return self.current

    def seal(self) -> tuple[StagingFile, StagingFile | None]:
        """Let the current file be the sealed one; return it, and the one that was, if any."""
        assert self.current is not None, "there is nothing to seal"
        replaced, self.sealed, self.current = self.sealed, self.current, None
        return self.sealed, replaced

    async def retire(self, file: StagingFile) -> None:
        """Close *file*, which nothing refers to any more, when nobody reads."""
        while self._reads:
            await self._idle.wait()
        await file.close()

    async def close(self) -> None:
        """Close both files, when nobody reads or writes.

        Cancellation: shielded; it waits for the disk only.
        """
        with trio.CancelScope(shield=True):
            async with self.lock:
                files = [self.current, self.sealed]
                self.current = self.sealed = None
                for file in files:
                    if file is not None:
                        await self.retire(file)


def _write_all(fd: int, chunks: Sequence[tuple[int, memoryview]]) -> None:
    """Write buffers to their places, those that follow each other together."""
    run: list[memoryview] = []
    begin = end = 0
    for start, data in chunks:
        if start != end:
            write_fully(fd, run, begin)
            run = []
            begin = end = start
        run.append(data)
        end += len(data)
    write_fully(fd, run, begin)


def _read_all(wanted: Sequence[tuple[int, int, int]]) -> list[bytearray]:
    """Read ranges: the file, start, stop."""
    found: list[bytearray] = []
    for fd, start, stop in wanted:
        found.append(bytearray(stop - start))
        read_fully(fd, found[-1], start)
    return found


def _copy_all(source: int, target: int, ranges: Sequence[tuple[int, int]]) -> None:
    for start, stop in ranges:
        while start < stop:
            start += _copy_some(source, target, start, min(stop - start, _COPY_BYTES))


def _copy_some(source: int, target: int, start: int, size: int) -> int:
    try:
        copied = os.copy_file_range(source, target, size, start, start)
    except OSError as error:
        # Between two file systems, or on one that cannot do it.
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        copied = 0
    if copied:
        return copied
    data = bytearray(min(size, 1024 * 1024))
    read_fully(source, data, start)
    write_fully(target, [data], start)
    return len(data)


def _punch_all(fd: int, ranges: Sequence[tuple[int, int]]) -> None:
    end = os.fstat(fd).st_size
    for start, stop in ranges:
        if start < min(stop, end):
            _punch(fd, start, min(stop, end) - start)


def _punch(fd: int, start: int, size: int) -> None:
    """Make a hole, or write zeros where the file system makes none."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is not None:
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if not fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, size):
            return
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code))
    zeros = memoryview(bytes(min(size, 1024 * 1024)))
    while size:
        write_fully(fd, [zeros[:size]], start)
        start += min(size, len(zeros))
        size -= min(size, len(zeros))
