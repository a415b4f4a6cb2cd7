"""A file in the staging directory: bytes of a draft that have no room in memory."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import trio

from mountfs.data.staging_folder import TEMPORARY_PREFIX, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mountfs.objects import Body

IOV_MAX = 1024
"""How many buffers one system call takes (Linux)."""


class StagingFile:
    """A file of the staging directory, open for reading and writing.

    Without a name nothing of it is left when it is closed, or the process dies. Where the file
    system knows no files without a name it has a temporary one, which the next mount removes.

    Attributes:
        fd: for whoever blocks in a thread of his own; valid until `close`.
        name: the last part of the path, once `keep` gave it one; else empty.
    """

    __slots__ = ("_folder", "_limiter", "_temporary_name", "fd", "name")

    def __init__(
        self, fd: int, folder: Path, limiter: trio.CapacityLimiter, *, temporary_name: str = ""
    ) -> None:
        self.fd = fd
        self.name = ""
        self._folder = folder
        self._limiter = limiter
        self._temporary_name = temporary_name

    @property
    def path(self) -> Path:
        """Where it is; only of a file that was kept."""
        assert self.name, "a file without a name has no path"
        return self._folder / self.name

    async def write(self, offset: int, body: Body) -> None:
        """Write all of *body* from *offset* on.

        The caller does not change the buffers meanwhile.

        Raises:
            OSError: no room (`ENOSPC`, `EDQUOT`, `EFBIG`) or a disk that fails; part of it may be
                written.

        Cancellation: waits for the disk.
        """
        await self._run(write_fully, self.fd, body, offset)

    async def read(self, start: int, stop: int) -> bytearray:
        """Return the bytes ``[start, stop)``; holes read as zeros.

        Raises:
            OSError: the disk failed, or the file ends before *stop*.

        Cancellation: waits for the disk.
        """
        data = bytearray(stop - start)
        await self._run(read_fully, self.fd, data, start)
        return data

    async def sync(self) -> None:
        """Make the bytes survive a loss of power; of a kept file its name, too.

        Raises:
            OSError: the disk failed.
        """
        await self._run(os.fdatasync, self.fd)
        if self.name:
            await self._run(sync_directory, self._folder)

    async def keep(self, name: str) -> None:
        """Give the file the name *name*, so that it outlives the process; `sync` makes that last.

        Raises:
            OSError: the name is taken, or the directory cannot be changed.
        """
        assert not self.name, "a file is kept once"
        target = self._folder / name
        if self._temporary_name:
            await self._run(os.rename, self._folder / self._temporary_name, target)
            self._temporary_name = ""
        else:
            await self._run(_name_anonymous, self.fd, target)
        self.name = name

    async def unkeep(self) -> None:
        """Undo `keep`.

        Raises:
            OSError: the directory cannot be changed.
        """
        # Not just removed: a file that had a name and lost it cannot get another one.
        temporary_name = TEMPORARY_PREFIX + self.name
        await self._run(os.rename, self._folder / self.name, self._folder / temporary_name)
        self.name, self._temporary_name = "", temporary_name

    async def close(self) -> None:
        """Close it; unless it was kept, nothing of it is left. Never raises.

        Cancellation: shielded.
        """
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        with trio.CancelScope(shield=True):
            await self._run(self._close_blocking, fd)

    def _close_blocking(self, fd: int) -> None:
        try:
            os.close(fd)  # of a large file without a name it frees the blocks, which takes time
            if self._temporary_name:
                os.unlink(self._folder / self._temporary_name)
        except OSError:
            pass  # it is gone, or the next mount removes it

    async def _run(self, call: Callable[..., object], *args: object) -> None:
        await trio.to_thread.run_sync(call, *args, limiter=self._limiter)


def make_anonymous_file(folder: Path, temporary_name: str) -> tuple[int, str]:
    """Create a file without a name; return it and, where that cannot be, its temporary name.

    Blocks on the disk.

    Raises:
        OSError: the directory cannot be changed, or the disk is full.
    """
    mode = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, mode | os.O_TMPFILE, 0o600), ""
    except OSError as error:
        # EISDIR: a kernel older than the flag. EINVAL, ENOENT: seen from network file systems.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            raise
    assert temporary_name.startswith(TEMPORARY_PREFIX)
    return os.open(folder / temporary_name, mode | os.O_CREAT | os.O_EXCL, 0o600), temporary_name


def write_fully(fd: int, body: Body, offset: int) -> int:
    """Write all of *body* from *offset* on; return where it ends. Blocks on the disk.

    Raises:
        OSError: no room, or a disk that fails; part of it may be written.
    """
    views = [view for view in map(_as_bytes, body) if len(view)]
    index = 0
    while index < len(views):
        written = os.pwritev(fd, views[index : index + IOV_MAX], offset)
        if written == 0:
            raise OSError(errno.EIO, "the disk takes nothing")
        offset += written
        while index < len(views) and written >= len(views[index]):
            written -= len(views[index])
            index += 1
        if written:
            views[index] = views[index][written:]
    return offset


def read_fully(fd: int, data: bytearray | memoryview, offset: int) -> None:
    """Fill *data* with what stands at *offset*. Blocks on the disk.

    Raises:
        OSError: the disk failed, or the file is shorter.
    """
    view = memoryview(data)
    while len(view):
        count = os.preadv(fd, [view], offset)
        if count == 0:
            raise OSError(errno.EIO, f"the file ends at {offset}, {len(view)} bytes too early")
        offset += count
        view = view[count:]


def _name_anonymous(fd: int, target: Path) -> None:
    # Through /proc, since linkat with an empty path needs a privilege. Python follows the symbolic
    # link there only if it is given a directory, which an absolute path makes meaningless.
    os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)


def _as_bytes(piece: bytes | bytearray | memoryview) -> memoryview:
    return memoryview(piece).cast("B")
