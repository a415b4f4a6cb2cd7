"""The half of the store that changes whole objects: PUT, copy, rename, delete."""

from __future__ import annotations

import uuid
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import trio

from mountfs.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    RequestRejectedError,
    StoreError,
    StoreUnavailableError,
)
from mountfs.objects import ObjectInfo
from mountfs.store.body import BodyStream, md5_of_body, size_of_body
from mountfs.store.checksums import CHECKSUM_HEADER, Checksums
from mountfs.store.delete_xml import parse_failures
from mountfs.store.doubt import Doubt
from mountfs.store.list_xml import parse_time, quote_etag
from mountfs.store.s3_connection import header_of, info_of_head, mtime_of
from mountfs.store.s3_reader import S3Reader
from mountfs.store.write_requests import WriteRequests, can_be_named_in_xml

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from xml.etree import ElementTree

    from awscrt.http import HttpRequest

    from mountfs.objects import Body, ObjectHeaders, ObjectId
    from mountfs.store.bridge import Exchange
    from mountfs.store.s3_connection import S3Connection

COPY_BYTES_PER_SECOND = 20 * 1024 * 1024
"""What a store copies at least, once it has begun; S3 does several times as much."""

KEYS_IN_DELETE = 1000
"""S3 takes no more."""

DELETES_AT_ONCE = 4
"""Stores take about a second for a thousand keys."""


class S3Writer(S3Reader):
    """Reads one bucket and changes whole objects in it.

    Args:
        connection: the line to it.

    Attributes:
        max_part_bytes: as in the protocol.
        can_rename: as in the protocol.
    """

    max_part_bytes = 5 * 1024**3

    def __init__(self, connection: S3Connection) -> None:
        super().__init__(connection)
        self._write = WriteRequests(
            connection.endpoint, connection.config, is_express=connection.is_express
        )
        self._checksums = Checksums()
        self._is_aws = self._write.is_aws
        self._quotes_expected = True

    @property
    def can_rename(self) -> bool:
        """Tell whether `rename` works."""
        return self._connection.is_express

    async def put(
        self, key: str, body: Body, headers: ObjectHeaders, *, expected_etag: str | None = None
    ) -> ObjectInfo:
        """Store an object; see `ObjectStore.put`."""
        size_bytes = size_of_body(body)
        checksum = await self._checksums.of_body(body)
        doubt = Doubt()
        is_quoted = self._quotes_expected

        async def send(checksum: str) -> Exchange:
            expected = expected_etag
            if expected and not is_quoted:
                expected = expected.strip('"')
            with closing(BodyStream(body)) as stream:
                build = partial(self._write.put, key, stream, headers, expected, checksum)
                return await self._connection.ask("PUT", "PutObject", build, key)

        attempt = partial(doubt.watch, partial(self._send_checked, send, checksum))
        try:
            exchange = await self._connection.transfer(attempt, "PUT", key, size_bytes)
        except (PreconditionFailedError, ObjectNotFoundError) as error:
            own = None
            if doubt.is_left:
                etag = f'"{await trio.to_thread.run_sync(md5_of_body, body)}"'
                own = await self._find_own(key, size_bytes, {etag}, checksum)
            if own is None and is_quoted and await self._is_misread(key, expected_etag):
                return await self.put(key, body, headers, expected_etag=expected_etag)
            if own is None:
                raise refusal(error, expected_etag) from error
            return own
        etag, mtime_ns = quote_etag(header_of(exchange, "etag")), mtime_of(exchange, "date")
        if not etag or not mtime_ns:  # it is there; the store only did not say what it calls it
            return await self.head(key)
        return ObjectInfo(key, size_bytes, etag, mtime_ns)

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
        await self._check_expected(key, expected_etag)
        doubt = Doubt()
        build = partial(self._write.copy, source, key, headers, expected_etag)
        send = partial(self._fetch_etag, "COPY", "CopyObject", build, key)
        try:
            exchange, root = await self._connection.retry.run(
                partial(doubt.watch, send),
                "COPY",
                key,
                grace_seconds=size_bytes / COPY_BYTES_PER_SECOND,
            )
        except PreconditionFailedError:
            own = None
            if doubt.is_left and expected_etag is not None:
                own = await self._find_own(key, size_bytes, {source.etag}, "")
            if own is None:
                raise
            return own
        modified = parse_time(text_of(root, "LastModified"), {}) or mtime_of(exchange, "date")
        etag = quote_etag(text_of(root, "ETag"))
        if etag != quote_etag(source.etag):
            await self._check_source(source)
        return ObjectInfo(key, size_bytes, etag, modified // 10**9 * 10**9)

    async def rename(self, source: ObjectId, key: str, *, may_replace: bool) -> ObjectInfo:
        """Give an object another key; see `ObjectStore.rename`."""
        assert self.can_rename, "only S3 Express can"
        doubt = Doubt()
        token = str(uuid.uuid4())
        build = partial(self._write.rename, source, key, may_replace=may_replace, token=token)
        attempt = partial(self._connection.ask, "RENAME", "RenameObject", build, key)
        try:
            await self._connection.retry.run(partial(doubt.watch, attempt), "RENAME", key)
        except (PreconditionFailedError, ObjectNotFoundError):
            # The first attempt may have been it: then the source is gone, and its version here.
            if not doubt.is_left:
                raise
            try:
                info = await self.head(key)
            except ObjectNotFoundError:
                info = None
            if info is None or info.etag != source.etag:
                raise
            return info
        return await self.head(key)  # the answer has neither size nor time

    async def delete(self, key: str) -> None:
        """Remove what the key holds; see `ObjectStore.delete`."""
        attempt = partial(
            self._connection.ask, "DELETE", "DeleteObject", partial(self._write.delete, key), key
        )
        try:
            await self._connection.retry.run(attempt, "DELETE", key)
        except ObjectNotFoundError as error:
            if error.code not in ("", "NoSuchKey"):
                raise

    async def delete_many(self, keys: Iterable[str]) -> dict[str, StoreError]:
        """Remove what the keys hold; see `ObjectStore.delete_many`."""
        failures: dict[str, StoreError] = {}
        odd: list[str] = []
        plain: list[str] = []
        for key in dict.fromkeys(keys):
            (plain if can_be_named_in_xml(key) else odd).append(key)
        remaining = iter(plain)
        limiter = trio.CapacityLimiter(DELETES_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for key in odd:
                nursery.start_soon(self._delete_alone, key, failures, limiter)
            while batch := list(islice(remaining, KEYS_IN_DELETE)):
                nursery.start_soon(self._delete_batch, batch, failures, limiter)
        return failures

    # --- behind it -------------------------------------------------------------------------------

    async def _delete_alone(
        self, key: str, failures: dict[str, StoreError], limiter: trio.CapacityLimiter
    ) -> None:
        async with limiter:
            try:
                await self.delete(key)
            except StoreError as error:
                failures[key] = error

    async def _delete_batch(
        self, keys: list[str], failures: dict[str, StoreError], limiter: trio.CapacityLimiter
    ) -> None:
        remaining = keys

        async def attempt() -> None:
            nonlocal remaining
            _, root = await self._connection.ask_for_xml(
                "DELETE_MANY",
                "DeleteObjects",
                partial(self._write.delete_many, remaining),
                remaining[0],
            )
            refused = parse_failures(root)
            passing = {k: e for k, e in refused.items() if isinstance(e, StoreUnavailableError)}
            failures.update((k, e) for k, e in refused.items() if k not in passing)
            remaining = [key for key in remaining if key in passing]
            if remaining:
                raise passing[remaining[0]]

        async with limiter:
            try:
                await self._connection.retry.run(attempt, "DELETE_MANY", keys[0])
            except StoreError as error:
                failures |= dict.fromkeys(remaining, error)

    async def _send_checked(
        self, send: Callable[[str], Awaitable[Exchange]], checksum: str
    ) -> Exchange:
        """Send with a checksum, and without one to a store that does not take it."""
        if not checksum or not self._checksums.are_sent:
            return await send("")
        try:
            exchange = await send(checksum)
        except RequestRejectedError as error:
            exchange = await send("")  # raises again what was not the checksum's fault
            self._checksums.stop(f"rejects them: {error}")
            return exchange
        if not header_of(exchange, CHECKSUM_HEADER):
            self._checksums.stop("ignores them")
        return exchange

    async def _fetch_etag(
        self, kind: str, operation: str, build: Callable[[], HttpRequest], key: str
    ) -> tuple[Exchange, ElementTree.Element]:
        """Send once, and insist on an answer that names the version."""
        exchange, root = await self._connection.ask_for_xml(kind, operation, build, key)
        if not text_of(root, "ETag"):
            raise self._connection.unreadable(exchange, f"{kind} {key!r}", "no ETag")
        return exchange, root

    async def _check_source(self, source: ObjectId) -> None:
        """Look whether what was copied was the version that was meant: not every store cares.

        Raises:
            ObjectNotFoundError: it is gone.
            PreconditionFailedError: it is another one.
        """
        if self._is_aws:
            return
        found = (await self.head(source.key)).etag
        if found != quote_etag(source.etag):
            raise PreconditionFailedError(
                f"{source.key!r} is {found} instead of {source.etag}", code="PreconditionFailed"
            )

    async def _check_expected(self, key: str, expected_etag: str | None) -> None:
        """Look before a request whose condition the store may overlook. Not atomic, but something.

        Raises:
            PreconditionFailedError: the key holds something else.
        """
        if expected_etag is None or self._is_aws:
            return
        try:
            found = (await self.head(key)).etag
        except ObjectNotFoundError:
            found = ""
        if found != quote_etag(expected_etag):
            raise PreconditionFailedError(
                f"{key!r} holds {found or 'nothing'} instead of {expected_etag or 'nothing'}",
                code="PreconditionFailed",
            )

    async def _is_misread(self, key: str, expected_etag: str | None) -> bool:
        """Tell whether the store refused although the version is as expected, because of quotes.

        RGW compares the header with the ETag without its quotes. From here on they are left out.
        """
        if self._is_aws or not expected_etag:
            return False
        try:
            found = await self.head(key)
        except ObjectNotFoundError:
            return False
        if found.etag != quote_etag(expected_etag):
            return False
        self._quotes_expected = False
        return True

    async def _find_own(
        self, key: str, size_bytes: int, etags: Collection[str], checksum: str
    ) -> ObjectInfo | None:
        """Return what the key holds, if it is what an attempt of ours has left there."""
        try:
            exchange = await self._head(key, with_checksum=True)
        except ObjectNotFoundError:
            return None
        info = info_of_head(key, exchange)
        is_same = info.etag in etags or (
            checksum != "" and checksum == header_of(exchange, CHECKSUM_HEADER)
        )
        return info if is_same and info.size_bytes == size_bytes else None


def text_of(root: ElementTree.Element, name: str) -> str:
    """Return the text of the first element with that name, in any namespace; empty if none."""
    for element in root.iter():
        if element.tag.rpartition("}")[2] == name:
            return (element.text or "").strip()
    return ""


def refusal(error: StoreError, expected_etag: str | None) -> StoreError:
    """Return what a conditional PUT is refused with: stores call a missing version not found."""
    if expected_etag and isinstance(error, ObjectNotFoundError):
        return PreconditionFailedError(
            str(error.args[0]), code=error.code, request_id=error.request_id, status=error.status
        )
    return error
