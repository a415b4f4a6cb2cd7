"""The last thing that a mount does: publish what is left, and say how far it is."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from mountfs.command.remains import Remains

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.command.dirty import Drainable
    from mountfs.command.feed import Feed
    from mountfs.command.progress import Display

log = logging.getLogger(__name__)

TELL_SECONDS = 0.5
"""How often those who wait hear of it; a bar that moves twice a second looks alive."""


class Drain:
    """Waits until everything is published, or until somebody gives up.

    Attributes:
        verdict: after `run`, what was not published and where it is; empty if all was.
    """

    def __init__(self, source: Drainable, feed: Feed, display: Display) -> None:
        self.verdict = ""
        self._source = source
        self._feed = feed
        self._display = display
        self._scope = trio.CancelScope()

    @property
    def remains(self) -> Remains:
        """What is left now."""
        return Remains.of(self._source)

    def give_up(self) -> None:
        """End `run` at once, also if it has not begun yet."""
        self._scope.cancel()

    async def run(self) -> None:
        """Publish everything; there is no limit of time.

        A fault in doing so is logged and does not hide what is left.

        Cancellation: as `give_up`, without a verdict.
        """
        before = self.remains
        if before.count:
            log.info("publishing %s before the end", before.describe())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell)
                nursery.start_soon(self._show)
                with self._scope:
                    await self._source.drain()
                nursery.cancel_scope.cancel()
        except Exception as error:
            log.error("the changes that are left could not be published", exc_info=error)
        self._conclude(before)

    async def _tell(self) -> None:
        while True:
            self._feed.tell("publishing", self.remains)
            await trio.sleep(TELL_SECONDS)

    async def _show(self) -> None:
        """Show it in a thread: a terminal that is stopped must not stop the uploads."""
        try:
            while True:
                await _in_thread(self._display.show, self.remains)
                await trio.sleep(TELL_SECONDS)
        except OSError as error:  # the terminal is gone
            log.debug("progress cannot be shown any more: %s", error)
        finally:
            with trio.move_on_after(TELL_SECONDS, shield=True), suppress(OSError):
                await _in_thread(self._display.show, self.remains)
                await _in_thread(self._display.close)

    def _conclude(self, before: Remains) -> None:
        remains = self.remains
        if remains.count or remains.lost_count:
            self.verdict = remains.verdict(self._source.staging_path)
            # What is lost is an error; what only waits for the next mount is not.
            is_lost = remains.dirty_count or remains.lost_count
            level = logging.ERROR if is_lost else logging.WARNING
            log.log(level, "ending with %s", self.verdict)
        elif before.count:
            log.info("everything is published")
        self._feed.tell("ended", remains, self.verdict)


async def _in_thread(function: Callable[..., None], *arguments: object) -> None:
    await trio.to_thread.run_sync(lambda: function(*arguments), abandon_on_cancel=True)
