"""The second half of ``--write-back``: what a close made durable here goes to the bucket.

Uploads of one key are strictly in order; a younger generation takes the place of an older one that
was not started. Nothing is ever given up: what fails is tried again until it succeeds, is replaced
or is dropped, and what remains at the end is in the journal for the next mount.
"""

from __future__ import annotations

import errno
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from mountfs.data.pending import Pending, PendingState
from mountfs.data.pending_files import PendingFiles, sort_out
from mountfs.data.stored_draft import StoredDraft
from mountfs.data.upload_attempts import Attempts
from mountfs.data.upload_queue import UploadQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.data.generation import Generation
    from mountfs.data.journal import Journal
    from mountfs.data.staging_file import StagingFile
    from mountfs.data.upload_attempts import Publish
    from mountfs.objects import Body, ObjectInfo

log = logging.getLogger(__name__)


BUSY_SECONDS = 0.25
"""After a commit, how long another one is expected."""

RESTRAINED_FILES = 1000
RESTRAINED_BYTES = 256 * 1024 * 1024
"""While applications write, there is one more upload at a time for so many that wait. Uploads take
the processor from the commits, whose turn it is; but what is not uploaded takes disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackConfig:
    """How files are published in the background.

    Attributes:
        concurrency: how many at once.
        settle_seconds: how long a file rests before it is uploaded: a file that is written under a
            temporary name and renamed is then uploaded once and never copied, and one that is
            written several times in a row is uploaded once.
        warn_after_seconds: a file that is not published by then is logged as an error, each hour.
    """

    concurrency: int = 16
    settle_seconds: float = 1.0
    warn_after_seconds: float = 300.0


class WriteBack:
    """The files that are durable here and not in the bucket yet.

    A generation is known by its number, from `commit` on; numbers of what has ended are accepted
    everywhere.

    Attributes:
        files: those files, and the figures.
    """

    def __init__(
        self,
        config: WriteBackConfig,
        journal: Journal,
        publish: Publish,
    ) -> None:
        self._config = config
        self._journal = journal
        self._queue = UploadQueue(config.concurrency, self._restrained)
        self._committed_at = float("-inf")
        self.files = PendingFiles(self._queue, config.warn_after_seconds)
        self._attempts = Attempts(publish, journal, self._queue, self.files)

    # What the file system asks for.

    async def commit(
        self, generation: Generation, *, body: Body = (), file: StagingFile | None = None
    ) -> Pending:
        """Make *generation* durable here; it will be published, replaced or dropped.

        It takes the place of older ones of its key that are not being uploaded.

        Args:
            generation: what the object is to become.
            body: the bytes of its extents, one after the other; for at most
                `mountfs.data.journal.INLINE_BYTES`.
            file: instead of them a staging file that has each byte at its own offset; see
                `Journal.append`.

        Raises:
            OSError: it is not durable; older ones go on as if nothing had been asked.

        Cancellation: shielded; it waits for the disk only.
        """
        self._committed_at = trio.current_time()
        key = generation.key
        replaced = self.files.hold_for_successor(key)
        _, useless = sort_out(replaced)
        try:
            entry = await self._journal.append(
                generation,
                body=body,
                file=file,
                replaces=tuple(old.number for old in useless),
            )
        except BaseException:
            for old in replaced:
                self._queue.release(old)
            raise
        # No await to the end: the journal and this have to say the same.
        pending = Pending(entry, StoredDraft(self._journal, entry), trio.current_time())
        self.files.replace(replaced, pending)
        for older in self._queue.generations_of(key):
            pending.may_have_landed |= older.may_have_landed
        self.files.add(pending)
        self._queue.add(pending, self._config.settle_seconds)
        return pending

    async def rename(self, number: int, key: str, expected_etag: str | None = None) -> bool:
        """Let *number* be published as *key* instead; tell whether that is what will happen.

        It takes the place of what is pending for *key*. False means that it has been published
        under its old key, so that the object is to be renamed in the store: it was being uploaded,
        and that had to be waited for.

        Args:
            number: of the generation.
            key: the new one.
            expected_etag: as in `Generation`, of the new key.

        Raises:
            OSError: EBUSY, the store may have it under the old key; or the journal did not take
                it. Nothing has changed.

        Cancellation: nothing has changed.
        """
        pending = self.files.get(number)
        if pending is None:
            return False
        try:
            await self._stop_all(pending)
        except BaseException:
            self.release(number)
            raise
        if pending.has_ended:
            return False
        if pending.may_have_landed:  # what is at the old key only an upload that succeeds can tell
            self.release(number)
            raise OSError(errno.EBUSY, "the store does not tell whether it has it")
        old_key = pending.key
        pending.set_state(PendingState.HELD)
        pending.is_moving = True
        replaced = self.files.hold_for_successor(key)
        _, useless = sort_out(replaced)
        try:
            numbers = tuple(old.number for old in useless)
            await self._journal.rename(number, key, expected_etag, numbers)
        except BaseException:
            for old in (*replaced, *self._queue.generations_of(old_key)):
                self._queue.release(old)
            raise
        finally:
            pending.is_moving = False
        # No await to the end.
        self.files.replace(replaced, pending)
        self._queue.remove(pending, old_key)
        for old in self._queue.generations_of(old_key):
            self._queue.release(old)
        pending.set_state(PendingState.WAITING)
        self._queue.add(pending, self._config.settle_seconds)
        return True

    async def hold(self, number: int) -> bool:
        """Let nothing of *number*, nor of older ones of its key, go up until `release` or `drop`.

        Returns whether the store may hold it, so that the key has to be deleted there, too.

        Cancellation: it goes on.
        """
        pending = self.files.get(number)
        if pending is None:
            return True
        pending.is_moving = True
        try:
            await self._stop_all(pending)
        except BaseException:
            self.release(number)
            raise
        return pending.has_ended or pending.may_have_landed

    def release(self, number: int) -> None:
        """Take `hold` back."""
        pending = self.files.get(number)
        if pending is not None:
            pending.is_moving = False
            for each in self._queue.generations_of(pending.key):
                self._queue.release(each)

    async def drop(self, number: int) -> bool:
        """Give *number* up for good: the file was deleted.

        Returns whether the store may hold it, so that the key has to be deleted there, too.

        Raises:
            OSError: the journal did not take it; it will be published.

        Cancellation: it goes on.
        """
        pending = self.files.get(number)
        if pending is None:
            return True
        pending.is_moving = True
        try:
            await self._stop_all(pending)
            if pending.has_ended:
                return True
            await self._attempts.end(pending)
        except BaseException:
            self.release(number)  # older ones, too, which would stand in its way
            raise
        finally:
            pending.is_moving = False
        self.files.forget(pending, PendingState.DROPPED)
        for older in self._queue.generations_of(pending.key):
            self._queue.release(older)  # nobody needs it; the journal has not noted that
        return pending.may_have_landed

    async def wait_for(self, number: int, *, is_patient: bool = True) -> ObjectInfo | None:
        """Wait until *number*, or what has replaced it, is in the bucket; start it at once.

        Returns what was published; None if that was before, or if it was dropped.

        Raises:
            StoreError: an attempt was refused, and trying again may not mend it; unless patient,
                any attempt that failed. It goes on being tried.

        Cancellation: it goes on.
        """
        pending = self.files.get(number)
        if pending is None:
            return None
        last = await self._follow(pending, pending.attempts, is_patient=is_patient)
        if not last.has_ended and last.error is not None:
            raise last.error
        return last.info

    async def drain(self) -> list[Pending]:
        """Publish everything that is pending now; return what the store refuses.

        What cannot be published because the store does not answer is waited for.

        Cancellation: everything goes on.
        """
        waiting = [(pending, pending.attempts) for pending in self.files.all()]
        for pending, _ in waiting:
            if not pending.is_moving:
                self._queue.release(pending)
            self._queue.hasten(pending)
        followed = [await self._follow(pending, attempts) for pending, attempts in waiting]
        await self._attempts.note_again()
        return [pending for pending in followed if not pending.has_ended]

    # Behind it.

    async def _stop_all(self, pending: Pending) -> None:
        """Hold back *pending*; return when nothing of its key is under way.

        Older ones, whose uploads were under way when it came, have ended then.
        """
        for each in self._queue.generations_of(pending.key):
            await self._queue.stop(each)
            if each is pending:  # a younger one is not concerned
                break

    async def _follow(self, pending: Pending, attempts: int, *, is_patient: bool = True) -> Pending:
        """Wait until *pending*, or what has replaced it, has ended or is refused; return that one.

        A refusal (unless patient, any failure) counts after the first *attempts*.
        """
        while True:
            if pending.successor is not None:
                pending = pending.successor
                attempts = pending.attempts
            elif pending.has_ended:
                return pending
            elif pending.state is PendingState.WAITING:
                has_failed = pending.is_refused or (not is_patient and pending.error is not None)
                if has_failed and pending.attempts > attempts:
                    return pending
                if pending.attempts == attempts:
                    self._queue.hasten(pending)
                await pending.changed.wait()
            else:
                await pending.changed.wait()

    def _restrained(self) -> tuple[int, float]:
        """Leave the machine to applications while they write, the less the more is waiting."""
        room = 1 + len(self.files) // RESTRAINED_FILES + self.files.size_bytes // RESTRAINED_BYTES
        return room, self._committed_at + BUSY_SECONDS

    async def run_forever(self, nursery: trio.Nursery) -> None:
        """Upload what is due; `open_write_back` runs it."""
        await self._queue.run_forever(self._attempts.make, nursery)


@asynccontextmanager
async def open_write_back(
    config: WriteBackConfig,
    journal: Journal,
    publish: Publish,
) -> AsyncIterator[WriteBack]:
    """Provide the write-back of a mount.

    At the end uploads are cancelled; what was not published stays in the journal, for the next
    mount. `WriteBack.drain` waits for it.

    Args:
        config: how it is published.
        journal: has no entries yet.
        publish: makes one attempt to publish a generation.
    """
    write_back = WriteBack(config, journal, publish)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_back.run_forever, nursery)
        nursery.start_soon(write_back.files.watch_forever)
        try:
            yield write_back
        finally:
            nursery.cancel_scope.cancel()
