"""One multipart upload: parts in flight, what the store has acknowledged, and the end of it.

Parts are sent by tasks in the publisher's nursery, so that an application goes on writing. The
first that fails ends the upload; whoever completes it gets that error. What was begun is either
completed or aborted, and stands in the record of uploads until then, so that a crash leaves nothing
in the bucket for longer than until the next mount.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import trio

from mountfs.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.budget import Budget
    from mountfs.objects import Body, ObjectHeaders, ObjectId, ObjectInfo, UploadedPart
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)


class UploadLog(Protocol):
    """Who remembers over a crash which uploads are ours."""

    def note_begun(self, key: str, upload_id: str) -> None:
        """Note that an upload has begun."""

    def note_ended(self, upload_id: str) -> None:
        """Note that an upload was completed or aborted."""


class Upload:
    """A multipart upload of one object.

    Args:
        store: where to.
        budget: for what CRT holds of a part while it sends it, besides the draft's own bytes.
        uploads: remembers it over a crash.
        nursery: owns the parts in flight.
        key: of the object.
        headers: of the object.
    """

    def __init__(
        self,
        store: ObjectStore,
        budget: Budget,
        uploads: UploadLog,
        nursery: trio.Nursery,
        key: str,
        headers: ObjectHeaders,
    ) -> None:
        self.key = key
        self.error: Exception | None = None
        self._store = store
        self._budget = budget
        self._uploads = uploads
        self._nursery = nursery
        self._headers = headers
        self._upload_id = ""
        self._begin_lock = trio.Lock()
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

    def may_send(self, size_bytes: int) -> bool:
        """Tell whether another part should be sent now; the only one always may."""
        if not self._scopes:
            return True
        return not self._store.concurrency.is_full and self._budget.has_room(size_bytes)

    def send(
        self,
        number: int,
        size_bytes: int,
        collect: Callable[[], Awaitable[Body]],
        acknowledge: Callable[[], None] | None = None,
    ) -> None:
        """Begin to send part *number*, again if it was sent before.

        Args:
            number: from 1.
            size_bytes: of the part.
            collect: fetches its bytes, which nobody changes until the part has been sent.
            acknowledge: called once the store has it.
        """

        async def transfer(upload_id: str) -> UploadedPart:
            self._budget.reserve(size_bytes)
            try:
                body = await collect()
                return await self._store.upload_part(self.key, upload_id, number, body)
            finally:
                self._budget.release(size_bytes)

        self._start(number, transfer, acknowledge)

    def copy(self, number: int, source: ObjectId, start: int, stop: int) -> None:
        """Begin to let the store copy ``[start, stop)`` of *source* as part *number*."""

        async def transfer(upload_id: str) -> UploadedPart:
            return await self._store.copy_part(self.key, upload_id, number, source, start, stop)

        self._start(number, transfer, None)

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
        """Wait until no part is in flight; raises as `wait_for_part`."""
        while self._scopes:
            await self.wait_for_part()

    async def complete(self, expected_etag: str | None) -> ObjectInfo:
        """Wait for all parts and make them the object.

        Raises:
            StoreError: a part failed, or the store refused; the upload has been aborted then.
        """
        try:
            await self.wait_for_all()
            if self.error is not None:
                raise self.error
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

    def _start(
        self,
        number: int,
        transfer: Callable[[str], Awaitable[UploadedPart]],
        acknowledge: Callable[[], None] | None,
    ) -> None:
        assert number not in self._scopes, "a part is sent by one task at a time"
        if self.error is None and not self._is_over:
            scope = self._scopes[number] = trio.CancelScope()
            self._nursery.start_soon(self._run_part, number, scope, transfer, acknowledge)

    async def _run_part(
        self,
        number: int,
        scope: trio.CancelScope,
        transfer: Callable[[str], Awaitable[UploadedPart]],
        acknowledge: Callable[[], None] | None,
    ) -> None:
        with scope:
            try:
                await self._begin()
                self._parts[number] = await transfer(self._upload_id)
            except (StoreError, OSError) as error:
                self._fail(error)
            except Exception as error:  # a bug must not end the mount
                log.exception("cannot send part %d of %r", number, self.key)
                self._fail(StoreUnavailableError(f"internal error: {error!r}"))
        # No await from here on: whoever is woken finds the part ended.
        del self._scopes[number]
        if number in self._parts and acknowledge is not None and self.error is None:
            acknowledge()
        self._changed.set()
        self._changed = trio.Event()

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
