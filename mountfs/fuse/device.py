"""The mount itself: getting ``/dev/fuse`` mounted, and unmounted again.

``fusermount3`` does both, for root as for anybody else: it is set-uid, checks who may mount where,
and hands the open device back over a socket. So mounting needs no privilege and no compiled code
of ours.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass

from mountfs.errors import BusyError, MountError

SUBTYPE = "mountfs"
"""Makes the type in /proc/mounts ``fuse.mountfs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """What to mount where.

    Attributes:
        mountpoint: an absolute path.
        source: what /proc/mounts shows, e.g. ``s3://bucket/prefix``.
        allow_other: other users may enter the mount.
        read_only: the kernel refuses every change itself.
        options: further mount options for the kernel, e.g. ``noexec``.
    """

    mountpoint: str
    source: str
    allow_other: bool = False
    read_only: bool = False
    options: tuple[str, ...] = ()


def mount_device(config: SessionConfig) -> int:
    """Mount and return the file descriptor of the FUSE device, non-blocking and close-on-exec.

    Raises:
        MountError: fusermount3 is missing or refused; the message is its own.
    """
    program = shutil.which("fusermount3")
    if program is None:
        raise MountError(
            "fusermount3 is missing: install the package fuse3 (apt-get install fuse3)"
        )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [program, "-o", _mount_options(config), "--", config.mountpoint],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno()), "LC_ALL": "C"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip().replace("\n", "; ") or f"exit code {done.returncode}"
            raise MountError(f"cannot mount on {config.mountpoint}: {reason}")
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not fds:
        raise MountError(f"cannot mount on {config.mountpoint}: fusermount3 sent no device")
    device = fds[0]
    os.set_inheritable(device, False)
    os.set_blocking(device, False)
    return device


def unmount_device(mountpoint: str, *, lazy: bool) -> None:
    """Unmount; with *lazy*, detach at once and let open files end by themselves.

    Raises:
        BusyError: somebody uses the mount.
        MountError: fusermount3 refused.
    """
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", mountpoint]
    done = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.strip()
        # fusermount3 reports EBUSY in words only; LC_ALL makes them the ones to look for.
        kind = BusyError if "busy" in reason.lower() else MountError
        raise kind(f"cannot unmount {mountpoint}: {reason}")


def _mount_options(config: SessionConfig) -> str:
    source = config.source.replace("\\", "\\\\").replace(",", "\\,")
    options = [
        f"fsname={source}",
        f"subtype={SUBTYPE}",
        "nosuid",
        "nodev",
        "default_permissions",
        *config.options,
    ]
    if config.allow_other:
        options.append("allow_other")
    if config.read_only:
        options.append("ro")
    return ",".join(options)
