"""The order of the changes of a draft."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mountfs.data.draft_content import DraftContent
    from mountfs.data.draft_room import DraftRoom


class DraftGate:
    """Lets changes through one after another, in the order in which they came, while it is thawed.

    A change that does not have to wait may be made without it, if the gate is open.
    """

    __slots__ = ("_content", "_frozen", "_lock", "_room", "_thawed")

    def __init__(self, content: DraftContent, room: DraftRoom) -> None:
        self._content = content
        self._room = room
        self._frozen = 0
        self._thawed = trio.Event()
        self._lock = trio.StrictFIFOLock()

    @property
    def is_frozen(self) -> bool:
        """Tell whether all changes wait."""
        return self._frozen > 0

    @property
    def is_open(self) -> bool:
        """Tell whether a change may be made at once: none is waiting."""
        return not self._frozen and not self._lock.locked()

    def freeze(self) -> None:
        """Let all changes wait, until there were as many calls of `thaw`."""
        self._frozen += 1

    def thaw(self) -> None:
        """Undo one `freeze`."""
        assert self._frozen, "thawed more often than frozen"
        self._frozen -= 1
        if not self._frozen:
            self._thawed.set()
            self._thawed = trio.Event()

    @asynccontextmanager
    async def one_change(self) -> AsyncIterator[None]:
        """Wait for earlier changes, and until nothing is frozen; so it stays until an await."""
        async with self._lock:
            await self._wait_until_thawed()
            yield

    async def write(self, offset: int, data: memoryview, put: Callable[[], None]) -> None:
        """Call *put*, which writes *data*, as a change, once there is memory for it.

        Raises:
            OSError: there is neither memory nor disk.
        """
        async with self._lock:
            await self._put(offset, data, put, self._wait_until_thawed)

    @asynccontextmanager
    async def no_changes(self) -> AsyncIterator[None]:
        """Keep changes away; for what takes memory all the same, see `fill`."""
        async with self._lock:
            yield

    async def fill(self, offset: int, data: memoryview, put: Callable[[], None]) -> None:
        """Call *put*, which writes *data* but changes nothing to be seen, once there is memory.

        The caller is in `no_changes`.

        Raises:
            OSError: there is neither memory nor disk.
        """
        await self._put(offset, data, put, trio.lowlevel.checkpoint)

    async def _put(
        self,
        offset: int,
        data: memoryview,
        put: Callable[[], None],
        wait_before: Callable[[], Awaitable[None]],
    ) -> None:
        reserved = wanted = 0
        has_waited = False
        try:
            while True:
                await wait_before()
                wanted = self._content.growth_bytes(offset, offset + len(data)) - reserved
                if self._room.reserve_if_room(wanted):
                    reserved += max(wanted, 0)
                    break
                # After this it may be frozen, and may take more, or less.
                has_waited = True
                if await self._room.wait(wanted):
                    reserved += wanted
            # No await from here on: nothing is frozen, and this is how much it takes.
            put()
        except BaseException:
            self._room.release(reserved)
            raise
        self._room.release(max(-wanted, 0))
        if has_waited:
            # It is written: who is interrupted now must not be told that it is not.
            with trio.CancelScope(shield=True):
                await self._room.spill_if_short()

    async def _wait_until_thawed(self) -> None:
        while self._frozen:
            await self._thawed.wait()
