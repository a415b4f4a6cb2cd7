"""A bucket in memory: the store of the tests that need no server.

It behaves as S3 does where it matters (order, paging, versions, conditions, uploads in parts),
counts what it was asked, and can be told to be slow, to fail, to hang, and to lose its answers. The
contract tests hold it to the same answers as the real stores.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import trio

from mountfs.errors import (
    DeadlineError,
    ObjectTooLargeError,
    RangeError,
    StoreError,
    ThrottledError,
)
from mountfs.objects import ObjectDetails
from mountfs.store.concurrency import AdaptiveConcurrency
from mountfs.store.fake_bucket import FakeBucket
from mountfs.store.fake_content import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mountfs.objects import (
        Body,
        ListPage,
        ObjectHeaders,
        ObjectId,
        ObjectInfo,
        PendingUpload,
        UploadedPart,
    )

MIB = 1024 * 1024

_Answer = TypeVar("_Answer")


class Hang(Enum):
    """The fault of a store that takes the request and never answers."""

    HANG = "hang"


HANG = Hang.HANG


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The fault of a store that does what it was asked and whose answer does not arrive.

    Attributes:
        error: what the caller sees instead; its type should be `StoreUnavailableError` or below.
    """

    error: StoreError


Fault = StoreError | Hang | LostAnswer


class Request(NamedTuple):
    """One request as the store saw it.

    Attributes:
        kind: ``GET``, ``PUT``, ``CREATE_UPLOAD``, ...: as in `FakeStore.requests`.
        key: the key; for a LIST or LIST_UPLOADS the prefix; for a DELETE_MANY the first key.
        start: first byte (inclusive) of a GET or COPY_PART.
        stop: end (exclusive) of a GET or COPY_PART; the length of what PUT and UPLOAD_PART send;
            the number of keys of a DELETE_MANY.
        delimiter: of a LIST.
        start_after: of a LIST.
        token: of a LIST.
        source: the other key of a COPY, COPY_PART or RENAME.
        upload_id: of whatever concerns an upload.
        number: of a part.
        expected_etag: of a conditional change.
    """

    kind: str
    key: str
    start: int = 0
    stop: int = 0
    delimiter: str = ""
    start_after: str = ""
    token: str = ""
    source: str = ""
    upload_id: str = ""
    number: int = 0
    expected_etag: str | None = None


class FakeStore:
    """An `ObjectStore` in memory.

    A request is answered from the state in which it finds the bucket, and changes it then; the
    answer travels for `latency_seconds`: what arrives may be out of date by then, as on a real
    network.

    Attributes:
        bucket: what it holds; other clients use it directly.
        part_size_bytes: as in the protocol.
        page_size: keys and prefixes in one answer to a LIST, and keys in one DELETE_MANY.
        can_rename: as in the protocol.
        latency_seconds: how long every answer takes.
        deadline_seconds: a request that hangs ends after it, in `DeadlineError`.
        concurrency: as in the protocol.
        requests: how many of each kind came: ``GET``, ``LIST``, ``HEAD``, ``PUT``, ``COPY``,
            ``RENAME``, ``DELETE``, ``DELETE_MANY``, ``CREATE_UPLOAD``, ``UPLOAD_PART``,
            ``COPY_PART``, ``COMPLETE_UPLOAD``, ``ABORT_UPLOAD``, ``LIST_UPLOADS``.
        log: all of them, in order.
        faults: each request takes the first; None lets it through.
        fault_for: asked for each request that `faults` let through.
    """

    def __init__(
        self,
        *,
        part_size_bytes: int = 8 * MIB,
        page_size: int = 1000,
        min_part_bytes: int = 5 * MIB,
        max_part_bytes: int = 5 * 1024 * MIB,
        max_parts: int = 10_000,
        can_rename: bool = False,
        latency_seconds: float = 0.0,
        deadline_seconds: float = 60.0,
    ) -> None:
        self.bucket = FakeBucket(
            min_part_bytes=min_part_bytes, max_part_bytes=max_part_bytes, max_parts=max_parts
        )
        self.part_size_bytes = part_size_bytes
        self.page_size = page_size
        self.min_part_bytes = min_part_bytes
        self.max_part_bytes = max_part_bytes
        self.max_parts = max_parts
        self.can_rename = can_rename
        self.latency_seconds = latency_seconds
        self.deadline_seconds = deadline_seconds
        self.concurrency = AdaptiveConcurrency(initial=64, maximum=256)
        self.requests: Counter[str] = Counter()
        self.log: list[Request] = []
        self.faults: deque[Fault | None] = deque()
        self.fault_for: Callable[[Request], Fault | None] | None = None

    # --- reading ---------------------------------------------------------------------------------

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch bytes; see `ObjectStore.get`."""
        key = object_id.key
        assert 0 <= start < stop, f"empty range [{start}, {stop}) of {key!r}"
        assert stop - start <= self.part_size_bytes, f"[{start}, {stop}) is larger than a part"

        def read() -> Content:
            content = self.bucket.find_version(object_id).content
            if stop > content.size_bytes:
                raise RangeError(f"{key!r} ends before {stop}", code="InvalidRange", status=416)
            return content.slice(start, stop)

        content = await self._transfer(Request("GET", key, start, stop), read)
        return content.to_bytes()

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to `page_size` keys and prefixes; see `ObjectStore.list_page`."""
        return await self._ask(
            Request("LIST", prefix, 0, 0, delimiter, start_after, token),
            lambda: self.bucket.list_page(prefix, delimiter, start_after, token, self.page_size),
        )

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of an object; see `ObjectStore.head`."""
        return await self._ask(Request("HEAD", key), lambda: self.bucket.find(key).info)

    async def head_details(self, key: str) -> ObjectDetails:
        """Return all that the store knows of an object; see `ObjectStore.head_details`."""
        stored = await self._ask(Request("HEAD", key), lambda: self.bucket.find(key))
        return ObjectDetails(info=stored.info, headers=stored.headers)

    # --- whole objects ---------------------------------------------------------------------------

    async def put(
        self, key: str, body: Body, headers: ObjectHeaders, *, expected_etag: str | None = None
    ) -> ObjectInfo:
        """Store an object; see `ObjectStore.put`."""
        content = Content.of_body(body)
        request = Request("PUT", key, 0, content.size_bytes, expected_etag=expected_etag)

        def store() -> ObjectInfo:
            if content.size_bytes > self.max_part_bytes:
                raise ObjectTooLargeError(f"{key!r}", code="EntityTooLarge", status=400)
            return self.bucket.store(key, content, headers, expected_etag=expected_etag)

        return await self._transfer(request, store)

    async def copy(
        self,
        source: ObjectId,
        key: str,
        headers: ObjectHeaders | None,
        *,
        size_bytes: int,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Copy an object; see `ObjectStore.copy`."""
        info = await self._ask(
            Request("COPY", key, 0, size_bytes, source=source.key, expected_etag=expected_etag),
            lambda: self.bucket.copy(source, key, headers, expected_etag=expected_etag),
        )
        return info._replace(size_bytes=size_bytes)  # believed, as S3 does not tell it

    async def rename(self, source: ObjectId, key: str, *, may_replace: bool) -> ObjectInfo:
        """Give an object another key; see `ObjectStore.rename`."""
        assert self.can_rename, "this bucket cannot"
        return await self._ask(
            Request("RENAME", key, source=source.key, expected_etag=None if may_replace else ""),
            lambda: self.bucket.rename(source, key, may_replace=may_replace),
        )

    async def delete(self, key: str) -> None:
        """Remove what the key holds; see `ObjectStore.delete`."""
        await self._ask(Request("DELETE", key), lambda: self.bucket.delete(key))

    async def delete_many(self, keys: Iterable[str]) -> dict[str, StoreError]:
        """Remove what the keys hold; see `ObjectStore.delete_many`."""
        failures: dict[str, StoreError] = {}
        for batch in _batches(keys, self.page_size):
            request = Request("DELETE_MANY", batch[0], 0, len(batch))
            try:
                await self._ask(request, partial(self.bucket.delete_all, batch))
            except StoreError as error:
                failures |= dict.fromkeys(batch, error)
        return failures

    # --- uploads in parts ------------------------------------------------------------------------

    async def create_upload(self, key: str, headers: ObjectHeaders) -> str:
        """Begin an upload in parts; see `ObjectStore.create_upload`."""
        return await self._ask(
            Request("CREATE_UPLOAD", key), lambda: self.bucket.create_upload(key, headers)
        )

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> UploadedPart:
        """Send a part of an upload; see `ObjectStore.upload_part`."""
        content = Content.of_body(body)
        return await self._transfer(
            Request("UPLOAD_PART", key, 0, content.size_bytes, upload_id=upload_id, number=number),
            lambda: self.bucket.store_part(key, upload_id, number, content),
        )

    async def copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectId, start: int, stop: int
    ) -> UploadedPart:
        """Let the store copy bytes into a part; see `ObjectStore.copy_part`."""
        assert 0 <= start < stop, f"empty range [{start}, {stop}) of {source.key!r}"

        def copy() -> UploadedPart:
            content = self.bucket.find_version(source).content
            if stop > content.size_bytes:
                raise RangeError(f"{source.key!r} ends before {stop}", code="InvalidRange")
            return self.bucket.store_part(key, upload_id, number, content.slice(start, stop))

        return await self._ask(
            Request(
                "COPY_PART", key, start, stop,
                source=source.key, upload_id=upload_id, number=number,
            ),
            copy,
        )  # fmt: skip

    async def complete_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[UploadedPart],
        *,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Put the object together and show it; see `ObjectStore.complete_upload`."""
        return await self._ask(
            Request("COMPLETE_UPLOAD", key, upload_id=upload_id, expected_etag=expected_etag),
            lambda: self.bucket.complete_upload(key, upload_id, parts, expected_etag=expected_etag),
        )

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw an upload away; see `ObjectStore.abort_upload`."""
        await self._ask(
            Request("ABORT_UPLOAD", key, upload_id=upload_id),
            lambda: self.bucket.abort_upload(key, upload_id),
        )

    async def list_uploads(self, prefix: str) -> list[PendingUpload]:
        """Return the uploads that were begun; see `ObjectStore.list_uploads`."""
        return await self._ask(Request("LIST_UPLOADS", prefix), lambda: self.bucket.uploads(prefix))

    # --- behind it -------------------------------------------------------------------------------

    async def _transfer(self, request: Request, act: Callable[[], _Answer]) -> _Answer:
        """Do what `_ask` does, for a request that carries data."""
        self.concurrency.in_flight += 1
        try:
            answer = await self._ask(request, act)
        finally:
            self.concurrency.in_flight -= 1
        self.concurrency.note_success()
        return answer

    async def _ask(self, request: Request, act: Callable[[], _Answer]) -> _Answer:
        """Count the request, do what it says unless it meets a fault, and let the answer travel."""
        self.requests[request.kind] += 1
        self.log.append(request)
        fault = self.faults.popleft() if self.faults else None
        if fault is None and self.fault_for is not None:
            fault = self.fault_for(request)
        if fault is HANG:
            await trio.sleep(self.deadline_seconds)
            raise DeadlineError(f"no answer in {self.deadline_seconds:g} s")
        outcome: _Answer | StoreError
        try:
            outcome = fault if isinstance(fault, StoreError) else act()
        except StoreError as error:
            outcome = error
        await trio.sleep(self.latency_seconds)
        if isinstance(fault, LostAnswer):
            outcome = fault.error
            outcome.may_have_landed = True
        if isinstance(outcome, ThrottledError):
            self.concurrency.note_throttled()
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, size)):
        yield batch
