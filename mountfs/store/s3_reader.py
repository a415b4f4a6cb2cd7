"""The half of the store that changes nothing: GET, LIST and HEAD."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from awscrt.s3 import S3RequestType

from mountfs.errors import (
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    StoreError,
    StoreUnavailableError,
)
from mountfs.objects import ObjectDetails
from mountfs.store.express_listing import list_in_order
from mountfs.store.header_text import headers_of_answer
from mountfs.store.list_xml import parse_list_page, quote_etag
from mountfs.store.request_builder import RequestBuilder
from mountfs.store.s3_connection import header_of, info_of_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from awscrt.http import HttpRequest

    from mountfs.objects import ListPage, ObjectId, ObjectInfo
    from mountfs.store.bridge import Exchange
    from mountfs.store.retry import Retry
    from mountfs.store.s3_connection import S3Connection


class S3Reader:
    """Reads one bucket.

    Args:
        connection: the line to it.

    Attributes:
        part_size_bytes: as in the protocol.
        concurrency: as in the protocol.
        requests: how many of each kind were sent, retries included: ``GET``, ``LIST``, ``HEAD``...
    """

    def __init__(self, connection: S3Connection) -> None:
        config = connection.config
        self.part_size_bytes = config.part_size_bytes
        self.concurrency = connection.concurrency
        self.requests = connection.requests
        self._connection = connection
        self._build = RequestBuilder(connection.endpoint, requester_pays=config.requester_pays)

    @property
    def lists_in_order(self) -> bool:
        """Tell whether a listing can begin anywhere; if not, all of a directory is one page."""
        return not self._connection.is_express

    @property
    def retry_count(self) -> int:
        """How many requests were sent again."""
        return self._connection.retry.retry_count

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch bytes; see `ObjectStore.get`."""
        return await self._connection.transfer(
            partial(self._get_once, object_id, start, stop), "GET", object_id.key, stop - start
        )

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to 1,000 keys; see `ObjectStore.list_page`."""
        if self._connection.is_express:
            fetch = partial(self._list, delimiter, "")
            return await list_in_order(fetch, prefix=prefix, start_after=start_after)
        return await self._list(delimiter, start_after, prefix, token)

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of an object; see `ObjectStore.head`."""
        return info_of_head(key, await self._head(key))

    async def head_details(self, key: str) -> ObjectDetails:
        """Return all that the store knows of an object; see `ObjectStore.head_details`."""
        return details_of_head(key, await self._head(key))

    async def _head(
        self, key: str, *, with_checksum: bool = False, version_id: str = ""
    ) -> Exchange:
        build = partial(self._build.head, key, with_checksum=with_checksum, version_id=version_id)
        return await self._connection.retry.run(
            lambda: self._connection.ask("HEAD", "HeadObject", build, key), "HEAD", key
        )

    async def _list(self, delimiter: str, start_after: str, prefix: str, token: str) -> ListPage:
        request = partial(self._build.list_page, prefix, delimiter, start_after, token, 0)
        return await self._list_with(self._connection.retry, request, prefix)

    async def _list_with(
        self, retry: Retry, build: Callable[[], HttpRequest], prefix: str
    ) -> ListPage:
        return await retry.run(partial(self._list_once, build, prefix), "LIST", prefix)

    async def _get_once(
        self, object_id: ObjectId, start: int, stop: int, version_id: str = ""
    ) -> bytes:
        key, etag = object_id
        # GET_OBJECT reads into a buffer of the right size; DEFAULT lets one grow, at twice the CPU
        # for a part. Both send exactly one GET for a range that is no larger than a part.
        try:
            exchange = await self._connection.send(
                "GET",
                S3RequestType.GET_OBJECT,
                None,
                partial(self._build.get, key, etag, start, stop, version_id),
                key,
            )
        except RangeError:
            # The range lies within the version that was asked for. So probably there is another one
            # by now, and the store looked at the range before it looked at If-Match: find out.
            info = info_of_head(
                key,
                await self._connection.ask(
                    "HEAD", "HeadObject", partial(self._build.head, key), key
                ),
            )
            if info.etag != quote_etag(etag):
                raise PreconditionFailedError(f"GET {key!r}: was replaced", status=416) from None
            raise
        chunks = exchange.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if (found := quote_etag(header_of(exchange, "etag"))) != quote_etag(etag):
            raise PreconditionFailedError(
                f"GET {key!r}: the store sent version {found} instead of {etag}",
                request_id=header_of(exchange, "x-amz-request-id"),
                status=exchange.status,
            )
        if len(body) != stop - start:
            raise _wrong_length(exchange, key, stop, len(body))
        return body

    async def _list_once(self, build: Callable[[], HttpRequest], prefix: str) -> ListPage:
        try:
            exchange = await self._connection.ask("LIST", "ListObjectsV2", build, prefix)
        except ObjectNotFoundError as error:
            # A LIST names no object. Not every store says which bucket it misses.
            raise BucketNotFoundError(
                str(error.args[0]),
                code=error.code,
                request_id=error.request_id,
                status=error.status,
            ) from error
        try:
            return parse_list_page(b"".join(exchange.chunks))
        except ValueError as error:
            raise StoreUnavailableError(
                f"LIST {prefix!r}: the answer is no listing: {error}",
                request_id=header_of(exchange, "x-amz-request-id"),
                status=exchange.status,
            ) from error


def details_of_head(key: str, exchange: Exchange) -> ObjectDetails:
    """Return all that the answer to a HEAD says of an object.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    return ObjectDetails(
        info=info_of_head(key, exchange),
        headers=headers_of_answer(exchange.headers),
        version_id=header_of(exchange, "x-amz-version-id"),
        storage_class=header_of(exchange, "x-amz-storage-class") or "STANDARD",
    )


def _wrong_length(exchange: Exchange, key: str, stop: int, length: int) -> StoreError:
    total = header_of(exchange, "content-range").rpartition("/")[2]
    kind = RangeError if total.isdigit() and int(total) < stop else StoreUnavailableError
    return kind(
        f"GET {key!r}: {length} bytes came of a range that ends at {stop}",
        request_id=header_of(exchange, "x-amz-request-id"),
        status=exchange.status,
    )
