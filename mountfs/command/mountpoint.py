"""May something be mounted there? Asked before anything is started, to answer in one line."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from mountfs.command.probe import MountState, ask
from mountfs.errors import MountError, UsageError
from mountfs.mounts import locate, read_mounts, top_mount_at

FUSE_DEVICE = "/dev/fuse"
FUSE_CONF = Path("/etc/fuse.conf")


def check_mountpoint(path: str) -> str:
    """Return *path* as an absolute path where a mount can be made. It need not be empty.

    Raises:
        MountError: it is missing, not a directory, or a mount of mountfs already.
    """
    located = locate(path)
    present = top_mount_at(located, read_mounts())
    if present is not None and present.is_ours:
        # Not a word to the mount itself from this process: it may hang.
        if ask([located])[0].state is MountState.STALE:
            raise MountError(
                f"{located}: a mount of {present.source} was left behind by a process that is gone;"
                f" clear it with: mountfs umount {located}"
            )
        raise MountError(
            f"{located}: {present.source} is mounted here already; "
            f"unmount it with: mountfs umount {located}"
        )
    try:
        is_directory = stat.S_ISDIR(os.stat(located).st_mode)
    except FileNotFoundError:
        raise MountError(
            f"mountpoint {located} does not exist; create it with: mkdir -p {located}"
        ) from None
    except OSError as error:
        raise MountError(f"mountpoint {located} cannot be used: {error.strerror}") from error
    if not is_directory:
        raise MountError(f"mountpoint {located} is not a directory; choose or create one")
    return located


def check_cache_dir(path: str) -> None:
    """Check that the staging directory is not in the cloud itself.

    Raises:
        UsageError: it lies on a mount of mountfs.
    """
    for mount in read_mounts():
        if mount.is_ours and Path(path).is_relative_to(mount.mountpoint):
            raise UsageError(
                f"--cache-dir: {path!r} lies on {mount.mountpoint}, a mount of {mount.source}; "
                "choose a directory on a local disk"
            )


def check_host(
    *, allow_other: bool, device: str = FUSE_DEVICE, fuse_conf: Path = FUSE_CONF
) -> None:
    """Check what a mount needs of the host.

    Raises:
        MountError: something is missing; the message says what installs or permits it.
    """
    if shutil.which("fusermount3") is None:
        raise MountError(
            "fusermount3 is missing: install the package fuse3 (Debian: apt-get install fuse3)"
        )
    if not os.path.exists(device):
        raise MountError(
            f"{device} is missing: load the kernel module (modprobe fuse), or give it to the "
            "container (--device /dev/fuse --cap-add SYS_ADMIN)"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise MountError(
            f"{device} is closed to this user: as root, chmod 666 {device} (its usual mode), or "
            "mount as root"
        )
    if allow_other and os.getuid() != 0 and not _is_allow_other_permitted(fuse_conf):
        raise MountError(
            f"--allow-other is only for root unless {fuse_conf} has a line user_allow_other"
        )


def _is_allow_other_permitted(fuse_conf: Path) -> bool:
    try:
        lines = fuse_conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)
