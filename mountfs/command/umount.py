"""``mountfs umount``: unmount, say who is in the way, wait for the mount process to end."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from typing import TYPE_CHECKING

from mountfs.command.holders import Holder, find_holders
from mountfs.command.presence import find_pid
from mountfs.command.probe import MountState, ask
from mountfs.errors import BusyError, MountError
from mountfs.fuse.device import unmount_device
from mountfs.mounts import Mount, locate, read_mounts, top_mount_at

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

END_TIMEOUT_SECONDS = 30.0
"""The mount process gives the store 10 s to let go; somewhat more than that means that it hangs."""


def unmount(mountpoint: str, *, is_lazy: bool) -> list[Holder]:
    """Unmount what mountfs has mounted there; return when the mount process has ended.

    A mount whose process is gone is cleared, whoever uses it: there is nothing behind it any more.
    A process that lives and cannot be found (see `mountfs.command.presence`) is not waited for.

    Args:
        mountpoint: as the user wrote it.
        is_lazy: detach even if it is in use. Who uses it is returned, and then the mount process is
            not waited for: it ends when they do.

    Raises:
        BusyError: it is in use; the message names by whom.
        MountError: nothing of ours is mounted there, or the mount process did not end.
    """
    located = locate(mountpoint)
    mounts = read_mounts()
    mount = top_mount_at(located, mounts)
    if mount is None or not mount.is_ours:
        raise MountError(_not_mounted(located, mount, mounts))
    pid = find_pid(mount.device)
    process = _open_process(pid)
    try:
        holders = find_holders(mount, mounts) if is_lazy else []
        try:
            unmount_device(located, lazy=is_lazy or _is_stale(mount, pid))
        except BusyError as error:
            holders = find_holders(mount, mounts)
            raise BusyError(f"{located} is in use{describe_holders(holders)}") from error
        if process is None:
            log.debug("no process is known for %s: not waiting for its end", located)
        elif not holders:
            _wait_for_end(process, pid)
    finally:
        if process is not None:
            os.close(process)
    return holders


def describe_holders(holders: Sequence[Holder]) -> str:
    """Return who is in the way, to be appended to a sentence."""
    if not holders:
        return (
            " by a process that cannot be seen: another user's (try as root), or one that waits "
            "for the mount to answer; end it, or detach the mount with --lazy"
        )
    return " by " + "; ".join(map(str, holders)) + "; end them, or detach the mount with --lazy"


def _not_mounted(located: str, mount: Mount | None, mounts: Sequence[Mount]) -> str:
    ours = sorted({other.mountpoint for other in mounts if other.is_ours})
    known = f"mounts of mountfs: {', '.join(ours)}" if ours else "mountfs has no mounts here"
    found = "nothing is mounted there" if mount is None else f"that is a mount of type {mount.kind}"
    return f"{located} is not a mount of mountfs ({found}); {known}"


def _is_stale(mount: Mount, pid: int | None) -> bool:
    """Tell whether nothing serves *mount*; a process that is not known may still do."""
    return pid is None and ask([mount.mountpoint])[0].state is MountState.STALE


def _open_process(pid: int | None) -> int | None:
    if pid is None:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # it ended meanwhile
        return None


def _wait_for_end(process: int, pid: int | None) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(END_TIMEOUT_SECONDS * 1000):
        raise MountError(
            f"unmounted, but the mount process {pid} has not ended after {END_TIMEOUT_SECONDS:g} s;"
            f" its log says why (kill -USR1 {pid} makes it say what it is doing)"
        )


def clear_leftover(mountpoint: str) -> None:
    """Detach what is mounted at *mountpoint* if it is ours and no process serves it any more."""
    mount = top_mount_at(mountpoint, read_mounts())
    if mount is not None and mount.is_ours and _is_stale(mount, find_pid(mount.device)):
        with contextlib.suppress(MountError):
            unmount_device(mountpoint, lazy=True)
