"""One attempt to publish a generation, and what comes of it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from mountfs.data.pending import Pending, PendingState, SupersededError
from mountfs.data.pending_files import sort_out
from mountfs.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.journal import Journal
    from mountfs.data.pending_files import PendingFiles
    from mountfs.data.upload_queue import UploadQueue
    from mountfs.objects import ObjectInfo

    Publish = Callable[[Pending, Callable[[ObjectInfo], Awaitable[None]]], Awaitable[None]]
    """Makes one attempt to publish a generation under `Pending.key`, and calls its second argument
    with what the store has then, before it lets anybody else work on the key. May call
    `Pending.set_interruptible`. It is called again after whatever it raises, but for
    `SupersededError`."""

log = logging.getLogger(__name__)


class Attempts:
    """Publishes generations, and notes in the journal what became of them.

    Args:
        publish: makes the object.
        journal: is told.
        queue: tries again what has failed.
        files: is told, too.
    """

    def __init__(
        self, publish: Publish, journal: Journal, queue: UploadQueue, files: PendingFiles
    ) -> None:
        self._publish = publish
        self._journal = journal
        self._queue = queue
        self._files = files
        self._unnoted: list[tuple[Pending, str]] = []
        """What has ended, with the ETag, and the journal did not take it."""

    async def make(self, pending: Pending) -> None:
        """Try once to publish *pending*, and see to what comes then."""
        pending.attempts += 1
        pending.scope = trio.CancelScope()
        error: Exception | None = StoreUnavailableError("the upload was interrupted")
        with pending.scope:
            try:
                await self._publish(pending, partial(self._finish, pending))
                error = None
            except SupersededError:
                if not await self._forget_older(pending):
                    self._put_back(pending)
                return
            except (StoreError, OSError) as failure:
                error = failure
            except Exception as failure:  # a bug must neither end the mount nor lose the file
                log.exception("cannot publish %r", pending.key)
                error = StoreUnavailableError(f"internal error: {failure!r}")
        if error is not None and not pending.has_ended:
            await self._note_failure(pending, error)

    async def end(self, pending: Pending, etag: str = "") -> None:
        """Let the journal forget *pending*, and what was kept because the store may hold it.

        Args:
            pending: a generation.
            etag: of the object that it has become; empty if it has become none of its key.

        Raises:
            OSError: the journal did not take it.
        """
        if not etag:  # one that was published ends those by itself
            for older in pending.doubtful:
                await self._journal.end(older.number, "")
        await self._journal.end(pending.number, etag)

    async def note_again(self) -> None:
        """Let the journal know what it did not take before; what it still does not take waits.

        Otherwise what was published and removed since would come back with the next mount.
        """
        unnoted, self._unnoted = self._unnoted, []
        for pending, etag in unnoted:
            try:
                await self.end(pending, etag)
            except OSError:
                self._unnoted.append((pending, etag))

    async def _finish(self, pending: Pending, info: ObjectInfo) -> None:
        pending.info = info
        pending.error = None
        try:
            etag = info.etag if info.key == pending.key else ""  # it may be a conflict's copy
            await self.end(pending, etag)
            await self.note_again()
        except OSError as error:
            # It is in the bucket. After a crash a replay will look, and find the same bytes there.
            log.warning("the journal cannot note that %r was published: %s", pending.key, error)
            self._unnoted.append((pending, etag))
        self._files.note_published(pending)

    async def _note_failure(self, pending: Pending, error: Exception) -> None:
        was_stopped = pending.scope.cancelled_caught
        leaves_doubt = isinstance(error, StoreError) and error.leaves_doubt
        if not pending.is_interruptible and leaves_doubt:
            pending.may_have_landed = True
        pending.is_interruptible = False
        if not was_stopped:
            self._files.note_failure(pending, error)
        if self._queue.generations_of(pending.key)[-1] is not pending and (
            await self._forget_older(pending)
        ):
            return
        self._put_back(pending)

    def _put_back(self, pending: Pending) -> None:
        """Let *pending* be tried again, unless it is to be held back."""
        if pending.is_stopping:
            pending.is_stopping = False
            pending.set_state(PendingState.HELD)
        else:
            pending.set_state(PendingState.WAITING)
            self._queue.retry(pending)

    async def _forget_older(self, pending: Pending) -> bool:
        """Let *pending*, which nobody needs any more, end; tell whether the journal took it."""
        youngest = self._queue.generations_of(pending.key)[-1]
        is_useless = youngest is pending or not pending.may_have_landed
        try:
            if is_useless:
                await self.end(pending)
            else:
                for older in sort_out([pending])[1]:
                    await self._journal.end(older.number, "")
        except OSError as failure:
            log.warning("the journal cannot note the end of %r: %s", pending.key, failure)
            return False
        youngest = self._queue.generations_of(pending.key)[-1]
        if youngest is pending:
            self._files.forget(pending, PendingState.DROPPED)
        else:
            self._files.replace([pending], youngest)
        return True
