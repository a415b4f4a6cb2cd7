"""One locked folder of the staging directory: what one mount has on disk, or what it left there.

A folder belongs to the process that holds the lock on the file `lock` in it. The kernel releases
the lock when that process dies, however it dies, so whoever gets the lock of an existing folder has
found the leftovers of a mount that is gone. Nothing is ever touched in a folder whose lock somebody
else holds.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "lock"

TEMPORARY_PREFIX = "tmp-"
"""Files that mean nothing without the process that made them."""


class StagingFolder:
    """A folder whose lock we hold. All methods block on the disk.

    Attributes:
        path: where it is.
    """

    __slots__ = ("_lock_fd", "path")

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def remove_temporary_files(self) -> None:
        """Remove what only the process that made it could use.

        Raises:
            OSError: the directory cannot be changed.
        """
        for entry in list(os.scandir(self.path)):
            if entry.name.startswith(TEMPORARY_PREFIX):
                os.unlink(entry.path)

    def remove_if_empty(self) -> bool:
        """Remove the folder if nothing but its lock is in it; tell whether it is gone.

        Raises:
            OSError: the directory cannot be changed.
        """
        if os.listdir(self.path) != [LOCK_NAME]:
            return False
        # In this order: whoever opened the lock file before it went checks that it still has a
        # name (`_is_current`), and looks elsewhere.
        os.unlink(self.path / LOCK_NAME)
        os.rmdir(self.path)
        return True

    def release(self) -> None:
        """Give up the lock."""
        os.close(self._lock_fd)


def create_folder(path: Path) -> StagingFolder | None:
    """Create and lock the folder *path*; None if it exists already, or somebody was faster.

    Raises:
        OSError: it cannot be created.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return None
    sync_directory(path.parent)
    return lock_folder(path)


def lock_folder(path: Path) -> StagingFolder | None:
    """Lock the folder *path*; None if it is in use, or was removed meanwhile.

    Raises:
        OSError: it can be neither opened nor locked.
    """
    lock_path = path / LOCK_NAME
    try:
        # Opened for writing: NFS turns flock into a lock that asks for it.
        fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_current(fd, lock_path):
            return StagingFolder(path, fd)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def sync_directory(path: Path) -> None:
    """Make the names in the directory *path* survive a loss of power.

    Raises:
        OSError: the disk failed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_current(fd: int, path: Path) -> bool:
    """Tell whether *path* still names the file that *fd* has open."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
