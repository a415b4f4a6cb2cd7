"""Which of the kernel's pages are not worth their memory: those of a large file just written.

The kernel keeps every page that passes through `write`. A checkpoint would push the training data
out, and each of its pages would be memory that was used for something else before, or by nobody:
measured, saving 1 GiB took a quarter of the processor time more than it does with pages that are
used again at once. What is dropped is read from here, or from the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_BYTES = 32 * 1024 * 1024
"""Of a run that becomes no longer, all pages stay: what is small is often read again at once."""

STEP_BYTES = 2 * 1024 * 1024
"""They are dropped in steps of so much, and the last ones stay: twice what one request writes."""


class _Run:
    """What one handle writes in order; `dropped_to` is where the next step begins."""

    __slots__ = ("dropped_to", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.dropped_to = start


class WrittenPages:
    """Follows the writes of each handle, and drops pages behind those that go on for long.

    Args:
        drop: makes the kernel forget its pages of an inode, from here to there.
        is_alone: tells whether a handle only writes, and is the only one of its file. Whoever else
            has it open may want the pages, and may be waiting for one.
    """

    def __init__(
        self, drop: Callable[[int, int, int], None], is_alone: Callable[[int], bool]
    ) -> None:
        self._drop = drop
        self._is_alone = is_alone
        self._runs: dict[int, _Run] = {}

    def note_written(self, handle: int, inode: int, start: int, stop: int) -> None:
        """Note that ``[start, stop)`` of *inode* is being written through *handle*."""
        run = self._runs.get(handle)
        if run is None or start != run.stop:
            self._runs[handle] = _Run(start, stop)
            return
        run.stop = stop
        if stop - run.start > KEPT_BYTES and stop - run.dropped_to >= 2 * STEP_BYTES:
            # Whole steps, since a kernel may lock pages by blocks of so much.
            drop_to = (stop - STEP_BYTES) // STEP_BYTES * STEP_BYTES
            if self._is_alone(handle):
                self._drop(inode, run.dropped_to, drop_to)
            run.dropped_to = drop_to

    def forget(self, handle: int) -> None:
        """Note that nobody has *handle* any more."""
        self._runs.pop(handle, None)
