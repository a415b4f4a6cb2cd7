"""How a draft becomes an object: one PUT, or a multipart upload of what the store does not have.

Knows neither names nor inodes. The caller sees to it that the draft does not change meanwhile, and
that one key is published by one task at a time.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from mountfs.data.part_plan import CopyPart, plan_parts
from mountfs.data.sending_room import SendingRoom
from mountfs.data.stream import Stream
from mountfs.data.upload import OutgoingPart, Upload
from mountfs.errors import (
    BaseGoneError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mountfs.data.budget import Budget
    from mountfs.data.draft import Draft
    from mountfs.data.part_plan import Part
    from mountfs.data.upload import UploadLog
    from mountfs.objects import Body, ObjectHeaders, ObjectId, ObjectInfo
    from mountfs.store.protocol import ObjectStore

COPIES_IN_FLIGHT = 16
"""Of one object; no measurement behind it."""

_GONE = (PreconditionFailedError, ObjectNotFoundError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What to make of a draft.

    Attributes:
        key: of the object.
        headers: of the object.
        base: the version that the draft takes its untouched bytes from; None if it needs none.
        expected_etag: None to replace whatever is there, "" if nothing may be there, else what has
            to be.
    """

    key: str
    headers: ObjectHeaders
    base: ObjectId | None = None
    expected_etag: str | None = None


class Content(Protocol):
    """What an object is made of: a `Draft`, or what the journal has kept of one."""

    @property
    def size_bytes(self) -> int:
        """The size of the object."""
        ...

    @property
    def base_bytes(self) -> int:
        """How much of the base is visible, from 0 on, where nothing was written."""
        ...

    def extents(self) -> list[tuple[int, int]]:
        """Return the ranges that do not come from the base, nor are zeros behind it."""
        ...

    def bytes_to_load(self, start: int, stop: int) -> int:
        """Return how many of the bytes ``[start, stop)`` `collect` has to bring to memory."""
        ...

    async def collect(self, start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
        """Return the bytes ``[start, stop)``; they do not change."""
        ...


class Publisher:
    """Sends drafts to the store.

    Attributes:
        sent_bytes: the bytes of all drafts that were published, as far as they were sent.
        publish_count: objects made.
        failure_count: publishes that failed.
    """

    def __init__(
        self, store: ObjectStore, budget: Budget, uploads: UploadLog, nursery: trio.Nursery
    ) -> None:
        self.sent_bytes = 0
        self.publish_count = 0
        self.failure_count = 0
        self._store = store
        self._room = SendingRoom(budget)
        self._uploads = uploads
        self._nursery = nursery

    def begin_stream(self, draft: Draft, key: str, headers: ObjectHeaders) -> Stream:
        """Return a stream for *draft*; nothing is sent before its first part is complete."""
        return Stream(self._begin(key, headers), draft, self._store.part_size_bytes)

    async def publish(
        self,
        draft: Content,
        edition: Edition,
        set_interruptible: Callable[[bool], None] | None = None,
    ) -> ObjectInfo:
        """Make an object of *draft*.

        Args:
            draft: its content.
            edition: what to make of it.
            set_interruptible: told True while a cancellation cannot leave an object, and False
                before the request that makes it.

        Raises:
            PreconditionFailedError: the key holds something else than expected; nothing was
                changed.
            BaseGoneError: the version is gone of which it needs bytes; nothing was changed.
            ObjectTooLargeError: the store takes no such object.
            StoreError: the store could not take it; what was there is still there.
            OSError: the staging file could not be read.

        Cancellation: what was begun is aborted.
        """
        tell = set_interruptible or _tell_nobody
        tell(True)
        try:
            if draft.size_bytes <= self._store.part_size_bytes:
                info = await self._put(draft, edition, tell)
                self.sent_bytes += draft.size_bytes
            else:
                info = await self._upload(draft, edition, tell)
        except Exception:
            self.failure_count += 1
            raise
        self.publish_count += 1
        return info

    async def finish(self, stream: Stream, expected_etag: str | None) -> ObjectInfo:
        """Complete the object of *stream*.

        Raises:
            StoreError: as `Stream.finish` says.
        """
        try:
            info = await stream.finish(expected_etag)
        except Exception:
            self.failure_count += 1
            raise
        self.sent_bytes += info.size_bytes
        self.publish_count += 1
        return info

    async def copy(
        self, source: ObjectId, size_bytes: int, key: str, headers: ObjectHeaders | None
    ) -> ObjectInfo:
        """Let the store copy one version of an object to *key*, in parallel if it is large.

        Args:
            source: what to copy.
            size_bytes: of the source.
            key: where to.
            headers: None keeps those of the source.

        Raises:
            PreconditionFailedError: the source is another version by now.
            StoreError: as its subclasses say.
        """
        if size_bytes <= self._store.max_part_bytes:
            return await self._store.copy(source, key, headers, size_bytes=size_bytes)
        if headers is None:
            headers = (await self._store.head_details(source.key)).headers
        plan = self._plan(key, size_bytes, base_bytes=size_bytes, extents=())
        upload = self._begin(key, headers)
        try:
            for number, part in enumerate(plan, 1):
                await _copy_part(upload, number, source, part)
        except BaseException:
            await upload.abort()
            raise
        return await upload.complete(None)

    def _begin(self, key: str, headers: ObjectHeaders) -> Upload:
        return Upload(self._store, self._room, self._uploads, self._nursery, key, headers)

    async def _put(
        self, draft: Content, edition: Edition, tell: Callable[[bool], None]
    ) -> ObjectInfo:
        size_bytes = draft.size_bytes
        memory_bytes = size_bytes + draft.bytes_to_load(0, size_bytes)
        await self._room.take(memory_bytes)
        try:
            body = await draft.collect(0, size_bytes, self.base_reader(edition.base))
            await _leave_interruptible(tell)
            return await self._store.put(
                edition.key, body, edition.headers, expected_etag=edition.expected_etag
            )
        finally:
            self._room.give_back(memory_bytes)

    async def _upload(
        self, draft: Content, edition: Edition, tell: Callable[[bool], None]
    ) -> ObjectInfo:
        base = edition.base
        base_bytes = draft.base_bytes if base is not None else 0
        plan = self._plan(edition.key, draft.size_bytes, base_bytes, draft.extents())
        read_base = self.base_reader(base)
        upload = self._begin(edition.key, edition.headers)
        try:
            for number, part in enumerate(plan, 1):
                if isinstance(part, CopyPart):
                    assert base is not None, "only of a base there is something to copy"
                    await _copy_part(upload, number, base, part)
                else:
                    await upload.send(_outgoing(draft, number, part, read_base))
                    self.sent_bytes += part.stop - part.start
            await upload.wait_for_all()
            await _leave_interruptible(tell)
        except BaseException as error:
            await upload.abort()
            if base is not None and isinstance(error, _GONE):
                raise _gone(base) from error
            raise
        return await upload.complete(edition.expected_etag)

    def _plan(
        self, key: str, size_bytes: int, base_bytes: int, extents: Sequence[tuple[int, int]]
    ) -> list[Part]:
        store = self._store
        if size_bytes > store.max_parts * store.max_part_bytes:
            raise ObjectTooLargeError(f"{key!r} would have {size_bytes} bytes")
        return plan_parts(
            size_bytes=size_bytes,
            base_bytes=base_bytes,
            extents=extents,
            part_bytes=store.part_size_bytes,
            min_part_bytes=store.min_part_bytes,
            max_part_bytes=store.max_part_bytes,
            max_parts=store.max_parts,
        )

    def base_reader(self, base: ObjectId | None) -> ReadBase:
        """Return what fetches ranges of *base*, past the cache."""

        async def read_base(start: int, stop: int) -> Sequence[memoryview]:
            assert base is not None, f"[{start}, {stop}) is in no base"
            step = self._store.part_size_bytes
            try:
                return [
                    memoryview(await self._store.get(base, begin, min(begin + step, stop)))
                    for begin in range(start, stop, step)
                ]
            except _GONE as error:
                raise _gone(base) from error

        return read_base


def _outgoing(draft: Content, number: int, part: Part, read_base: ReadBase) -> OutgoingPart:
    start, stop = part.start, part.stop

    async def collect() -> Body:
        return await draft.collect(start, stop, read_base)

    size_bytes = stop - start
    return OutgoingPart(
        number=number,
        size_bytes=size_bytes,
        memory_bytes=size_bytes + draft.bytes_to_load(start, stop),
        collect=collect,
    )


async def _copy_part(upload: Upload, number: int, source: ObjectId, part: Part) -> None:
    while upload.in_flight >= COPIES_IN_FLIGHT:
        await upload.wait_for_part()
    upload.copy(number, source, part.start, part.stop)


async def _leave_interruptible(tell: Callable[[bool], None]) -> None:
    """Say that from now on a cancellation may leave an object, unless it has come before."""
    await trio.lowlevel.checkpoint_if_cancelled()
    tell(False)  # no await before the request


def _gone(base: ObjectId) -> BaseGoneError:
    return BaseGoneError(f"{base.key!r} is gone, whose untouched bytes are needed")


def _tell_nobody(is_interruptible: bool) -> None:
    pass


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    ReadBase = Callable[[int, int], Coroutine[Any, Any, Sequence[memoryview]]]


@asynccontextmanager
async def open_publisher(
    store: ObjectStore, budget: Budget, uploads: UploadLog
) -> AsyncIterator[Publisher]:
    """Provide a publisher; parts still in flight are cancelled when the block is left."""
    async with trio.open_nursery() as nursery:
        try:
            yield Publisher(store, budget, uploads, nursery)
        finally:
            nursery.cancel_scope.cancel()
