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

    from mountfs.command.drain import Drain
    from mountfs.command.remains import Remains
    from mountfs.fuse.session import Session

log = logging.getLogger(__name__)

STDERR = 2

RETRY_SECONDS = 0.25
"""How often a busy mount is tried again; nobody notices a quarter of a second."""


class Stage(enum.Enum):
    """How far the end has come."""

    STARTING = "starting"
    SERVING = "serving"
    UNMOUNTING = "unmounting"
    DRAINING = "draining"
    ENDED = "ended"


class Shutdown:
    """Turns signals into the end of the mount.

    The first one unmounts, and then everything is published, as it is when somebody else unmounts.
    The second one ends both at once.

    Attributes:
        scope: what to run everything in; cancelled when the start is given up.
        serving: what to serve in; cancelled when the mount has to end without the kernel's help.
        exit_code: what the process should end with, as far as signals decide it.
    """

    def __init__(self, mountpoint: str, grace_seconds: float) -> None:
        self.scope = trio.CancelScope()
        self.serving = trio.CancelScope()
        self.exit_code = ExitCode.OK
        self._mountpoint = mountpoint
        self._grace_seconds = grace_seconds
        self._session: Session | None = None
        self._drain: Drain | None = None
        self._stage = Stage.STARTING
        self._is_told = False

    def attach(self, session: Session, drain: Drain) -> None:
        """Unmount *session* from now on, instead of giving up the start."""
        self._session = session
        self._drain = drain
        self._stage = Stage.SERVING

    @property
    def verdict(self) -> str:
        """What was not published and where it is; empty if all was."""
        return "" if self._drain is None else self._drain.verdict

    async def drain(self) -> None:
        """Publish what is left; to be called when nobody can change anything any more."""
        assert self._drain is not None
        self._stage = Stage.DRAINING
        await self._drain.run()
        self._stage = Stage.ENDED
        if self.verdict:
            self.exit_code = ExitCode.NOT_PUBLISHED

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
            else:
                await self._end(signal.Signals(number), nursery)

    async def _end(self, number: signal.Signals, nursery: trio.Nursery) -> None:
        """Take the next step towards the end."""
        name = number.name
        if self._session is None or self._drain is None:
            self.exit_code = ExitCode.INTERRUPTED
            self.scope.cancel()
            return
        # Whose terminal goes away while he waits has not decided to lose anything.
        is_again = self._is_told and number != signal.SIGHUP
        self._is_told = True
        if self._stage is Stage.SERVING:
            self._stage = Stage.UNMOUNTING
            self._log_dirty(name, self._drain.remains)
            nursery.start_soon(self._unmount_patiently, self._session)
        elif is_again and self._stage in (Stage.UNMOUNTING, Stage.DRAINING):
            log.warning("%s again: ending at once", name)
            self._drain.give_up()
            if self._stage is Stage.UNMOUNTING:
                await self._detach(self._session)
        elif self._stage is Stage.DRAINING:
            log.warning(
                "%s: %s still to be published; a second signal gives up",
                name,
                self._drain.remains.describe(),
            )

    def _log_dirty(self, name: str, remains: Remains) -> None:
        """Say what is lost if somebody loses patience: next comes SIGKILL, and no more words."""
        if remains.dirty_count:
            log.warning(
                "%s: unmounting; %s to be published, among them %s",
                name,
                remains.describe(),
                ", ".join(remains.dirty_paths),
            )
        else:
            log.info("%s: unmounting", name)

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
        """Take the mount out of the tree and stop serving, whoever uses it."""
        if self._stage is not Stage.UNMOUNTING:
            return
        self.exit_code = ExitCode.BUSY
        try:
            await trio.to_thread.run_sync(lambda: session.unmount(lazy=True))
        except MountError as error:
            log.warning("%s", error)
        self.serving.cancel()

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
