"""Opens the shard that comes next, so that its start has arrived when somebody reads it.

To open a shard on a mount and to wait for its first bytes takes a round trip or two to the store.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

START_BYTES = 4 << 20
"""The system is told that so much will be read. Less is no stream to a mount, which then does not
read ahead by itself; more makes what is read now wait. Measured: 1 MiB leaves most of the wait
at the beginning of a shard, 16 MiB gain nothing."""


class OpenedAhead:
    """At most one open file. Errors are nobody's: who reads the file meets them again."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._opened: Future[int] | None = None

    def open(self, path: str) -> None:
        """Open a file in the background and let its start be read; close the one before."""
        self.close()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "mountfs-ahead")
        self._opened = self._executor.submit(_open, path)

    def close(self) -> None:
        """Close what was opened, perhaps in the background. Idempotent."""
        opened, self._opened = self._opened, None
        if opened is not None and not opened.cancel():
            opened.add_done_callback(_close)


def _open(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe has no writer
    try:
        os.posix_fadvise(descriptor, 0, START_BYTES, os.POSIX_FADV_WILLNEED)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _close(opened: Future[int]) -> None:
    if opened.exception() is None:
        os.close(opened.result())
