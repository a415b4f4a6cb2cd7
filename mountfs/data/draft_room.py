"""How a draft gets memory: from the budget, by waiting, or by moving to disk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mountfs.data.budget import Budget
    from mountfs.data.draft_content import DraftContent
    from mountfs.data.draft_spill import DraftSpill

log = logging.getLogger(__name__)


class Sender(Protocol):
    """Who sends the parts of a draft while it is being written."""

    @property
    def is_sending(self) -> bool:
        """Tell whether a part is on its way: its memory comes free without anybody's help."""
        ...

    @property
    def is_behind(self) -> bool:
        """Tell whether a writer should wait: more memory would not make the parts go faster."""
        ...

    async def wait_for_part(self) -> None:
        """Wait until a part that is on its way has ended, one way or the other."""
        ...


class DraftRoom:
    """Memory for the writes of one draft; one write at a time waits.

    Attributes:
        sender: as `Draft.sender`.
    """

    __slots__ = ("_block_bytes", "_budget", "_content", "_spill", "sender")

    def __init__(
        self, block_bytes: int, budget: Budget, content: DraftContent, spill: DraftSpill
    ) -> None:
        self.sender: Sender | None = None
        self._block_bytes = block_bytes
        self._budget = budget
        self._content = content
        self._spill = spill

    def reserve_if_room(self, size_bytes: int) -> bool:
        """Take *size_bytes* and return True, if that needs no waiting."""
        if size_bytes <= 0:
            return True
        if self.sender is not None and self.sender.is_behind:
            return False
        return self._budget.reserve_for_draft_if_room(size_bytes)

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
        sender = self.sender
        if sender is not None and sender.is_behind:
            await sender.wait_for_part()
            return False
        if sender is not None and sender.is_sending:
            return await self._budget.wait_for_draft_room(size_bytes, lambda: sender.is_sending)
        if self._content.held_bytes:
            try:
                if await self._spill.spill(max(size_bytes, self._block_bytes)):
                    return False
            except OSError:
                # A stream needs no disk, but for as long as its next part is not complete.
                if sender is None or self._content.held_bytes >= self._block_bytes:
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
        if self.sender is not None and self.sender.is_sending:
            return
        try:
            await self._spill.spill(self._content.held_bytes)
        except OSError as error:
            log.warning("cannot spill, so memory stays over its limit: %s", error)
