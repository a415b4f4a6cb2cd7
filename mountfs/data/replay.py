"""What the next mount does with the journal of one that died: publish what was acknowledged.

Somebody else may have written to the bucket since. So each key is looked at first, and an object
that is neither what we last knew nor what we were about to put there is left alone: ours goes under
another name beside it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from mountfs.data.conflict import publish_beside
from mountfs.data.own_content import is_own_content
from mountfs.data.stored_draft import StoredDraft
from mountfs.errors import (
    BaseGoneError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RequestRejectedError,
    StoreError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.journal import Journal
    from mountfs.data.journal_state import JournalEntry
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore

    Publish = Callable[[StoredDraft, str, str | None], Awaitable[ObjectInfo]]
    """Make an object of a draft, under a key, if the key holds what is expected."""

log = logging.getLogger(__name__)

CONCURRENCY = 16
"""Keys at once; as many as the write-back has by default."""

ATTEMPTS = 4
"""For one file, while the store does not answer; it has repeated each request by then. The mount
waits for this, and what remains is not lost."""

DELAY_SECONDS = 1.0
"""Before the second attempt; it doubles."""


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What became of the entries of a journal.

    Attributes:
        total: entries at the start.
        published: under their key, those included that were in the bucket already.
        conflicts: key, and the key under which ours is now.
        failed: key, why, and where the bytes are.
    """

    total: int
    published: int = 0
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many have been dealt with."""
        return self.published + len(self.conflicts) + len(self.failed)


async def replay_journal(
    journal: Journal,
    store: ObjectStore,
    publish: Publish,
    progress: Callable[[ReplayReport], None] = lambda report: None,
) -> ReplayReport:
    """Publish what is in *journal*, which belongs to a dead mount.

    May be called again for what has failed.

    Args:
        journal: opened in the folder of the dead mount.
        store: of the same bucket.
        publish: makes an object of a draft, with its headers and its base, under a key; raises
            `PreconditionFailedError` if the key holds something else than the expected etag ("" for
            nothing; None is not to be checked), `BaseGoneError` if the base is gone.
        progress: called after each file.

    Raises:
        OSError: the journal cannot be read.

    Cancellation: what was not published stays in the journal.
    """
    by_key: dict[str, list[JournalEntry]] = {}
    for entry in journal.entries.values():
        by_key.setdefault(entry.key, []).append(entry)
    report = ReplayReport(total=len(journal.entries))
    limiter = trio.CapacityLimiter(CONCURRENCY)
    player = _Player(journal, store, publish, report, progress)
    async with trio.open_nursery() as nursery:
        for entries in by_key.values():
            await limiter.acquire_on_behalf_of(entries[0])
            nursery.start_soon(player.play, entries, limiter)
    return report


class _Player:
    """Publishes the entries of one journal."""

    def __init__(
        self,
        journal: Journal,
        store: ObjectStore,
        publish: Publish,
        report: ReplayReport,
        progress: Callable[[ReplayReport], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self._publish = publish
        self._report = report
        self._progress = progress

    async def play(self, entries: list[JournalEntry], limiter: trio.CapacityLimiter) -> None:
        """Publish the generations of one key, in order; those behind one that fails wait, too."""
        try:
            failure: Exception | None = None
            for entry in entries:
                if failure is None:
                    failure = await self._try(entry)
                if failure is not None:
                    self._note_failure(entry, failure)
                self._progress(self._report)
        finally:
            limiter.release_on_behalf_of(entries[0])

    async def _try(self, entry: JournalEntry) -> Exception | None:
        delay = DELAY_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._play_one(entry)
            except StoreUnavailableError as error:
                if attempt == ATTEMPTS:
                    return error
                await trio.sleep(delay)
                delay *= 2
            except (StoreError, OSError) as error:
                return error
            else:
                break
        return None

    async def _play_one(self, entry: JournalEntry) -> None:
        """Publish *entry* and note it.

        Raises:
            StoreError: it could not be published.
            OSError: its bytes could not be read.
        """
        draft = StoredDraft(self._journal, entry)
        while True:
            found = await self._look_up(entry.key)
            etag = "" if found is None else found.etag
            if entry.expected_etag is not None and etag != entry.expected_etag:
                if found is not None and await is_own_content(self._store, draft, found):
                    break  # it was published before the mount died
                await self._keep_both(entry, draft)
                return
            try:
                etag = (await self._publish_if(draft, entry.key, etag)).etag
            except BaseGoneError:
                raise
            except PreconditionFailedError:
                continue
            break
        await self._end(entry, etag)
        self._report.published += 1

    async def _publish_if(self, draft: StoredDraft, key: str, etag: str) -> ObjectInfo:
        try:
            return await self._publish(draft, key, etag)
        except RequestRejectedError as error:
            if error.status != 501 and error.code != "NotImplemented":
                raise
        # A store without conditional writes. We have just looked.
        return await self._publish(draft, key, None)

    async def _keep_both(self, entry: JournalEntry, draft: StoredDraft) -> None:
        """Publish *entry* beside what somebody else has put under its key."""
        info = await publish_beside(entry.key, lambda key: self._publish_if(draft, key, ""))
        await self._end(entry, info.etag, is_elsewhere=True)
        self._report.conflicts.append((entry.key, info.key))
        log.warning(
            "%r was changed by somebody else after a mount that died had written it; both are "
            "kept, ours is now %r",
            entry.key,
            info.key,
        )

    async def _end(self, entry: JournalEntry, etag: str, *, is_elsewhere: bool = False) -> None:
        try:
            await self._journal.end(entry.number, "" if is_elsewhere else etag)
        except OSError as error:
            log.warning("the journal cannot note that %r was published: %s", entry.key, error)

    async def _look_up(self, key: str) -> ObjectInfo | None:
        try:
            return await self._store.head(key)
        except ObjectNotFoundError:
            return None

    def _note_failure(self, entry: JournalEntry, error: Exception) -> None:
        place = str(self._journal.place_of(entry))
        self._report.failed.append((entry.key, str(error), place))
        log.error(
            "%r (%d bytes), which a mount that died had acknowledged, cannot be published: %s; it "
            "stays in %s, and the next mount tries again",
            entry.key,
            entry.record.generation.size_bytes,
            error,
            place,
        )
