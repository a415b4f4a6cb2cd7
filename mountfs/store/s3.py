"""The bucket on S3: opened, checked, and used through CRT without a thread of ours."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from mountfs.errors import StoreError, UsageError
from mountfs.store.boto import BotoAccess
from mountfs.store.credentials import Credentials
from mountfs.store.crt import make_crt_client
from mountfs.store.diagnosis import explain
from mountfs.store.endpoint import express_zone
from mountfs.store.past import PastStore
from mountfs.store.s3_connection import S3Connection
from mountfs.store.s3_uploader import S3Uploader
from mountfs.store.tls_check import check_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mountfs.store.config import S3Config

_Result = TypeVar("_Result")

CHECK_ATTEMPTS = 3
"""Somebody waits at the command line: enough for one hiccup."""

EXPRESS_STORAGE_CLASS = "EXPRESS_ONEZONE"
"""The only one that an S3 Express One Zone bucket has."""

BOTO_THREADS = 2
"""Credentials and region: nothing here happens often."""


@asynccontextmanager
async def open_s3_store(config: S3Config) -> AsyncIterator[S3Store]:
    """Find the bucket, get credentials, start CRT; nothing has been asked of the bucket itself.

    Raises:
        UsageError: an option cannot work.
        StoreError: as `S3Store.check` does, for what shows up as early as here.
    """
    _check_placement(config)
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
        connection = S3Connection(config, client, endpoint, credentials, token)
        yield S3Store(connection, ca_bundle)
    finally:
        scope.cancel()


def _check_placement(config: S3Config) -> None:
    """Refuse what an S3 Express One Zone bucket would refuse at the first write."""
    if express_zone(config.bucket) is None:
        return
    if config.acl is not None:
        raise UsageError(f"--acl {config.acl}: S3 Express One Zone buckets have no ACLs")
    if config.storage_class not in (None, EXPRESS_STORAGE_CLASS):
        raise UsageError(
            f"--storage-class {config.storage_class}: an S3 Express One Zone bucket has only "
            f"{EXPRESS_STORAGE_CLASS}"
        )


async def _keep_fresh(credentials: Credentials, scope: trio.CancelScope) -> None:
    with scope:
        await credentials.keep_fresh()


async def _in_thread(limiter: trio.CapacityLimiter, call: Callable[[], _Result]) -> _Result:
    return await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)


class S3Store(S3Uploader):
    """An `ObjectStore` on S3. Made by `open_s3_store`.

    What it does is written down in its bases, one for each kind of request.

    Args:
        connection: the line to the bucket.
        ca_bundle: a file of certificate authorities that replaces the system's.
    """

    def __init__(self, connection: S3Connection, ca_bundle: str | None) -> None:
        super().__init__(connection)
        self._ca_bundle = ca_bundle

    def as_of(self, at_ns: int) -> PastStore:
        """Return what the bucket held at a moment (nanoseconds since the epoch, inclusive).

        Raises:
            UsageError: buckets of this kind keep no versions.
        """
        if self._connection.is_express:
            raise UsageError("--version-at: S3 Express One Zone buckets keep no versions")
        return PastStore(self._connection, at_ns)

    async def check(self, prefix: str) -> None:
        """Find out whether the bucket can be used, with one small LIST.

        Raises:
            BucketNotFoundError, AccessDeniedError, CredentialsError, WrongRegionError,
            StoreUnavailableError, RequestRejectedError: with a message for the operator that says
                what is wrong and which option helps.
        """
        connection = self._connection
        config = connection.config
        request = partial(self._build.list_page, prefix, "", "", "", 1)
        retry = connection.make_retry(min(CHECK_ATTEMPTS, config.max_attempts))
        try:
            if connection.endpoint.use_tls and config.verify_ssl:
                await check_tls(
                    connection.endpoint,
                    ca_bundle=self._ca_bundle,
                    timeout_seconds=config.connect_timeout_seconds,
                )
            await self._list_with(retry, request, prefix)
        except StoreError as error:
            raise explain(error, config, connection.endpoint) from error
