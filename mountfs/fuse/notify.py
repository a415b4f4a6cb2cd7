"""What the kernel is told unasked: to forget names, or pages.

Only optimisations: the kernel's caches expire, and its pages go when memory is short.
"""

from __future__ import annotations

import logging
import os

import trio

from mountfs.fuse import abi

log = logging.getLogger(__name__)

NOTIFY_SECONDS = 1.0
"""A notification takes microseconds, unless a request on the same directory waits for the store."""

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

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Make the kernel ask again for *name* in *parent*.

        In a thread and not for long, since the kernel may hold the notification back until a
        request on *parent* has been answered.
        """
        message = abi.INVAL_ENTRY_OUT.pack(parent, len(name), 0) + name + b"\0"

        def notify() -> None:
            self._send(abi.NotifyCode.INVAL_ENTRY, message)

        with trio.move_on_after(NOTIFY_SECONDS):
            await trio.to_thread.run_sync(notify, abandon_on_cancel=True, limiter=self._limiter)

    def drop_pages(self, inode: int, start: int, stop: int) -> None:
        """Make the kernel forget its pages of ``[start, stop)``.

        The kernel waits for pages that are locked, and a page is locked while a READ or WRITE of it
        waits for an answer of ours. So nobody may have *inode* open to read, and what is being
        written must lie elsewhere; then it takes a tenth of a millisecond for 2 MiB. In a thread
        it could be held back without a loop that stands still, but a thread that hangs in there
        keeps the connection open when the process is killed, and all users of the mount with it.
        """
        message = abi.INVAL_INODE_OUT.pack(inode, start, stop - start)
        self._send(abi.NotifyCode.INVAL_INODE, message)

    def _send(self, code: abi.NotifyCode, message: bytes) -> None:
        header = abi.OUT_HEADER.pack(abi.OUT_HEADER.size + len(message), code, 0)
        try:
            os.write(self._device, header + message)
        except OSError as error:  # ENOENT: the kernel does not know it; nothing to do
            log.debug("the kernel did not take a notification: %s", error)
