"""``mountfs umount``: unmount, say who is in the way, wait for the mount process to end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.command.holders import Holder, find_holders
from mountfs.command.presence import connect, find_pid
from mountfs.command.probe import MountState, ask
from mountfs.command.wait_for_end import Ending
from mountfs.errors import BusyError, MountError
from mountfs.fuse.device import unmount_device
from mountfs.mounts import Mount, locate, read_mounts, top_mount_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.command.progress import Display


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmounted:
    """What became of the mount process.

    Attributes:
        holders: who still uses the detached mount; the process goes on for them.
        is_unseen: the process could not be found, so nobody has waited for its end.
    """

    holders: tuple[Holder, ...]
    is_unseen: bool


def unmount(mountpoint: str, *, is_lazy: bool, display: Display) -> Unmounted:
    """Unmount what mountfs has mounted there; return when the mount process has ended.

    That takes as long as it takes to publish everything. A mount whose process is gone is cleared,
    whoever uses it: there is nothing behind it any more. A process that lives and cannot be found
    (see `mountfs.command.presence`) is not waited for.

    Args:
        mountpoint: as the user wrote it.
        is_lazy: detach even if it is in use; then the mount process is not waited for: it ends when
            its users do.
        display: where to show what is left.

    Raises:
        BusyError: it is in use; the message names by whom.
        MountError: nothing of ours is mounted there, or the mount process hangs.
        NotPublishedError: it is unmounted, and something was not published.
        KeyboardInterrupt: nobody waits any more; what the mount process does is not affected.
    """
    located = locate(mountpoint)
    mounts = read_mounts()
    mount = top_mount_at(located, mounts)
    if mount is None or not mount.is_ours:
        raise MountError(_not_mounted(located, mount, mounts))
    with contextlib.ExitStack() as stack:
        # Before the unmount: behind it, nothing leads to the process any more.
        server = connect(mount.device)
        ending = None if server is None else stack.enter_context(Ending(server, display))
        holders = find_holders(mount, mounts) if is_lazy else []
        try:
            is_stale = server is None and _is_stale(mount, None)
            unmount_device(located, lazy=is_lazy or is_stale)
        except BusyError as error:
            holders = find_holders(mount, mounts)
            raise BusyError(f"{located} is in use{describe_holders(holders)}") from error
        if ending is not None and not holders:
            ending.wait()
    return Unmounted(holders=tuple(holders), is_unseen=ending is None and not is_stale)


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


def clear_leftover(mountpoint: str) -> None:
    """Detach what is mounted at *mountpoint* if it is ours and no process serves it any more."""
    mount = top_mount_at(mountpoint, read_mounts())
    if mount is not None and mount.is_ours and _is_stale(mount, find_pid(mount.device)):
        with contextlib.suppress(MountError):
            unmount_device(mountpoint, lazy=True)
