"""How a mount ends when it is told to: patiently at first, and at once the second time."""

from __future__ import annotations

import enum
import faulthandler
import logging
import signal
from typing import TYPE_CHECKING

import trio

from mountfs.command.exit_code import ExitCode
from mountfs.command.holders import Holder, find_holders
from mountfs.command.stacks import describe_stacks
from mountfs.errors import BusyError, MountError
from mountfs.mounts import read_mounts, top_mount_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.fuse.session import Session

log = logging.getLogger(__name__)

STDERR = 2

RETRY_SECONDS = 0.25
"""How often a busy mount is tried again; nobody notices a quarter of a second."""


class Stage(enum.Enum):
    """How far the end has come."""

    RUNNING = "running"
    UNMOUNTING = "unmounting"
    ENDED = "ended"


class Shutdown:
    """Turns signals into the end of the mount.

    Attributes:
        scope: what to run the mount in; cancelled when it has to end without the kernel's help.
        exit_code: what the process should end with, as far as signals decide it.
    """

    def __init__(self, mountpoint: str, grace_seconds: float) -> None:
        self.scope = trio.CancelScope()
        self.exit_code = ExitCode.OK
        self._mountpoint = mountpoint
        self._grace_seconds = grace_seconds
        self._session: Session | None = None
        self._stage = Stage.RUNNING

    def attach(self, session: Session) -> None:
        """Unmount *session* from now on, instead of giving up the start."""
        self._session = session

    async def watch_signals(
        self,
        *,
        is_foreground: bool,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Obey SIGTERM, SIGINT, in the foreground SIGHUP (the terminal is gone), and SIGUSR1."""
        # In the background, SIGHUP means "read your configuration again" to those who send it by
        # habit. There is none to read again, and it must not end the mount.
        with trio.open_signal_receiver(
            signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1
        ) as signals:
            # Before trio's handler, which needs a loop that turns, the threads' stacks go to stderr
            # (in the background that is the log file, if there is one) from within the signal
            # itself.
            faulthandler.register(signal.SIGUSR1, file=STDERR, chain=True)
            task_status.started()
            try:
                async with trio.open_nursery() as nursery:
                    await self._obey(signals, nursery, is_foreground)
            finally:
                faulthandler.unregister(signal.SIGUSR1)

    async def _obey(
        self, signals: AsyncIterator[int], nursery: trio.Nursery, is_foreground: bool
    ) -> None:
        async for number in signals:
            if number == signal.SIGUSR1:
                log.warning("asked by SIGUSR1 what is going on\n%s", describe_stacks())
            elif number == signal.SIGHUP and not is_foreground:
                log.info("SIGHUP: nothing to read again")
            elif self._session is None:
                self.exit_code = ExitCode.INTERRUPTED
                self.scope.cancel()
            elif self._stage is Stage.RUNNING:
                log.info("%s: unmounting", signal.Signals(number).name)
                self._stage = Stage.UNMOUNTING
                nursery.start_soon(self._unmount_patiently, self._session)
            elif self._stage is Stage.UNMOUNTING:
                log.warning("%s again: ending at once", signal.Signals(number).name)
                await self._detach(self._session)

    async def _unmount_patiently(self, session: Session) -> None:
        """Unmount as soon as nobody uses the mount; detach it when the grace period is over."""
        deadline = trio.current_time() + self._grace_seconds
        is_announced = False
        while self._stage is Stage.UNMOUNTING:
            try:
                # In a thread: it waits for the kernel, which may wait for us.
                await trio.to_thread.run_sync(lambda: session.unmount(lazy=False))
                return
            except BusyError:
                pass
            except MountError as error:
                log.warning("%s", error)
                break
            if not is_announced:
                is_announced = True
                await self._log_holders()
            if trio.current_time() >= deadline:
                log.warning("still in use after %g s: detaching", self._grace_seconds)
                break
            await trio.sleep(RETRY_SECONDS)
        await self._detach(session)

    async def _detach(self, session: Session) -> None:
        """Take the mount out of the tree and stop serving; who still uses it gets ENOTCONN."""
        if self._stage is Stage.ENDED:
            return
        self._stage = Stage.ENDED
        self.exit_code = ExitCode.BUSY
        try:
            await trio.to_thread.run_sync(lambda: session.unmount(lazy=True))
        except MountError as error:
            log.warning("%s", error)
        self.scope.cancel()

    async def _log_holders(self) -> None:
        holders = await trio.to_thread.run_sync(
            find_own_holders, self._mountpoint, abandon_on_cancel=True
        )
        for holder in holders:
            log.warning("%s is in use by %s", self._mountpoint, holder)
        log.warning(
            "%s is in use; waiting up to %g s (a second signal ends at once)",
            self._mountpoint,
            self._grace_seconds,
        )


def find_own_holders(mountpoint: str) -> list[Holder]:
    """Return who uses what is mounted there; reads /proc, which may wait for the mount."""
    mounts = read_mounts()
    mount = top_mount_at(mountpoint, mounts)
    return [] if mount is None else find_holders(mount, mounts)
