"""What the next mount does with the journal of one that died: publish what was acknowledged.

Somebody else may have written to the bucket since. So each key is looked at first, and an object
that is neither what we last knew nor what we were about to put there is left alone: ours goes under
another name beside it. Of several generations of a key only the youngest is needed.

This mount may die, too. What it had in mind is in the journal before it is in the bucket.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from mountfs.data.conflict import conflict_keys
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
    from collections.abc import Awaitable, Callable, Iterator

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

MAX_LOOKS = 100
"""At what the store has for one file, in one attempt. Each but the first follows a write by
somebody else, unless the store's conditions do not work."""


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What became of the entries of a journal.

    Attributes:
        total: entries at the start.
        published: under their key, those included that were in the bucket already.
        replaced: a younger one of the same key has been published, or kept beside it.
        conflicts: key, and the key under which ours is now.
        failed: key, why, and where the bytes are.
    """

    total: int
    published: int = 0
    replaced: int = 0
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many have been dealt with."""
        return self.published + self.replaced + len(self.conflicts) + len(self.failed)


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


@dataclass(slots=True, kw_only=True)
class _Chain:
    """What is known of one key while its generations are published.

    Attributes:
        name: the key, as the journal had it at first.
        replaced: generations that the next one makes needless.
        published: what was put there since.
    """

    name: str
    replaced: list[JournalEntry]
    published: set[str] = field(default_factory=set)

    def known_etags(self, entry: JournalEntry) -> set[str | None]:
        """Return what *entry* may find there; None among them if that is not known."""
        return {old.expected_etag for old in (*self.replaced, entry)} | self.published


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
        """Publish the youngest whole generation of a key, and what builds on it, in order.

        What is behind one that fails waits, and so does what the failed one was to replace.
        """
        whole = [at for at, entry in enumerate(entries) if entry.record.generation.base is None]
        first = whole[-1] if whole else 0
        chain = _Chain(name=entries[0].key, replaced=entries[:first])
        try:
            for position, entry in enumerate(entries[first:], first):
                failure = await self._try(entry, chain)
                if failure is None:
                    self._note_replaced(chain)
                else:
                    for waiting in (*chain.replaced, *entries[position:]):
                        self._note_failure(waiting, failure)
                self._progress(self._report)
                if failure is not None:
                    break
        finally:
            limiter.release_on_behalf_of(entries[0])

    async def _try(self, entry: JournalEntry, chain: _Chain) -> Exception | None:
        delay = DELAY_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._play_one(entry, chain)
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

    async def _play_one(self, entry: JournalEntry, chain: _Chain) -> None:
        """Publish *entry* and note it.

        Raises:
            StoreError: it could not be published.
            OSError: its bytes could not be read, or the journal not be written.
        """
        draft = StoredDraft(self._journal, entry)
        names = conflict_keys(chain.name)
        for _ in range(MAX_LOOKS):
            found = await self._look_up(entry.key)
            # What is not there is nobody's: ours takes its place, whatever was there.
            if found is not None and found.etag not in (known := chain.known_etags(entry)):
                if await is_own_content(self._store, draft, found):
                    etag = found.etag  # it was published before the mount died
                    break
                if None not in known and not await self._is_older(chain, found):
                    await self._step_aside(entry, chain, names)
                    continue
            try:
                expected_etag = "" if found is None else found.etag
                etag = (await self._publish_if(draft, entry.key, expected_etag)).etag
            except BaseGoneError:
                raise
            except PreconditionFailedError:
                continue
            break
        else:
            raise StoreUnavailableError(f"{entry.key!r} never is what the store says it is")
        await self._end(entry, etag)
        chain.published.add(etag)
        if entry.key == chain.name:
            self._report.published += 1
        else:
            self._report.conflicts.append((chain.name, entry.key))

    async def _publish_if(self, draft: StoredDraft, key: str, etag: str) -> ObjectInfo:
        try:
            return await self._publish(draft, key, etag)
        except RequestRejectedError as error:
            if error.status != 501 and error.code != "NotImplemented":
                raise
        # A store without conditional writes. We have just looked.
        return await self._publish(draft, key, None)

    async def _is_older(self, chain: _Chain, found: ObjectInfo) -> bool:
        """Tell whether *found* is a generation of ours that *chain* replaces."""
        for old in chain.replaced:
            if await is_own_content(self._store, StoredDraft(self._journal, old), found):
                return True
        return False

    async def _step_aside(self, entry: JournalEntry, chain: _Chain, names: Iterator[str]) -> None:
        """Let *entry* be published beside what somebody else has put under its key.

        The journal knows the name first. Who died in between finds it there, and does not make
        another copy.
        """
        name = next(names, None)
        if name is None:
            raise StoreUnavailableError(f"no free name for our version of {chain.name!r}")
        numbers = tuple(old.number for old in chain.replaced)
        await self._journal.rename(entry.number, name, "", numbers)
        self._note_replaced(chain)
        log.warning(
            "%r was changed by somebody else after a mount that died had written it; both are "
            "kept, ours as %r",
            chain.name,
            name,
        )

    async def _end(self, entry: JournalEntry, etag: str) -> None:
        try:
            await self._journal.end(entry.number, etag)
        except OSError as error:
            log.warning("the journal cannot note that %r was published: %s", entry.key, error)

    async def _look_up(self, key: str) -> ObjectInfo | None:
        try:
            return await self._store.head(key)
        except ObjectNotFoundError:
            return None

    def _note_replaced(self, chain: _Chain) -> None:
        self._report.replaced += len(chain.replaced)
        chain.replaced = []

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
