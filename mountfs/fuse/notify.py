"""What the kernel is told unasked: to forget names, or pages.

Only optimisations: the kernel's caches expire, and its pages go when memory is short. The kernel
may hold a notification back until a request on the same inode has been answered, so all of them
are sent by threads, and nobody waits for one for long.
"""

from __future__ import annotations

import logging
import os

import trio

from mountfs.fuse import abi

log = logging.getLogger(__name__)

NOTIFY_SECONDS = 1.0
"""A notification takes microseconds, unless a request on the same inode waits for the store."""

NOTIFY_THREADS = 4
"""Their own, so that notifications that are held back cannot keep `unmount` waiting."""


class Notifier:
    """Sends notifications through the FUSE device.

    Args:
        device: its descriptor.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._limiter = trio.CapacityLimiter(NOTIFY_THREADS)
        self._to_drop: dict[int, tuple[int, int]] = {}
        self._wake = trio.Event()

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Make the kernel ask again for *name* in *parent*."""
        await self._notify(
            abi.NotifyCode.INVAL_ENTRY,
            abi.INVAL_ENTRY_OUT.pack(parent, len(name), 0) + name + b"\0",
        )

    def drop_pages(self, inode: int, start: int, stop: int) -> None:
        """Let the kernel forget its pages of ``[start, stop)`` soon; does not wait."""
        begin, end = self._to_drop.get(inode, (start, stop))
        self._to_drop[inode] = min(begin, start), max(end, stop)
        self._wake.set()

    async def drop_forever(self) -> None:
        """Send what `drop_pages` is asked for, one after another."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._to_drop:
                inode, (start, stop) = self._to_drop.popitem()
                message = abi.INVAL_INODE_OUT.pack(inode, start, stop - start)
                await self._notify(abi.NotifyCode.INVAL_INODE, message)

    async def _notify(self, code: abi.NotifyCode, message: bytes) -> None:
        length = abi.OUT_HEADER.size + len(message)
        header = abi.OUT_HEADER.pack(length, code, 0)

        def send() -> None:
            try:
                os.write(self._device, header + message)
            except OSError as error:  # ENOENT: the kernel does not know it; nothing to do
                log.debug("the kernel did not take a notification: %s", error)

        with trio.move_on_after(NOTIFY_SECONDS):
            await trio.to_thread.run_sync(send, abandon_on_cancel=True, limiter=self._limiter)
