"""One multipart upload: parts in flight, what the store has acknowledged, and the end of it.

Parts are sent by tasks in the publisher's nursery, so that an application goes on writing. The
first that fails ends the upload; whoever completes it gets that error. What was begun is either
completed or aborted, and stands in the record of uploads until then, so that a crash leaves nothing
in the bucket for longer than until the next mount.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from mountfs.errors import ObjectTooLargeError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.sending_room import SendingRoom
    from mountfs.objects import Body, ObjectHeaders, ObjectId, ObjectInfo, UploadedPart
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)


class UploadLog(Protocol):
    """Who remembers over a crash which uploads are ours."""

    def note_begun(self, key: str, upload_id: str) -> None:
        """Note that an upload has begun."""

    def note_ended(self, upload_id: str) -> None:
        """Note that an upload was completed or aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingPart:
    """A part to be sent.

    Attributes:
        number: from 1.
        size_bytes: of the part.
        memory_bytes: what sending it takes: CRT's copy, and what `collect` brings to memory.
        collect: fetches its bytes, which nobody changes until the part has been sent.
        acknowledge: called once the store has it.
    """

    number: int
    size_bytes: int
    memory_bytes: int
    collect: Callable[[], Awaitable[Body]]
    acknowledge: Callable[[], None] | None = None


class Upload:
    """A multipart upload of one object.

    Args:
        store: where to.
        room: memory for the parts in flight.
        uploads: remembers it over a crash.
        nursery: owns the parts in flight.
        key: of the object.
        headers: of the object.
    """

    def __init__(
        self,
        store: ObjectStore,
        room: SendingRoom,
        uploads: UploadLog,
        nursery: trio.Nursery,
        key: str,
        headers: ObjectHeaders,
    ) -> None:
        self.key = key
        self.error: Exception | None = None
        self._store = store
        self._room = room
        self._uploads = uploads
        self._nursery = nursery
        self._headers = headers
        self._upload_id = ""
        self._begin_lock = trio.Lock()
        self._begun: set[int] = set()
        """The numbers of all parts: in flight, or in `_parts`, or failed."""
        self._parts: dict[int, UploadedPart] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self._changed = trio.Event()
        self._is_over = False

    @property
    def in_flight(self) -> int:
        """How many parts are being sent or copied."""
        return len(self._scopes)

    @property
    def sent_bytes(self) -> int:
        """How much the store has acknowledged."""
        return sum(part.size_bytes for part in self._parts.values())

    def send_if_room(self, part: OutgoingPart) -> bool:
        """Begin to send *part* and return True, or return False: not now, or never.

        A part that was sent before is sent again.
        """
        if not self._may_begin(part.number, part.size_bytes) or self._is_busy:
            return False
        if not self._room.take_if_room(part.memory_bytes):
            return False
        return self._start_sending(part)

    async def send(self, part: OutgoingPart) -> None:
        """Begin to send *part* as soon as there is room; as `send_if_room`.

        Raises:
            StoreError, OSError: a part has failed, or the upload was aborted.

        Cancellation: it was not begun.
        """
        while self._is_busy and self.error is None:
            await self.wait_for_part()
        await self._room.take(part.memory_bytes)
        # No await from here on: the memory is the part's, or is given back.
        if not self._may_begin(part.number, part.size_bytes):
            self._room.give_back(part.memory_bytes)
        else:
            self._start_sending(part)
        self._require_going()

    def copy(self, number: int, source: ObjectId, start: int, stop: int) -> None:
        """Begin to let the store copy ``[start, stop)`` of *source* as part *number*."""

        async def transfer(upload_id: str) -> UploadedPart:
            return await self._store.copy_part(self.key, upload_id, number, source, start, stop)

        if self._may_begin(number, stop - start):
            self._start(number, transfer)

    async def wait_for_part(self) -> None:
        """Wait until one of the parts in flight has ended.

        Raises:
            StoreError: a part has failed.
        """
        if self._scopes and self.error is None:
            await self._changed.wait()
        if self.error is not None:
            raise self.error

    async def wait_for_all(self) -> None:
        """Wait until no part is in flight; raises as `send`."""
        while self._scopes:
            await self.wait_for_part()
        self._require_going()

    async def complete(self, expected_etag: str | None) -> ObjectInfo:
        """Wait for all parts and make them the object.

        Raises:
            StoreError: a part failed or is missing, the upload was aborted, or the store refused;
                the upload has been aborted then.
        """
        try:
            await self.wait_for_all()
            if len(self._parts) < len(self._begun):
                raise StoreUnavailableError(f"not all parts of {self.key!r} were sent")
            parts = [self._parts[number] for number in sorted(self._parts)]
            info = await self._store.complete_upload(
                self.key, self._upload_id, parts, expected_etag=expected_etag
            )
        except BaseException:
            await self.abort()
            raise
        self._is_over = True
        self._uploads.note_ended(self._upload_id)
        return info

    async def abort(self) -> None:
        """End it without an object; whatever goes wrong is logged and left to the next mount.

        Cancellation: shielded; the store's own deadline bounds it.
        """
        if self._is_over:
            return
        self._is_over = True
        with trio.CancelScope(shield=True):
            for scope in self._scopes.values():
                scope.cancel()
            while self._scopes:
                await self._changed.wait()
            if not self._upload_id:
                return
            try:
                await self._store.abort_upload(self.key, self._upload_id)
            except StoreError as error:
                log.warning(
                    "the upload %s of %r could not be aborted: %s", self._upload_id, self.key, error
                )
            else:
                self._uploads.note_ended(self._upload_id)

    @property
    def _is_busy(self) -> bool:
        """Tell whether the store has enough to do; never for the only part."""
        concurrency = self._store.concurrency
        # Parts that were just begun are not requests yet.
        is_full = concurrency.is_full or len(self._scopes) >= concurrency.limit
        return is_full and bool(self._scopes)

    def _may_begin(self, number: int, size_bytes: int) -> bool:
        """Tell whether a part may be begun; one beyond the limits of the store is a failure."""
        assert number not in self._scopes, "a part is sent by one task at a time"
        if self.error is None and (
            number > self._store.max_parts or size_bytes > self._store.max_part_bytes
        ):
            self._fail(ObjectTooLargeError(f"{self.key!r} is larger than an object may be"))
        return self.error is None and not self._is_over

    def _require_going(self) -> None:
        if self.error is not None:
            raise self.error
        if self._is_over:
            raise StoreUnavailableError(f"the upload of {self.key!r} was given up")

    def _start_sending(self, part: OutgoingPart) -> bool:
        async def transfer(upload_id: str) -> UploadedPart:
            body = await part.collect()
            return await self._store.upload_part(self.key, upload_id, part.number, body)

        return self._start(part.number, transfer, part)

    def _start(
        self,
        number: int,
        transfer: Callable[[str], Awaitable[UploadedPart]],
        part: OutgoingPart | None = None,
    ) -> bool:
        scope = trio.CancelScope()
        try:
            self._nursery.start_soon(self._run_part, number, scope, transfer, part)
        except RuntimeError:  # the nursery is closed
            if part is not None:
                self._room.give_back(part.memory_bytes)
            self._fail(StoreUnavailableError("the mount is being closed"))
            return False
        self._scopes[number] = scope
        self._begun.add(number)
        self._parts.pop(number, None)
        return True

    async def _run_part(
        self,
        number: int,
        scope: trio.CancelScope,
        transfer: Callable[[str], Awaitable[UploadedPart]],
        part: OutgoingPart | None,
    ) -> None:
        try:
            with scope:
                await self._begin()
                self._parts[number] = await transfer(self._upload_id)
        except (StoreError, OSError) as error:
            self._fail(error)
        except Exception as error:  # a bug must not end the mount
            log.exception("cannot send part %d of %r", number, self.key)
            self._fail(StoreUnavailableError(f"internal error: {error!r}"))
        finally:
            # No await to the end: whoever is woken finds the part ended, and its memory free.
            del self._scopes[number]
            if part is not None:
                self._room.give_back(part.memory_bytes)
                if number in self._parts and self.error is None and not self._is_over:
                    self._acknowledge(part)
            self._changed.set()
            self._changed = trio.Event()

    def _acknowledge(self, part: OutgoingPart) -> None:
        try:
            if part.acknowledge is not None:
                part.acknowledge()
        except Exception as error:  # a bug must not end the mount
            log.exception("part %d of %r was sent and cannot be noted", part.number, self.key)
            self._fail(StoreUnavailableError(f"internal error: {error!r}"))

    async def _begin(self) -> None:
        async with self._begin_lock:
            if not self._upload_id:
                # Cancelled between the store's answer and ours it would dangle unknown.
                with trio.CancelScope(shield=True):
                    upload_id = await self._store.create_upload(self.key, self._headers)
                self._upload_id = upload_id
                self._uploads.note_begun(self.key, upload_id)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            for scope in self._scopes.values():
                scope.cancel()
