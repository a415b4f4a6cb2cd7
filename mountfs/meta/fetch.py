"""LISTs: who shares which, and in which order they were sent.

A fetch belongs to the namespace's nursery, not to the task that asked for it first: that one may be
cancelled while others wait. What fails is reported to all who wait and is not remembered.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import trio

from mountfs.errors import StoreError, StoreUnavailableError, raise_again
from mountfs.meta.answer import apply_answer, read_page
from mountfs.meta.position import start_after
from mountfs.meta.sent_lists import SentLists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.config import MetadataConfig
    from mountfs.meta.hidden_keys import HiddenKeys
    from mountfs.meta.node import Directory
    from mountfs.objects import ListPage
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)

MAX_REFUSED_ANSWERS = 20
"""How often a page is asked for again because the directory was changed here meanwhile. No reason
for this number; a directory that changes 20 times within 20 LISTs each is not expected."""


class SentPage(NamedTuple):
    """A page with what is needed to tell how old it is.

    Attributes:
        page: what the store answered.
        sent_at: when the LIST was sent.
        sequence: its number; a LIST with a higher one was sent later.
    """

    page: ListPage
    sent_at: float
    sequence: int


class Flight:
    """One page of one directory, asked for or answered.

    Attributes:
        directory: what is listed.
        start: the position that the page begins at.
        stop: where the page ended; equal to *start* until it is there.
        sent_at: when the LIST was sent; None while it was not.
        hides: the page held keys that cannot be shown.
    """

    __slots__ = ("_error", "_landed", "directory", "hides", "sent_at", "start", "stop")

    def __init__(self, directory: Directory, start: bytes) -> None:
        self.directory = directory
        self.start = start
        self.stop = start
        self.sent_at: float | None = None
        self.hides = False
        self._landed = trio.Event()
        self._error: StoreError | None = None

    async def wait(self) -> None:
        """Wait until the answer has been applied.

        Raises:
            StoreError: the LIST failed.
        """
        await self._landed.wait()
        raise_again(self._error)

    def covers(self, position: bytes) -> bool:
        """Tell whether the answer says something of *position*."""
        return self.start <= position < self.stop

    def land(self, stop: bytes) -> None:
        """Note that the answer has been applied, and where it ended."""
        self.stop = stop
        self._landed.set()

    def crash(self, error: StoreError) -> None:
        """Note that there will be no answer."""
        if not self._landed.is_set():
            self._error = error
            self._landed.set()


class PageFetcher:
    """Sends LISTs and applies their answers; the same LIST is in flight only once.

    Args:
        config: the mount's prefix does not matter here, freshness and concurrency do.
        store: where to ask.
        nursery: owns the fetches.
        numbers: for new nodes.
        hidden: counts what cannot be shown.

    Attributes:
        sent: numbers the LISTs.
    """

    def __init__(
        self,
        config: MetadataConfig,
        store: ObjectStore,
        nursery: trio.Nursery,
        numbers: Iterator[int],
        hidden: HiddenKeys,
    ) -> None:
        self._config = config
        self._store = store
        self._nursery = nursery
        self.numbers = numbers
        self.hidden = hidden
        self.sent = SentLists()
        self._flights: dict[Directory, list[Flight]] = {}

    def flight_towards(
        self, directory: Directory, position: bytes, *, not_before: bytes = b"", is_forced: bool
    ) -> Flight | None:
        """Return the page in flight that is likeliest to cover *position*, if it may be used.

        A page that was asked for may be shared while its answer would be fresh; with *is_forced*,
        and with a TTL of 0, only while the LIST was not sent yet.

        Args:
            directory: what is listed.
            position: what is wanted of it.
            not_before: no page that begins earlier.
            is_forced: the answer must be newer than this call.
        """
        best: Flight | None = None
        now = trio.current_time()
        for flight in self._flights.get(directory, ()):
            if not not_before <= flight.start <= position:
                continue
            if flight.sent_at is not None and (
                is_forced or not self._config.ttl.is_fresh(flight.sent_at, now)
            ):
                continue
            if best is None or flight.start > best.start:
                best = flight
        return best

    def request(self, directory: Directory, start: bytes, *, is_forced: bool = False) -> Flight:
        """Ask for the page of *directory* that begins at *start*, or join who has."""
        if not self._config.lists_in_order:
            start = b""
        flight = self.flight_towards(directory, start, not_before=start, is_forced=is_forced)
        if flight is None:
            flight = Flight(directory, start)
            self._flights.setdefault(directory, []).append(flight)
            self._nursery.start_soon(self._fly, flight)
        return flight

    async def list_flat(self, prefix: str, after: str, *, sequence: int) -> SentPage:
        """Fetch the first page of keys behind *after* below *prefix*, without a delimiter.

        The caller has drawn its number with `SentLists.sending`, and leaves that when the page has
        been applied.
        """
        sent_at = trio.current_time()
        page = await self._store.list_page(prefix, start_after=after)
        while page.next_token and not page.objects:
            page = await self._store.list_page(prefix, start_after=after, token=page.next_token)
        return SentPage(page, sent_at, sequence)

    async def _fly(self, flight: Flight) -> None:
        try:
            flight.land(await self._fetch(flight))
        except StoreError as error:
            flight.crash(error)
        except Exception as error:  # a bug must not end the mount
            log.exception("cannot list %r", flight.directory.prefix)
            flight.crash(StoreUnavailableError(f"internal error: {error!r}"))
        finally:
            flight.crash(StoreUnavailableError("the mount is being closed"))
            flights = self._flights[flight.directory]
            flights.remove(flight)
            if not flights:
                del self._flights[flight.directory]

    async def _fetch(self, flight: Flight) -> bytes:
        """Fetch and apply the page of *flight*; return where it ended."""
        directory, start = flight.directory, flight.start
        for _ in range(MAX_REFUSED_ANSWERS):
            flight.sent_at = trio.current_time()
            with self.sent.sending() as sequence:
                prefix = directory.prefix  # another one, once the directory is moved
                after = prefix + start_after(start) if start else ""
                page = await self._store.list_page(prefix, delimiter="/", start_after=after)
                while True:
                    answer = read_page(
                        prefix,
                        page,
                        start=start,
                        sent_at=flight.sent_at,
                        sequence=sequence,
                        hidden=self.hidden,
                        is_root=directory.is_root,
                    )
                    if answer.stop > start:
                        break
                    # Nothing but keys between `after` and `start`, or (stores may) nothing at all.
                    page = await self._store.list_page(
                        prefix, delimiter="/", start_after=after, token=page.next_token
                    )
                if apply_answer(directory, answer, self.numbers) or directory.is_detached:
                    flight.hides = answer.hides
                    return answer.stop
        raise StoreUnavailableError(f"{directory.prefix!r} changes faster than it can be listed")
