"""A bucket in memory: the store of the tests that need no server.

It behaves as S3 does where it matters (order, paging, versions), counts what it was asked, and can
be told to be slow, to fail and to hang. The contract tests hold it to the same answers as the real
stores.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import trio

from mountfs.errors import (
    DeadlineError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    RequestRejectedError,
    StoreError,
    ThrottledError,
)
from mountfs.keys import KEY_MAX_BYTES, sort_key
from mountfs.objects import ListPage, ObjectInfo
from mountfs.store.concurrency import AdaptiveConcurrency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mountfs.objects import ObjectId

MIB = 1024 * 1024

FIRST_MTIME_NS = 1_700_000_000 * 10**9
"""Any whole second will do; every put is one second after the one before, to tell them apart."""


class Hang(Enum):
    """The fault of a store that takes the request and never answers."""

    HANG = "hang"


HANG = Hang.HANG


class Request(NamedTuple):
    """One request as the store saw it.

    Attributes:
        kind: ``GET``, ``LIST`` or ``HEAD``.
        key: the key; for a LIST the prefix.
        start: first byte (inclusive) of a GET.
        stop: end (exclusive) of a GET.
        delimiter: of a LIST.
        start_after: of a LIST.
        token: of a LIST.
    """

    kind: str
    key: str
    start: int = 0
    stop: int = 0
    delimiter: str = ""
    start_after: str = ""
    token: str = ""


class _Stored(NamedTuple):
    """An object: what a LIST says of it and its bytes; None stands for zeros."""

    info: ObjectInfo
    body: bytes | None


class FakeStore:
    """An `ObjectStore` in memory.

    A request is answered from the state in which it finds the bucket, and the answer travels for
    `latency_seconds`: what arrives may be out of date by then, as on a real network.

    Attributes:
        part_size_bytes: as in the protocol.
        page_size: keys and prefixes in one answer to a LIST.
        latency_seconds: how long every answer takes.
        deadline_seconds: a request that hangs ends after it, in `DeadlineError`.
        concurrency: as in the protocol.
        requests: how many of each kind came: ``GET``, ``LIST``, ``HEAD``.
        log: all of them, in order.
        faults: each request takes the first; None lets it through.
        fault_for: asked for each request that `faults` let through.
    """

    def __init__(
        self,
        *,
        part_size_bytes: int = 8 * MIB,
        page_size: int = 1000,
        latency_seconds: float = 0.0,
        deadline_seconds: float = 60.0,
    ) -> None:
        self.part_size_bytes = part_size_bytes
        self.page_size = page_size
        self.latency_seconds = latency_seconds
        self.deadline_seconds = deadline_seconds
        self.concurrency = AdaptiveConcurrency(initial=64, maximum=256)
        self.requests: Counter[str] = Counter()
        self.log: list[Request] = []
        self.faults: deque[StoreError | Hang | None] = deque()
        self.fault_for: Callable[[Request], StoreError | Hang | None] | None = None
        self._objects: dict[str, _Stored] = {}
        self._order: list[bytes] | None = None
        self._mtime_ns = FIRST_MTIME_NS

    # --- what other clients do -------------------------------------------------------------------

    def put(self, key: str, body: bytes, *, mtime_ns: int | None = None) -> ObjectInfo:
        """Store an object, at once and without a request, as another client would."""
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        return self._store(key, len(body), etag, bytes(body), mtime_ns)

    def put_zeros(self, key: str, size_bytes: int) -> ObjectInfo:
        """Store an object of that many zeros, which takes no memory, as another client would."""
        etag = f'"{size_bytes:032x}-2"'
        return self._store(key, size_bytes, etag, None, None)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there, as another client would."""
        if self._objects.pop(key, None) is not None:
            self._order = None

    def _store(
        self, key: str, size_bytes: int, etag: str, body: bytes | None, mtime_ns: int | None
    ) -> ObjectInfo:
        if not 1 <= len(sort_key(key)) <= KEY_MAX_BYTES:
            raise ValueError(f"a key has 1 to {KEY_MAX_BYTES} bytes: {key!r}")
        if mtime_ns is None:
            self._mtime_ns += 10**9
            mtime_ns = self._mtime_ns
        info = ObjectInfo(key, size_bytes, etag, mtime_ns)
        if key not in self._objects:
            self._order = None
        self._objects[key] = _Stored(info, body)
        return info

    # --- the protocol ----------------------------------------------------------------------------

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch bytes; see `ObjectStore.get`."""
        key, etag = object_id
        assert 0 <= start < stop, f"empty range [{start}, {stop}) of {key!r}"
        assert stop - start <= self.part_size_bytes, f"[{start}, {stop}) is larger than a part"
        self.concurrency.in_flight += 1
        try:
            fault = self._receive(Request("GET", key, start, stop))
            stored = self._objects.get(key)
            await self._answer(fault)
        finally:
            self.concurrency.in_flight -= 1
        if stored is None:
            raise _not_found(key)
        if stored.info.etag != etag:
            raise PreconditionFailedError(
                f"{key!r} was replaced", code="PreconditionFailed", status=412
            )
        if stop > stored.info.size_bytes:
            raise RangeError(f"{key!r} ends before {stop}", code="InvalidRange", status=416)
        self.concurrency.note_success()
        return bytes(stop - start) if stored.body is None else stored.body[start:stop]

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to `page_size` keys and prefixes; see `ObjectStore.list_page`."""
        fault = self._receive(Request("LIST", prefix, 0, 0, delimiter, start_after, token))
        page = self._list(prefix, delimiter, start_after, token)
        await self._answer(fault)
        return page

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of an object; see `ObjectStore.head`."""
        fault = self._receive(Request("HEAD", key))
        stored = self._objects.get(key)
        await self._answer(fault)
        if stored is None:
            raise _not_found(key)
        return stored.info

    # --- behind it -------------------------------------------------------------------------------

    def _receive(self, request: Request) -> StoreError | Hang | None:
        """Count the request and choose the fault that it will meet."""
        self.requests[request.kind] += 1
        self.log.append(request)
        fault = self.faults.popleft() if self.faults else None
        if fault is None and self.fault_for is not None:
            fault = self.fault_for(request)
        return fault

    async def _answer(self, fault: StoreError | Hang | None) -> None:
        """Let the time pass that an answer takes, and fail if told to."""
        if fault is HANG:
            await trio.sleep(self.deadline_seconds)
            raise DeadlineError(f"no answer in {self.deadline_seconds:g} s")
        await trio.sleep(self.latency_seconds)
        if isinstance(fault, ThrottledError):
            self.concurrency.note_throttled()
        if isinstance(fault, StoreError):
            raise fault

    def _list(self, prefix: str, delimiter: str, start_after: str, token: str) -> ListPage:
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        last = b""
        begin = _decode_token(token) if token else sort_key(start_after)
        for item in self._items(sort_key(prefix), sort_key(delimiter), begin):
            if len(objects) + len(prefixes) == self.page_size:
                return ListPage(objects, prefixes, last.hex())
            last, is_prefix = item
            name = last.decode("utf-8", "surrogateescape")
            if is_prefix:
                prefixes.append(name)
            else:
                objects.append(self._objects[name].info)
        return ListPage(objects, prefixes, "")

    def _items(self, prefix: bytes, delimiter: bytes, begin: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield keys (False) and common prefixes (True) behind *begin* (exclusive), in order.

        A common prefix counts as one name: it is listed only if it is itself behind *begin*.
        """
        if self._order is None:
            self._order = sorted(map(sort_key, self._objects))
        order = self._order
        index = max(bisect_left(order, prefix), bisect_right(order, begin))
        while index < len(order) and order[index].startswith(prefix):
            key = order[index]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield key, False
                index += 1
                continue
            common = key[: cut + len(delimiter)]
            if common > begin:
                yield common, True
            # Names behind the prefix sort below the prefix with its last byte raised by one.
            index = bisect_left(order, common[:-1] + bytes((common[-1] + 1,)), index)


def _decode_token(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError:
        raise RequestRejectedError(
            "not a continuation token", code="InvalidArgument", status=400
        ) from None


def _not_found(key: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"no object {key!r}", code="NoSuchKey", status=404)
