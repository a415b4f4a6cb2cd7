"""What `ObjectStore` promises of uploads in parts, on every store."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    RequestRejectedError,
    UploadNotFoundError,
)
from mountfs.objects import ObjectId, UploadedPart
from tests.store.test_contract_write import ANOTHER_ETAG, HEADERS, NO_HEADERS, put

if TYPE_CHECKING:
    from tests.store.backends import Backend

PART_BYTES = 5 * 1024 * 1024
"""S3 takes no smaller part but the last."""

ODD_KEY = "dir with space/ünï+%20?&🙂"


def content(size_bytes: int, *, seed: int) -> bytes:
    """Return bytes that compare unequal where they should."""
    return random.Random(seed).randbytes(size_bytes)


async def test_parts_become_one_object(backend: Backend) -> None:
    """Sent in any order, one of them twice; nothing is to be seen before the end."""
    store = backend.store
    first, second = content(PART_BYTES, seed=1), content(PART_BYTES, seed=2)
    upload_id = await store.create_upload(ODD_KEY, HEADERS)
    parts = [
        await store.upload_part(ODD_KEY, upload_id, 3, [b"the ", memoryview(b"end")]),
        await store.upload_part(ODD_KEY, upload_id, 2, [second]),
        await store.upload_part(ODD_KEY, upload_id, 1, [second]),
    ]
    parts[-1] = await store.upload_part(ODD_KEY, upload_id, 1, [first[:9], first[9:]])
    with pytest.raises(ObjectNotFoundError):
        await store.head(ODD_KEY)
    info = await store.complete_upload(ODD_KEY, upload_id, sorted(parts))
    head = await store.head_details(ODD_KEY)
    assert info[:3] == head.info[:3]
    assert abs(info.mtime_ns - head.info.mtime_ns) <= 2 * 10**9
    assert HEADERS == head.headers
    assert first + second + b"the end" == backend.read(ODD_KEY)
    digests = [hashlib.md5(body).digest() for body in (first, second, b"the end")]
    assert f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"' == info.etag
    assert [] == backend.uploads()
    assert 0 == store.concurrency.in_flight


async def test_parts_can_be_copied_from_other_objects(backend: Backend) -> None:
    """Any range, next to parts that are sent; from any key."""
    store = backend.store
    body = content(PART_BYTES + 100, seed=3)
    source = await put(store, ODD_KEY, body)
    upload_id = await store.create_upload("key", NO_HEADERS)
    parts = [
        await store.copy_part("key", upload_id, 1, source, 50, PART_BYTES + 50),
        await store.upload_part("key", upload_id, 2, [b"tail"]),
    ]
    assert [PART_BYTES, 4] == [part.size_bytes for part in parts]
    info = await store.complete_upload("key", upload_id, parts)
    assert PART_BYTES + 4 == info.size_bytes
    assert body[50 : PART_BYTES + 50] + b"tail" == backend.read("key")


@pytest.mark.parametrize(("key", "trap"), [("a%20b", "a b"), ("a?versionId=null", "a")])
async def test_no_part_is_copied_of_a_key_that_only_looks_the_same(
    backend: Backend, key: str, trap: str
) -> None:
    """RGW decodes the source of a part twice."""
    store = backend.store
    backend.put(trap, b"wrong")
    source = backend.put(key, b"right")
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.copy_part("key", upload_id, 1, source, 0, 5)
    await store.complete_upload("key", upload_id, [part])
    assert b"right" == backend.read("key")


async def test_a_part_is_copied_of_the_version_that_was_asked_for(backend: Backend) -> None:
    """A source that was replaced or removed is an error."""
    store = backend.store
    old = backend.put("source", b"old")
    backend.put("source", b"new")
    upload_id = await store.create_upload("key", NO_HEADERS)
    with pytest.raises(PreconditionFailedError):
        await store.copy_part("key", upload_id, 1, old, 0, 3)
    backend.delete("source")
    with pytest.raises(ObjectNotFoundError):
        await store.copy_part("key", upload_id, 1, old, 0, 3)
    await store.abort_upload("key", upload_id)


async def test_an_aborted_upload_leaves_nothing(backend: Backend) -> None:
    """Aborting it again is no error; using it is one."""
    store = backend.store
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.upload_part("key", upload_id, 1, [b"part"])
    assert ["key"] == backend.uploads()
    for _ in range(2):
        await store.abort_upload("key", upload_id)
    assert [] == backend.uploads()
    if backend.name != "moto":  # it answers 500
        source = backend.put("source", b"body")
        with pytest.raises(UploadNotFoundError):
            await store.upload_part("key", upload_id, 1, [b"part"])
        with pytest.raises(UploadNotFoundError):
            await store.copy_part("key", upload_id, 1, source, 0, 4)
    if backend.name == "fake":  # the others answer 500
        with pytest.raises(UploadNotFoundError):
            await store.complete_upload("key", upload_id, [part])
    with pytest.raises(ObjectNotFoundError):
        await store.head("key")


async def test_completing_can_insist_on_a_version(backend: Backend) -> None:
    """A refused upload is still there, and can be completed or aborted."""
    store = backend.store
    old = backend.put("key", b"old")
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.upload_part("key", upload_id, 1, [b"new"])
    for expected_etag in ("", ANOTHER_ETAG):
        with pytest.raises(PreconditionFailedError):
            await store.complete_upload("key", upload_id, [part], expected_etag=expected_etag)
    assert (b"old", ["key"]) == (backend.read("key"), backend.uploads())
    await store.complete_upload("key", upload_id, [part], expected_etag=old.etag)
    assert (b"new", []) == (backend.read("key"), backend.uploads())


async def test_completing_can_insist_on_nothing_there(backend: Backend) -> None:
    """As a PUT can."""
    store = backend.store
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.upload_part("key", upload_id, 1, [b"new"])
    await store.complete_upload("key", upload_id, [part], expected_etag="")
    assert b"new" == backend.read("key")


async def test_a_part_that_is_not_the_uploaded_one_is_refused(backend: Backend) -> None:
    """Nothing is put together of the wrong things."""
    store = backend.store
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.upload_part("key", upload_id, 1, [b"part"])
    wrong = part._replace(etag=ANOTHER_ETAG)
    with pytest.raises(RequestRejectedError) as caught:
        await store.complete_upload("key", upload_id, [wrong])
    assert "InvalidPart" == caught.value.code
    missing = UploadedPart(2, ANOTHER_ETAG, 4)
    with pytest.raises(RequestRejectedError):
        await store.complete_upload("key", upload_id, [part, missing])
    await store.abort_upload("key", upload_id)


async def test_a_small_part_in_the_middle_is_refused(backend: Backend) -> None:
    """Only the last one may be small."""
    store = backend.store
    upload_id = await store.create_upload("key", NO_HEADERS)
    parts = [await store.upload_part("key", upload_id, n, [b"part"]) for n in (1, 2)]
    with pytest.raises(RequestRejectedError) as caught:
        await store.complete_upload("key", upload_id, parts)
    assert "EntityTooSmall" == caught.value.code
    await store.abort_upload("key", upload_id)


async def test_unfinished_uploads_are_listed_by_prefix(backend: Backend) -> None:
    """In order of keys, each with its id; two of one key are two."""
    store = backend.store
    keys = ["a/1", ODD_KEY, "a/2", "b", "a/1"]
    made = sorted([(key, await store.create_upload(key, NO_HEADERS)) for key in keys])
    found = await store.list_uploads("")
    assert made == sorted((pending.key, pending.upload_id) for pending in found)
    assert sorted(keys) == [pending.key for pending in found]
    assert ["a/1", "a/1", "a/2"] == [pending.key for pending in await store.list_uploads("a/")]
    assert [] == await store.list_uploads("nothing")
    assert all(pending.initiated_ns > 10**18 for pending in found)
    for key, upload_id in made:
        await store.abort_upload(key, upload_id)
    assert [] == await store.list_uploads("")


async def test_the_object_of_an_upload_can_be_copied(backend: Backend) -> None:
    """Whatever the copy's ETag is, the answer tells it."""
    store = backend.store
    upload_id = await store.create_upload("key", NO_HEADERS)
    part = await store.upload_part("key", upload_id, 1, [b"part"])
    info = await store.complete_upload("key", upload_id, [part])
    copied = await store.copy(ObjectId("key", info.etag), "copy", None, size_bytes=4)
    assert (copied.etag, b"part") == ((await store.head("copy")).etag, backend.read("copy"))
