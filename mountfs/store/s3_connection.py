"""One bucket's line to S3: sends requests through CRT, repeats and counts them.

What the requests mean is known to `mountfs.store.s3_reader` and those above it.
"""

from __future__ import annotations

from collections import Counter
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from awscrt.s3 import S3RequestType

from mountfs.errors import CredentialsError, StoreError, StoreUnavailableError
from mountfs.objects import ObjectInfo
from mountfs.store.bridge import Exchange
from mountfs.store.concurrency import AdaptiveConcurrency
from mountfs.store.crt import CONNECTIONS_HEADROOM, ideal_connections
from mountfs.store.endpoint import express_zone
from mountfs.store.list_xml import parse_xml, quote_etag
from mountfs.store.retry import Retry, RetryPolicy
from mountfs.store.translate import error_of_response, translate_crt_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from xml.etree import ElementTree

    import trio
    from awscrt.http import HttpRequest
    from awscrt.s3 import S3Client

    from mountfs.store.config import S3Config
    from mountfs.store.credentials import Credentials
    from mountfs.store.endpoint import Endpoint

_Answer = TypeVar("_Answer")

ATTEMPTS_IN_DEADLINE = 3
"""A request that hangs is cut off early enough to be sent twice more."""

LATE_ERROR_STATUS = 500
"""What an error that came under 200 is taken for where its code says nothing: worth a retry."""


class S3Connection:
    """The line to one bucket.

    Args:
        config: how to reach it.
        client: CRT's.
        endpoint: where it is.
        credentials: to sign with.
        token: of the trio loop.

    Attributes:
        config: as given.
        endpoint: as given.
        is_express: whether it is an S3 Express One Zone bucket.
        concurrency: of the requests for data.
        requests: how many of each kind were sent, retries included.
        retry: repeats requests.
    """

    def __init__(
        self,
        config: S3Config,
        client: S3Client,
        endpoint: Endpoint,
        credentials: Credentials,
        token: trio.lowlevel.TrioToken,
    ) -> None:
        connections = ideal_connections(config.throughput_target_gbps)
        self.config = config
        self.endpoint = endpoint
        self.is_express = express_zone(config.bucket) is not None
        self.concurrency = AdaptiveConcurrency(
            initial=connections, maximum=connections * CONNECTIONS_HEADROOM
        )
        self.requests: Counter[str] = Counter()
        self.retry = self.make_retry(config.max_attempts)
        self._client = client
        self._credentials = credentials
        self._token = token

    def make_retry(self, max_attempts: int) -> Retry:
        """Return what repeats requests within the configured deadline."""
        deadline_seconds = self.config.deadline_seconds
        policy = RetryPolicy(
            max_attempts=max_attempts,
            deadline_seconds=deadline_seconds,
            attempt_seconds=deadline_seconds / ATTEMPTS_IN_DEADLINE,
        )
        return Retry(policy, self.concurrency)

    async def transfer(
        self, attempt: Callable[[], Awaitable[_Answer]], kind: str, key: str, size_bytes: int
    ) -> _Answer:
        """Run *attempt* until it is answered, counted as a request for data.

        Raises:
            StoreError: as `Retry.run` does.
        """
        self.concurrency.in_flight += 1
        try:
            return await self.retry.run(attempt, kind, key, size_bytes=size_bytes)
        finally:
            self.concurrency.in_flight -= 1

    async def send(
        self,
        kind: str,
        request_type: S3RequestType,
        operation: str | None,
        build: Callable[[], HttpRequest],
        name: str,
    ) -> Exchange:
        """Send one request once; return a good answer or raise our error for a bad one.

        Args:
            kind: to count it by.
            request_type: CRT's.
            operation: S3's name for it; None where CRT knows it.
            build: makes the request.
            name: for messages: the key.

        Raises:
            StoreError: as its subclasses say.
        """
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

    async def ask(
        self, kind: str, operation: str, build: Callable[[], HttpRequest], name: str
    ) -> Exchange:
        """Send one request that has no type of its own with CRT; see `send`."""
        return await self.send(kind, S3RequestType.DEFAULT, operation, build, name)

    async def ask_for_xml(
        self, kind: str, operation: str, build: Callable[[], HttpRequest], name: str
    ) -> tuple[Exchange, ElementTree.Element]:
        """Send one request whose answer is a document; return both.

        S3 may say 200, keep the connection alive with blanks, and then send an error: that is
        raised as any other.

        Raises:
            StoreUnavailableError: the answer cannot be read.
            StoreError: as its subclasses say.
        """
        exchange = await self.ask(kind, operation, build, name)
        body = b"".join(exchange.chunks).strip()
        try:
            root = parse_xml(body, is_lenient=True)
        except ValueError as error:
            raise self.unreadable(exchange, f"{kind} {name!r}", str(error)) from error
        if any(element.tag.rpartition("}")[2] == "Error" for element in (root, *root)) and (
            not root.tag.endswith("DeleteResult")
        ):
            raise error_of_response(LATE_ERROR_STATUS, exchange.headers, body, f"{kind} {name!r}")
        return exchange, root

    def unreadable(self, exchange: Exchange, what: str, why: str) -> StoreError:
        """Return the error for a good answer that makes no sense: a proxy's page, or half of it."""
        return StoreUnavailableError(
            f"{what}: the answer cannot be read: {why}",
            request_id=header_of(exchange, "x-amz-request-id"),
            status=exchange.status,
        )


def header_of(exchange: Exchange, name: str) -> str:
    """Return a header of an answer by its name in lower case; empty if there is none."""
    for header, value in exchange.headers:
        if header.lower() == name:
            return value
    return ""


def mtime_of(exchange: Exchange, header: str) -> int:
    """Return the time that a header holds, in whole seconds as nanoseconds; 0 if it holds none."""
    try:
        return int(parsedate_to_datetime(header_of(exchange, header)).timestamp()) * 10**9
    except ValueError:
        return 0


def info_of_head(key: str, exchange: Exchange) -> ObjectInfo:
    """Return what the answer to a HEAD says of an object.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    try:
        return ObjectInfo(
            key,
            int(header_of(exchange, "content-length") or 0),
            quote_etag(header_of(exchange, "etag")),
            mtime_of(exchange, "last-modified"),
        )
    except ValueError as error:
        raise StoreUnavailableError(f"HEAD {key!r}: cannot be read: {error}") from error
