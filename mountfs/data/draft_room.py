"""How a draft gets memory: from the budget, by waiting, or by moving to disk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.data.budget import Budget
    from mountfs.data.draft_content import DraftContent
    from mountfs.data.draft_spill import DraftSpill

log = logging.getLogger(__name__)


class DraftRoom:
    """Memory for the writes of one draft; one write at a time waits.

    Attributes:
        expects_room: as `Draft.expects_room`.
    """

    __slots__ = ("_block_bytes", "_budget", "_content", "_spill", "expects_room")

    def __init__(
        self, block_bytes: int, budget: Budget, content: DraftContent, spill: DraftSpill
    ) -> None:
        self.expects_room: Callable[[], bool] | None = None
        self._block_bytes = block_bytes
        self._budget = budget
        self._content = content
        self._spill = spill

    def reserve_if_room(self, size_bytes: int) -> bool:
        """Take *size_bytes* and return True, if that needs no waiting."""
        return size_bytes <= 0 or self._budget.reserve_for_draft_if_room(size_bytes)

    def release(self, size_bytes: int) -> None:
        """Give back *size_bytes* that were not needed."""
        if size_bytes:
            self._budget.release_draft(size_bytes)

    async def wait(self, size_bytes: int) -> bool:
        """Do what can be done for *size_bytes*; True if they are reserved, False to look again.

        A draft that holds nothing gets them whatever the limit says, so that everybody goes on:
        what was written is spilled at once then, by `spill_if_short`. Beyond the limit there is, at
        any time, not more than what the calls in progress write.

        Raises:
            OSError: there is no memory, and the disk takes nothing.
        """
        if self.expects_room is not None and self.expects_room():
            return await self._budget.wait_for_draft_room(size_bytes, self.expects_room)
        if self._content.held_bytes:
            try:
                if await self._spill.spill(max(size_bytes, self._block_bytes)):
                    return False
            except OSError:
                # A stream needs no disk, but for as long as its next part is not complete.
                if self.expects_room is None or self._content.held_bytes >= self._block_bytes:
                    raise
        self._budget.reserve_for_draft(size_bytes)
        return True

    async def spill_if_short(self) -> None:
        """Spill what was just written, if it was more than there was room for.

        Nothing is lost where the disk does not take it: it stays in memory, and the next write
        that finds no room fails.
        """
        if not self._budget.is_short_for_drafts:
            return
        if self.expects_room is not None and self.expects_room():
            return
        try:
            await self._spill.spill(self._content.held_bytes)
        except OSError as error:
            log.warning("cannot spill, so memory stays over its limit: %s", error)
