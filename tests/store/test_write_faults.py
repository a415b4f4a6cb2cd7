"""A store that misbehaves while something is changed: retried, reported, never believed."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from mountfs.errors import (
    AccessDeniedError,
    CorruptedError,
    ObjectTooLargeError,
    PreconditionFailedError,
    QuotaExceededError,
    RequestRejectedError,
    StorageFullError,
    StoreError,
    StoreUnavailableError,
    ThrottledError,
    UsageError,
)
from mountfs.objects import ObjectHeaders, ObjectId, UploadedPart
from mountfs.store.checksums import crc_text
from mountfs.store.config import S3Config
from mountfs.store.s3 import open_s3_store
from tests.store.fault_server import Answer, error_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mountfs.store.s3 import S3Store
    from tests.store.fault_server import FaultServer

NO_HEADERS = ObjectHeaders()
MD5 = '"0123456789abcdef0123456789abcdef"'
SOURCE = ObjectId("source", MD5)
PARTS = [UploadedPart(1, MD5, 4)]
COMPOSED = '"ab5e8da5d9d5cda8d4f4b32fdc5a4d1f-1"'
DATE = ("Date", "Sat, 21 Nov 2026 03:04:05 GMT")


def document(body: str) -> Answer:
    """Return a good answer that holds a document."""
    return Answer(headers=(DATE,), body=f"<?xml version='1.0'?>\n{body}".encode())


GOOD = {
    "PUT": Answer(headers=(("ETag", MD5), DATE, ("x-amz-checksum-crc64nvme", "x"))),
    "UPLOAD_PART": Answer(headers=(("ETag", MD5), ("x-amz-checksum-crc64nvme", "x"))),
    "CREATE_UPLOAD": document("<R xmlns='a'><UploadId>id</UploadId></R>"),
    "COPY_PART": document(f"<CopyPartResult><ETag>{MD5}</ETag></CopyPartResult>"),
    "COMPLETE_UPLOAD": document('<R><ETag>"another-kind"</ETag></R>'),
    "ABORT_UPLOAD": Answer(status=204),
    "LIST_UPLOADS": document("<ListMultipartUploadsResult></ListMultipartUploadsResult>"),
    "COPY": document(
        f"<R><LastModified>2026-11-21T03:04:05.678Z</LastModified><ETag>{MD5}</ETag></R>"
    ),
    "DELETE": Answer(status=204),
    "DELETE_MANY": document("<DeleteResult xmlns='a'></DeleteResult>"),
}

CALLS: dict[str, Callable[[S3Store], Awaitable[object]]] = {
    "PUT": lambda store: store.put("key", [b"body"], NO_HEADERS),
    "UPLOAD_PART": lambda store: store.upload_part("key", "id", 1, [b"body"]),
    "CREATE_UPLOAD": lambda store: store.create_upload("key", NO_HEADERS),
    "COPY_PART": lambda store: store.copy_part("key", "id", 1, SOURCE, 0, 4),
    "COMPLETE_UPLOAD": lambda store: store.complete_upload("key", "id", PARTS),
    "ABORT_UPLOAD": lambda store: store.abort_upload("key", "id"),
    "LIST_UPLOADS": lambda store: store.list_uploads("key"),
    "COPY": lambda store: store.copy(SOURCE, "key", None, size_bytes=4),
    "DELETE": lambda store: store.delete("key"),
    "DELETE_MANY": lambda store: store.delete_many(["key"]),
}

HEAD_OF_SOURCE = Answer(
    headers=(("ETag", MD5), ("Last-Modified", DATE[1]), ("Content-Length", "4"))
)
HEAD_OF_NOTHING = Answer(status=404)

TRANSIENT = {
    "503": error_answer(503, "SlowDown"),
    "500": error_answer(500, "InternalError"),
    "409": error_answer(409, "ConditionalRequestConflict"),
    "damaged on the way": error_answer(400, "BadDigest"),
    "reset": Answer(raw=b"", then="reset"),
    "closed": Answer(raw=b"", then="close"),
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


def after(kind: str, faults: list[Answer], good: Answer) -> list[Answer]:
    """Return what the server says: *faults*, and what is asked between and after them."""
    answers: list[Answer] = []
    for fault in faults:
        answers.append(fault)
        # Before an upload is completed again, somebody looks whether it was.
        if kind == "COMPLETE_UPLOAD" and fault.status not in (409, 503):
            answers.append(HEAD_OF_NOTHING)
    return [*answers, good, *([HEAD_OF_SOURCE] if kind == "COPY_PART" else [])]


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
async def test_what_passes_is_retried(
    store: S3Store, fault_server: FaultServer, fault: Answer
) -> None:
    """Twice the same fault, then a good answer: the caller notices nothing, whatever it asked."""
    for kind, call in CALLS.items():
        fault_server.answers.extend(after(kind, [fault, fault], GOOD[kind]))
        answer = await call(store)
        assert (kind, 3, []) == (kind, store.requests[kind], list(fault_server.answers))
        assert kind != "DELETE_MANY" or answer == {}
    assert 0 == store.concurrency.in_flight


async def test_what_does_not_pass_is_reported(store: S3Store, fault_server: FaultServer) -> None:
    """After the last attempt, as an error of ours."""
    for kind, call in CALLS.items():
        fault_server.answers.extend([error_answer(503, "SlowDown")] * 3)
        if kind == "DELETE_MANY":
            assert isinstance((await store.delete_many(["key"]))["key"], ThrottledError)
        else:
            with pytest.raises(ThrottledError, match="key"):
                await call(store)
        assert (kind, 3) == (kind, store.requests[kind])
    assert 0 == store.concurrency.in_flight


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error_answer(403, "AccessDenied"), AccessDeniedError),
        (error_answer(400, "KMS.DisabledException"), AccessDeniedError),
        (error_answer(403, "QuotaExceeded"), QuotaExceededError),
        (error_answer(507, "XMinioStorageFull"), StorageFullError),
        (Answer(status=507), StorageFullError),
        (error_answer(400, "EntityTooLarge"), ObjectTooLargeError),
        (Answer(status=413), ObjectTooLargeError),
        (error_answer(412, "PreconditionFailed"), PreconditionFailedError),
        (error_answer(400, "MetadataTooLarge"), RequestRejectedError),
    ],
)
async def test_what_is_final_is_not_retried(
    store: S3Store, fault_server: FaultServer, answer: Answer, expected: type[StoreError]
) -> None:
    """One request, one error; what may be the checksum's fault is tried once without."""
    fault_server.answers.extend([answer, answer])
    with pytest.raises(expected):
        await store.put("key", [b"body"], NO_HEADERS)
    assert (2 if expected is RequestRejectedError else 1) == len(fault_server.requests)


@pytest.mark.parametrize("kind", ["COMPLETE_UPLOAD", "COPY", "COPY_PART", "CREATE_UPLOAD"])
async def test_an_error_under_200_is_an_error(
    store: S3Store, fault_server: FaultServer, kind: str
) -> None:
    """S3 says 200, keeps the connection alive with blanks, and fails then."""
    late = error_answer(200, "InternalError")
    late = replace(late, body=b"<?xml version='1.0'?>   \n  " + late.body.partition(b"?>")[2])
    blank = Answer(body=b"   \n  ")
    half = replace(GOOD[kind], body=GOOD[kind].body[:-5])
    for fault in (late, blank, half):
        fault_server.answers.extend(after(kind, [fault], GOOD[kind]))
        await CALLS[kind](store)
    assert 6 == store.requests[kind]
    fault_server.answers.append(replace(error_answer(200, "AccessDenied"), status=200))
    with pytest.raises(AccessDeniedError):
        await CALLS[kind](store)
    assert 7 == store.requests[kind]


async def test_blanks_before_a_good_document_are_no_error(
    store: S3Store, fault_server: FaultServer
) -> None:
    """They only kept the connection alive."""
    good = GOOD["COPY"]
    fault_server.answers.append(replace(good, body=b"\n\n   " + good.body))
    info = await store.copy(SOURCE, "key", None, size_bytes=4)
    assert (MD5, 4, 1795230245 * 10**9) == (info.etag, info.size_bytes, info.mtime_ns)


async def test_an_object_that_is_not_what_was_sent_is_reported(
    store: S3Store, fault_server: FaultServer
) -> None:
    """The ETag follows from those of the parts, where they are MD5s."""
    wrong = document('<R><ETag>"0123456789abcdef0123456789abcdef-1"</ETag></R>')
    fault_server.answers.append(wrong)
    with pytest.raises(CorruptedError):
        await store.complete_upload("key", "id", PARTS)
    encrypted = replace(wrong, headers=(DATE, ("x-amz-server-side-encryption", "aws:kms")))
    fault_server.answers.append(encrypted)
    await store.complete_upload("key", "id", PARTS)


async def test_single_keys_of_a_bulk_delete_are_retried_and_reported(
    store: S3Store, fault_server: FaultServer
) -> None:
    """Only what was refused for the moment is asked for again."""
    fault_server.answers.extend(
        [
            document(
                "<DeleteResult><Error><Key>busy</Key><Code>SlowDown</Code></Error>"
                "<Error><Key>kept</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
                "<Error><Key>gone</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
            ),
            GOOD["DELETE_MANY"],
        ]
    )
    failures = await store.delete_many(["a", "busy", "kept", "gone"])
    assert ["kept"] == list(failures)
    assert isinstance(failures["kept"], AccessDeniedError)
    assert (1, True) == (
        fault_server.bodies[-1].count(b"<Object>"),
        b"<Key>busy</Key>" in fault_server.bodies[-1],
    )
    assert "content-md5" in fault_server.requests[-1].lower()


async def test_checksums_are_sent_until_the_store_ignores_them(
    store: S3Store, fault_server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once is enough to learn it, and one line in the log to say so."""
    caplog.set_level(logging.INFO, "mountfs")
    ignoring = replace(GOOD["PUT"], headers=GOOD["PUT"].headers[:2])
    fault_server.answers.extend([GOOD["PUT"], ignoring, ignoring, ignoring])
    for _ in range(4):
        await store.put("key", [b"bo", b"dy"], NO_HEADERS)
    header = f"x-amz-checksum-crc64nvme: {crc_text(b'body')}".lower()
    assert [True, True, False, False] == [
        header in request.lower() for request in fault_server.requests
    ]
    assert 1 == len(caplog.records)


async def test_a_store_that_rejects_checksums_gets_none(
    store: S3Store, fault_server: FaultServer
) -> None:
    """The same request goes without, and the next ones too."""
    rejecting = error_answer(501, "NotImplemented")
    fault_server.answers.extend([rejecting, GOOD["CREATE_UPLOAD"], GOOD["UPLOAD_PART"]])
    await store.create_upload("key", NO_HEADERS)
    await store.upload_part("key", "id", 1, [b"body"])
    assert [True, False, False] == ["checksum" in head for head in fault_server.requests]


async def test_what_is_configured_goes_with_everything_that_is_written(
    config: S3Config, fault_server: FaultServer
) -> None:
    """Storage class, encryption and ACL; a part has none of its own."""
    configured = replace(
        config, storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="id", acl="private"
    )
    wanted = {
        "x-amz-storage-class: standard_ia",
        "x-amz-server-side-encryption: aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id: id",
        "x-amz-acl: private",
    }
    async with open_s3_store(configured) as store:
        for kind in ("PUT", "COPY", "CREATE_UPLOAD", "UPLOAD_PART"):
            fault_server.answers.append(GOOD[kind])
            await CALLS[kind](store)
            lines = set(fault_server.requests[-1].lower().split("\r\n"))
            assert (set() if kind == "UPLOAD_PART" else wanted) == lines & wanted


@pytest.mark.parametrize("option", [{"acl": "private"}, {"storage_class": "GLACIER"}])
async def test_an_express_bucket_refuses_what_it_has_not(option: dict[str, Any]) -> None:
    """Before the first write does."""
    with pytest.raises(UsageError, match="Express"):
        async with open_s3_store(S3Config(bucket="b--usw2-az1--x-s3", **option)):
            pass


async def test_a_cancelled_write_has_ended(store: S3Store, fault_server: FaultServer) -> None:
    """When the call is back nobody reads the buffers any more."""
    fault_server.answers.append(Answer(raw=b"", then="hang"))
    scope = trio.CancelScope()
    body = bytearray(b"body")

    async def write() -> None:
        with scope:
            await store.put("key", [body], NO_HEADERS)

    async with trio.open_nursery() as writers:
        writers.start_soon(write)
        with trio.fail_after(10):
            while not fault_server.requests:
                await trio.lowlevel.checkpoint()
        scope.cancel()
    assert (True, 0) == (scope.cancelled_caught, store.concurrency.in_flight)
    body.append(0)  # raises BufferError if it is still in use


async def test_a_listing_of_uploads_is_read_to_its_end(
    store: S3Store, fault_server: FaultServer
) -> None:
    """Page by page, with both markers."""
    upload = "<Upload><Key>{0}</Key><UploadId>{0}</UploadId><Initiated>{1}</Initiated></Upload>"
    page = partial("<ListMultipartUploadsResult>{}{}</ListMultipartUploadsResult>".format)
    more = (
        "<IsTruncated>true</IsTruncated><NextKeyMarker>a b</NextKeyMarker>"
        "<NextUploadIdMarker>i/d</NextUploadIdMarker>"
    )
    fault_server.answers.extend(
        [
            document(page(upload.format("k2", "2026-11-21T03:04:05.000Z"), more)),
            document(page(upload.format("k1", "2026-11-21T03:04:06.000Z"), "")),
        ]
    )
    assert ["k1", "k2"] == [found.key for found in await store.list_uploads("k")]
    assert "key-marker=a%20b" in fault_server.requests[1]
    assert "upload-id-marker=i%2Fd" in fault_server.requests[1]


async def test_an_answer_that_stays_garbled_is_no_success(
    store: S3Store, fault_server: FaultServer
) -> None:
    """A proxy's page instead of a result."""
    fault_server.answers.extend([Answer(body=b"<html>sorry</html>")] * 3)
    with pytest.raises(StoreUnavailableError):
        await store.copy(SOURCE, "key", None, size_bytes=4)
