"""``mountfs sync``: publish everything that was changed through a mount.

The kernel does not hand ``syncfs`` on to file systems like ours; an fsync of the root directory
is handed on, and means the same there.
"""

from __future__ import annotations

import errno
import os

from mountfs.errors import MountError, NotPublishedError
from mountfs.mounts import locate, read_mounts, top_mount_at


def sync(mountpoint: str) -> None:
    """Return when the bucket has everything, with write-back too.

    Raises:
        MountError: nothing of ours is mounted there, or it cannot be asked.
        NotPublishedError: something could not be published.
    """
    located = locate(mountpoint)
    mount = top_mount_at(located, read_mounts())
    if mount is None or not mount.is_ours:
        raise MountError(f"{located} is not a mount of mountfs; mountfs status lists them")
    try:
        root = os.open(located, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(f"{located} does not answer: {error.strerror}") from error
    try:
        os.fsync(root)
    except OSError as error:
        if error.errno in {errno.ENOTCONN, errno.ECONNABORTED}:
            raise MountError(f"{located} does not answer: {error.strerror}") from error
        raise NotPublishedError(
            f"{located}: not everything could be published: {error.strerror}; "
            f"mountfs status says which files and why"
        ) from error
    finally:
        os.close(root)
