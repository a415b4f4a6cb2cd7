"""The bucket on S3: GET, LIST and HEAD through CRT, without a thread of ours."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
from awscrt.s3 import S3Client, S3RequestType

from mountfs.errors import (
    BucketNotFoundError,
    CredentialsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    StoreError,
    StoreUnavailableError,
)
from mountfs.objects import ListPage, ObjectInfo
from mountfs.store.boto import BotoAccess
from mountfs.store.bridge import Exchange
from mountfs.store.concurrency import AdaptiveConcurrency
from mountfs.store.credentials import Credentials
from mountfs.store.crt import CONNECTIONS_HEADROOM, ideal_connections, make_crt_client
from mountfs.store.diagnosis import explain
from mountfs.store.endpoint import express_zone
from mountfs.store.express_listing import list_in_order
from mountfs.store.list_xml import parse_list_page, quote_etag
from mountfs.store.request_builder import RequestBuilder
from mountfs.store.retry import Retry, RetryPolicy
from mountfs.store.tls_check import check_tls
from mountfs.store.translate import translate_crt_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from awscrt.http import HttpRequest

    from mountfs.objects import ObjectId
    from mountfs.store.config import S3Config
    from mountfs.store.endpoint import Endpoint

_Result = TypeVar("_Result")

CHECK_ATTEMPTS = 3
"""Somebody waits at the command line: enough for one hiccup."""

ATTEMPTS_IN_DEADLINE = 3
"""A request that hangs is cut off early enough to be sent twice more."""

BOTO_THREADS = 2
"""Credentials and region: nothing here happens often."""


@asynccontextmanager
async def open_s3_store(config: S3Config) -> AsyncIterator[S3Store]:
    """Find the bucket, get credentials, start CRT; nothing has been asked of the bucket itself.

    Raises:
        UsageError: an option cannot work.
        StoreError: as `S3Store.check` does, for what shows up as early as here.
    """
    limiter = trio.CapacityLimiter(BOTO_THREADS)
    try:
        boto = await _in_thread(limiter, partial(BotoAccess, config))
        endpoint, region = await _in_thread(limiter, boto.locate)
        is_express = express_zone(config.bucket) is not None
        credentials = Credentials(
            boto.credential_chain(), region=region, is_express=is_express, limiter=limiter
        )
        await credentials.refresh()
    except StoreError as error:
        raise explain(error, config, None) from error
    ca_bundle = boto.ca_bundle()
    client = make_crt_client(
        config,
        region=region,
        use_tls=endpoint.use_tls,
        is_express=is_express,
        ca_bundle=ca_bundle,
    )
    # A system task, not a nursery: it cannot fail, and a nursery would wrap what the caller raises.
    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(_keep_fresh, credentials, scope)
    try:
        token = trio.lowlevel.current_trio_token()
        yield S3Store(config, client, endpoint, credentials, token, ca_bundle)
    finally:
        scope.cancel()


async def _keep_fresh(credentials: Credentials, scope: trio.CancelScope) -> None:
    with scope:
        await credentials.keep_fresh()


async def _in_thread(limiter: trio.CapacityLimiter, call: Callable[[], _Result]) -> _Result:
    return await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)


class S3Store:
    """An `ObjectStore` on S3. Made by `open_s3_store`.

    Attributes:
        part_size_bytes: as in the protocol.
        concurrency: as in the protocol.
        requests: how many of each kind were sent, retries included: ``GET``, ``LIST``, ``HEAD``.
    """

    def __init__(
        self,
        config: S3Config,
        client: S3Client,
        endpoint: Endpoint,
        credentials: Credentials,
        token: trio.lowlevel.TrioToken,
        ca_bundle: str | None,
    ) -> None:
        connections = ideal_connections(config.throughput_target_gbps)
        self.part_size_bytes = config.part_size_bytes
        self.concurrency = AdaptiveConcurrency(
            initial=connections, maximum=connections * CONNECTIONS_HEADROOM
        )
        self.requests: Counter[str] = Counter()
        self._config = config
        self._is_express = express_zone(config.bucket) is not None
        self._client = client
        self._endpoint = endpoint
        self._credentials = credentials
        self._token = token
        self._ca_bundle = ca_bundle
        self._build = RequestBuilder(endpoint, requester_pays=config.requester_pays)
        self._retry = self._make_retry(config.max_attempts)

    @property
    def lists_in_order(self) -> bool:
        """Tell whether a listing can begin anywhere; if not, all of a directory is one page."""
        return not self._is_express

    @property
    def retry_count(self) -> int:
        """How many requests were sent again."""
        return self._retry.retry_count

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch bytes; see `ObjectStore.get`."""
        self.concurrency.in_flight += 1
        try:
            return await self._retry.run(
                partial(self._get_once, object_id, start, stop),
                "GET",
                object_id.key,
                size_bytes=stop - start,
            )
        finally:
            self.concurrency.in_flight -= 1

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to 1,000 keys; see `ObjectStore.list_page`."""
        if self._is_express:
            fetch = partial(self._list, delimiter, "")
            return await list_in_order(fetch, prefix=prefix, start_after=start_after)
        return await self._list(delimiter, start_after, prefix, token)

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of an object; see `ObjectStore.head`."""
        return await self._retry.run(partial(self._head_once, key), "HEAD", key)

    async def check(self, prefix: str) -> None:
        """Find out whether the bucket can be used, with one small LIST.

        Raises:
            BucketNotFoundError, AccessDeniedError, CredentialsError, WrongRegionError,
            StoreUnavailableError, RequestRejectedError: with a message for the operator that says
                what is wrong and which option helps.
        """
        config = self._config
        request = partial(self._build.list_page, prefix, "", "", "", 1)
        retry = self._make_retry(min(CHECK_ATTEMPTS, config.max_attempts))
        try:
            if self._endpoint.use_tls and config.verify_ssl:
                await check_tls(
                    self._endpoint,
                    ca_bundle=self._ca_bundle,
                    timeout_seconds=config.connect_timeout_seconds,
                )
            await retry.run(partial(self._list_once, request, prefix), "LIST", prefix)
        except StoreError as error:
            raise explain(error, config, self._endpoint) from error

    async def _list(self, delimiter: str, start_after: str, prefix: str, token: str) -> ListPage:
        request = partial(self._build.list_page, prefix, delimiter, start_after, token, 0)
        return await self._retry.run(partial(self._list_once, request, prefix), "LIST", prefix)

    def _make_retry(self, max_attempts: int) -> Retry:
        deadline_seconds = self._config.deadline_seconds
        policy = RetryPolicy(
            max_attempts=max_attempts,
            deadline_seconds=deadline_seconds,
            attempt_seconds=deadline_seconds / ATTEMPTS_IN_DEADLINE,
        )
        return Retry(policy, self.concurrency)

    async def _get_once(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        key, etag = object_id
        # GET_OBJECT reads into a buffer of the right size; DEFAULT lets one grow, at twice the CPU
        # for a part. Both send exactly one GET for a range that is no larger than a part.
        try:
            exchange = await self._send(
                "GET",
                S3RequestType.GET_OBJECT,
                None,
                partial(self._build.get, key, etag, start, stop),
                key,
            )
        except RangeError:
            # The range lies within the version that was asked for. So probably there is another one
            # by now, and the store looked at the range before it looked at If-Match: find out.
            info = await self._head_once(key)
            if info.etag != quote_etag(etag):
                raise PreconditionFailedError(f"GET {key!r}: was replaced", status=416) from None
            raise
        chunks = exchange.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if (found := quote_etag(_header(exchange, "etag"))) != quote_etag(etag):
            raise PreconditionFailedError(
                f"GET {key!r}: the store sent version {found} instead of {etag}",
                request_id=_header(exchange, "x-amz-request-id"),
                status=exchange.status,
            )
        if len(body) != stop - start:
            raise self._wrong_length(exchange, key, stop, len(body))
        return body

    def _wrong_length(self, exchange: Exchange, key: str, stop: int, length: int) -> StoreError:
        total = _header(exchange, "content-range").rpartition("/")[2]
        kind = RangeError if total.isdigit() and int(total) < stop else StoreUnavailableError
        return kind(
            f"GET {key!r}: {length} bytes came of a range that ends at {stop}",
            request_id=_header(exchange, "x-amz-request-id"),
            status=exchange.status,
        )

    async def _list_once(self, build: Callable[[], HttpRequest], prefix: str) -> ListPage:
        try:
            exchange = await self._send(
                "LIST", S3RequestType.DEFAULT, "ListObjectsV2", build, prefix
            )
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
                request_id=_header(exchange, "x-amz-request-id"),
                status=exchange.status,
            ) from error

    async def _head_once(self, key: str) -> ObjectInfo:
        exchange = await self._send(
            "HEAD", S3RequestType.DEFAULT, "HeadObject", partial(self._build.head, key), key
        )
        modified = _header(exchange, "last-modified")
        try:
            return ObjectInfo(
                key,
                int(_header(exchange, "content-length") or 0),
                quote_etag(_header(exchange, "etag")),
                int(parsedate_to_datetime(modified).timestamp()) * 10**9 if modified else 0,
            )
        except ValueError as error:
            raise StoreUnavailableError(f"HEAD {key!r}: cannot be read: {error}") from error

    async def _send(
        self,
        kind: str,
        request_type: S3RequestType,
        operation: str | None,
        build: Callable[[], HttpRequest],
        name: str,
    ) -> Exchange:
        """Send one request; return a good answer or raise our error for a bad one."""
        self.requests[kind] += 1
        exchange = Exchange(self._token)
        try:
            await exchange.run(
                self._client.make_request,
                type=request_type,
                request=build(),
                operation_name=operation,
                signing_config=self._credentials.signing_config,
            )
        except Exception as unsent:  # whatever awscrt raises instead of sending
            raise translate_crt_error(unsent, f"{kind} {name!r}") from unsent
        if exchange.error is not None:
            error = translate_crt_error(exchange.error, f"{kind} {name!r}")
            if isinstance(error, CredentialsError):
                self._credentials.note_refused()
            raise error from exchange.error
        return exchange


def _header(exchange: Exchange, name: str) -> str:
    for header, value in exchange.headers:
        if header.lower() == name:
            return value
    return ""
