"""A store that misbehaves: retried where that helps, reported where it does not, never believed."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mountfs.errors import (
    AccessDeniedError,
    CredentialsError,
    DeadlineError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    RequestRejectedError,
    StoreError,
    StoreUnavailableError,
)
from mountfs.objects import ObjectId
from mountfs.store.bridge import Exchange
from mountfs.store.config import S3Config
from mountfs.store.s3 import open_s3_store
from tests.store.fault_server import BODY, ETAG, Answer, error_answer, part_of_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.store.s3 import S3Store
    from tests.store.fault_server import FaultServer

OBJECT = ObjectId("dir/key", ETAG)

TRANSIENT = {
    "503": error_answer(503, "SlowDown"),
    "503 without a body": Answer(status=503),
    "500": error_answer(500, "InternalError"),
    "502": Answer(status=502, body=b"<html>bad gateway</html>"),
    "504": Answer(status=504),
    "429": error_answer(429, "TooManyRequests"),
    "408": error_answer(400, "RequestTimeout"),
    "reset before the answer": Answer(raw=b"", then="reset"),
    "closed before the answer": Answer(raw=b"", then="close"),
    "reset within the body": part_of_body(10, 20, sent_bytes=5, then="reset"),
    "closed within the body": part_of_body(10, 20, sent_bytes=5, then="close"),
    "no length and closed early": Answer(
        raw=(
            f"HTTP/1.1 206 OK\r\nContent-Range: bytes 10-19/4096\r\nETag: {ETAG}\r\n\r\nabc"
        ).encode(),
        then="close",
    ),
    "not HTTP": Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then="close"),
    "another range": part_of_body(11, 21),
    "a range without end": part_of_body(
        10, 20, headers=(("ETag", ETAG), ("Content-Range", "bytes 10-"))
    ),
}


@pytest.fixture
def config(fault_server: FaultServer) -> S3Config:
    """How to reach the server, with little patience."""
    return S3Config(
        bucket="bucket", endpoint_url=fault_server.url, max_attempts=3, deadline_seconds=30.0
    )


@pytest.fixture
async def store(config: S3Config) -> AsyncIterator[S3Store]:
    """A store on the server."""
    async with open_s3_store(config) as opened:
        yield opened


async def test_a_read_is_one_get(store: S3Store, fault_server: FaultServer) -> None:
    """No HEAD, one range, If-Match, one connection."""
    assert BODY[10:20] == await store.get(OBJECT, 10, 20)
    (head,) = fault_server.requests
    assert head.startswith("GET /bucket/dir/key HTTP/1.1\r\n")
    lines = head.lower().split("\r\n")
    assert "range: bytes=10-19" in lines
    assert f"if-match: {ETAG}" in lines
    assert {"GET": 1} == store.requests


@pytest.mark.parametrize("answer", TRANSIENT.values(), ids=TRANSIENT)
async def test_what_passes_is_retried(
    store: S3Store, fault_server: FaultServer, answer: Answer
) -> None:
    """Twice the same fault, then a good answer: the reader notices nothing."""
    fault_server.answers.extend([answer, answer])
    assert BODY[10:20] == await store.get(OBJECT, 10, 20)
    assert (3, 2) == (store.requests["GET"], store.retry_count)
    assert 0 == store.concurrency.in_flight


@pytest.mark.parametrize("answer", TRANSIENT.values(), ids=TRANSIENT)
async def test_what_does_not_pass_is_reported(
    store: S3Store, fault_server: FaultServer, answer: Answer
) -> None:
    """After the last attempt, as an error of ours; the next request is as good as ever."""
    fault_server.answers.extend([answer] * 3)
    with pytest.raises(StoreUnavailableError, match="dir/key"):
        await store.get(OBJECT, 10, 20)
    assert 3 == len(fault_server.requests)
    assert BODY[10:20] == await store.get(OBJECT, 10, 20)


@pytest.mark.parametrize("answer", [error_answer(503, "SlowDown"), Answer(status=429)])
async def test_throttling_is_noticed(
    store: S3Store, fault_server: FaultServer, answer: Answer
) -> None:
    """A LIST and a GET lower the same limit."""
    before = store.concurrency.limit
    fault_server.answers.append(answer)
    await store.get(OBJECT, 10, 20)
    assert (1, True) == (store.concurrency.throttled_count, store.concurrency.limit < before)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error_answer(403, "AccessDenied"), AccessDeniedError),
        (error_answer(403, "InvalidAccessKeyId"), CredentialsError),
        (error_answer(404, "NoSuchKey"), ObjectNotFoundError),
        (error_answer(412, "PreconditionFailed"), PreconditionFailedError),
        (error_answer(400, "InvalidArgument"), RequestRejectedError),
        (Answer(status=200, headers=(("ETag", ETAG),), body=BODY), RequestRejectedError),
        (Answer(status=200, headers=(("ETag", ETAG),), body=BODY[10:20]), RequestRejectedError),
        (
            part_of_body(10, 20, headers=(("Content-Range", "bytes 10-19/4096"),)),
            RequestRejectedError,
        ),
    ],
)
async def test_what_is_final_is_not_retried(
    store: S3Store, fault_server: FaultServer, answer: Answer, expected: type[StoreError]
) -> None:
    """One request, one error, and what the store said about it."""
    fault_server.answers.append(answer)
    with pytest.raises(expected) as caught:
        await store.get(OBJECT, 10, 20)
    assert 1 == len(fault_server.requests)
    if answer.status >= 300:
        assert (answer.status, "REQ1") == (caught.value.status, caught.value.request_id)


async def test_a_store_that_ignores_if_match_is_not_believed(
    store: S3Store, fault_server: FaultServer
) -> None:
    """The bytes of another version are thrown away."""
    fault_server.answers.append(part_of_body(10, 20, etag='"another"'))
    with pytest.raises(PreconditionFailedError, match="another"):
        await store.get(OBJECT, 10, 20)


async def test_an_object_that_is_shorter_than_its_listing_is_a_range_error(
    store: S3Store, fault_server: FaultServer
) -> None:
    """The right version, but not so many bytes: repeating it would not help."""
    with pytest.raises(RangeError):
        await store.get(OBJECT, len(BODY) - 5, len(BODY) + 5)
    assert 1 == len(fault_server.requests)


async def test_an_unsatisfiable_range_of_the_right_version_is_a_range_error(
    store: S3Store, fault_server: FaultServer
) -> None:
    """A HEAD tells it from a replaced object."""
    head = part_of_body(0, len(BODY), status=200)
    fault_server.answers.extend([error_answer(416, "InvalidRange"), head])
    with pytest.raises(RangeError):
        await store.get(OBJECT, 5000, 5001)


async def test_a_request_that_hangs_is_cut_off_and_sent_again(
    config: S3Config, fault_server: FaultServer
) -> None:
    """Connected and silent is no answer, at whatever byte it stops."""
    async with open_s3_store(replace(config, deadline_seconds=0.9)) as store:
        for hanging in (
            Answer(raw=b"", then="hang"),
            part_of_body(10, 20, sent_bytes=0, then="hang"),
            part_of_body(10, 20, sent_bytes=5, then="hang"),
        ):
            fault_server.answers.append(hanging)
            assert BODY[10:20] == await store.get(OBJECT, 10, 20)


async def test_a_store_that_hangs_ends_in_a_deadline(
    config: S3Config, fault_server: FaultServer
) -> None:
    """For every kind of request."""
    async with open_s3_store(replace(config, deadline_seconds=0.3)) as store:
        fault_server.answers.extend([Answer(raw=b"", then="hang")] * 9)
        with pytest.raises(DeadlineError):
            await store.get(OBJECT, 10, 20)
        with pytest.raises(DeadlineError):
            await store.list_page("")
        with pytest.raises(DeadlineError):
            await store.head("key")


async def test_a_cancelled_read_has_ended(
    store: S3Store, fault_server: FaultServer, nursery: trio.Nursery
) -> None:
    """When `get` is back, nothing is in flight, and the connection is gone."""
    fault_server.answers.append(Answer(raw=b"", then="hang"))
    scope = trio.CancelScope()

    async def read() -> None:
        with scope:
            await store.get(OBJECT, 10, 20)

    async with trio.open_nursery() as readers:
        readers.start_soon(read)
        with trio.fail_after(10):
            while not fault_server.requests:
                await trio.lowlevel.checkpoint()
        scope.cancel()
    assert scope.cancelled_caught
    assert (1, 0) == (len(fault_server.requests), store.concurrency.in_flight)
    assert BODY[10:20] == await store.get(OBJECT, 10, 20)


async def test_a_cancelled_caller_sends_nothing_twice(
    store: S3Store, fault_server: FaultServer
) -> None:
    """A cancelled scope stays cancelled; no attempt follows."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.get(OBJECT, 10, 20)
    assert scope.cancelled_caught
    assert len(fault_server.requests) <= 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>maintenance</html>", b"<ListBucketResult><Contents>", b"\x00\xff"]
)
async def test_a_garbled_listing_is_asked_for_again(
    store: S3Store, fault_server: FaultServer, body: bytes
) -> None:
    """It may be a proxy's page; if it stays, the store is unavailable, not empty."""
    good = Answer(body=b"<ListBucketResult></ListBucketResult>")
    fault_server.answers.extend([Answer(body=body), good])
    assert ([], [], "") == await store.list_page("")
    fault_server.answers.extend([Answer(body=body)] * 3)
    with pytest.raises(StoreUnavailableError, match="no listing"):
        await store.list_page("")


async def test_an_error_in_a_good_answer_is_an_error(
    store: S3Store, fault_server: FaultServer
) -> None:
    """S3 may begin an answer with 200 and find out later."""
    late = replace(error_answer(200, "InternalError"), status=200)
    fault_server.answers.extend([late, Answer(body=b"<ListBucketResult></ListBucketResult>")])
    assert ([], [], "") == await store.list_page("")
    assert 2 == len(fault_server.requests)


async def test_finished_exchanges_need_no_garbage_collector(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are large: they must go when the last reader lets go of them."""
    exchanges: list[weakref.ref[Exchange]] = []

    class WatchedExchange(Exchange):
        def __init__(self, token: trio.lowlevel.TrioToken) -> None:
            super().__init__(token)
            exchanges.append(weakref.ref(self))

    monkeypatch.setattr("mountfs.store.s3_connection.Exchange", WatchedExchange)
    gc.disable()
    try:
        for _ in range(5):
            await store.get(OBJECT, 10, 20)
        with trio.fail_after(10):
            # CRT lets go of a request on a thread of its own.
            while any(exchange() is not None for exchange in exchanges):
                await wait_all_tasks_blocked()
    finally:
        gc.enable()


async def test_an_etag_without_quotes_is_the_same(
    store: S3Store, fault_server: FaultServer
) -> None:
    """Some stores leave the quotes out, in listings or in headers."""
    fault_server.answers.append(part_of_body(10, 20, etag=ETAG.strip('"')))
    assert BODY[10:20] == await store.get(OBJECT, 10, 20)


@pytest.mark.parametrize(
    ("etag", "expected"), [('"\ud800"', RequestRejectedError), ('"\n"', StoreError)]
)
async def test_what_awscrt_refuses_to_send_is_an_error_of_ours(
    store: S3Store, etag: str, expected: type[StoreError]
) -> None:
    """Nothing of awscrt's gets out of the store."""
    with pytest.raises(expected):
        await store.get(ObjectId("key", etag), 10, 20)
