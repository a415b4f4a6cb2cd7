"""A range of one version of an object, in memory or on its way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from mountfs.data.read_ahead import Cursor
    from mountfs.data.reader import Reader


class Block:
    """The bytes ``[start, stop)``, filled by exactly one GET.

    In flight while both `data` and `error` are None. A block that failed is no longer in its
    reader; whoever waited for it gets the error, and the next read asks again.

    Attributes:
        reader: whose object it is a part of.
        cursor: on whose behalf it was fetched; None for what was requested at open.
        data: the bytes, once complete.
        error: why the fill failed.
        pins: readers that wait for it or are about to copy from it; never evicted meanwhile.
        served_bytes: how much of it was handed out.
        is_kept: do not drop it when it was read (the tail), only when memory is needed.
        scope: cancels the fill.
    """

    __slots__ = (
        "_event",
        "cursor",
        "data",
        "error",
        "is_kept",
        "pins",
        "reader",
        "scope",
        "served_bytes",
        "start",
        "stop",
    )

    def __init__(
        self, reader: Reader, start: int, stop: int, cursor: Cursor | None, *, is_kept: bool
    ) -> None:
        self.reader = reader
        self.start = start
        self.stop = stop
        self.cursor = cursor
        self.data: bytes | None = None
        self.error: Exception | None = None
        self.pins = 0
        self.served_bytes = 0
        self.is_kept = is_kept
        self.scope = trio.CancelScope()
        self._event: trio.Event | None = None

    @property
    def is_read_up(self) -> bool:
        """Tell whether all of it was handed out.

        The kernel sends the pieces of its read-ahead together and they may be served in any order,
        so the position of the reader does not tell.
        """
        return self.served_bytes >= self.stop - self.start

    @property
    def is_in_flight(self) -> bool:
        """Tell whether the fill is still under way."""
        return self.data is None and self.error is None

    async def wait_filled(self) -> None:
        """Wait until the fill ended, one way or the other."""
        if self.is_in_flight:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()

    def wake_waiters(self) -> None:
        """Let those go on who wait; `data` or `error` has been set."""
        if self._event is not None:
            self._event.set()
