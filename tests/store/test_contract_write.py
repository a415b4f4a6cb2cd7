"""What `ObjectStore` promises of changes to whole objects, on every store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import ObjectNotFoundError, PreconditionFailedError
from mountfs.objects import ObjectHeaders, ObjectId
from tests.store.test_contract import zoo_of

if TYPE_CHECKING:
    from mountfs.objects import Body
    from mountfs.store.protocol import ObjectStore
    from tests.store.backends import Backend

NO_HEADERS = ObjectHeaders()

HEADERS = ObjectHeaders(
    content_type="text/x-tested; charset=utf-8",
    cache_control="max-age=7",
    content_encoding="identity",
    content_disposition='attachment; filename="a b"',
    content_language="de",
    metadata={"mode": "33188", "with-dash": "a b", "symbols": "a=1;b=\"2\",{'c':3}"},
)

ANOTHER_ETAG = '"00112233445566778899aabbccddeeff"'


async def put(store: ObjectStore, key: str, body: bytes) -> ObjectId:
    """Store an object and return its version."""
    return ObjectId(key, (await store.put(key, [body], NO_HEADERS)).etag)


async def test_what_is_put_is_there_for_everybody(backend: Backend) -> None:
    """The answer says what a HEAD says; buffers of all kinds are sent in order."""
    body: Body = [b"abc", bytearray(b"def"), memoryview(b"xxghixx")[2:5], b""]
    info = await backend.store.put("key", body, NO_HEADERS)
    assert b"abcdefghi" == backend.read("key")
    head = await backend.store.head("key")
    assert info[:3] == head[:3]
    assert abs(info.mtime_ns - head.mtime_ns) <= 2 * 10**9
    assert 0 == info.mtime_ns % 10**9
    if backend.name != "fake":
        assert abs(info.mtime_ns / 1e9 - time.time()) < 60
    assert 0 == backend.store.concurrency.in_flight


async def test_an_empty_object_can_be_put(backend: Backend) -> None:
    """With no buffer, or an empty one."""
    assert 0 == (await backend.store.put("none", [], NO_HEADERS)).size_bytes
    assert 0 == (await backend.store.put("empty", [b""], NO_HEADERS)).size_bytes
    assert b"" == backend.read("none") == backend.read("empty")


async def test_odd_keys_can_be_put_copied_and_deleted(backend: Backend) -> None:
    """Also as the source of a copy, which travels in a header."""
    for number, key in enumerate(zoo_of(backend)):
        source = await put(backend.store, key, b"%d" % number)
        assert b"%d" % number == backend.read(key)
        info = await backend.store.copy(source, f"to {number}", None, size_bytes=len(str(number)))
        assert source.etag == info.etag
        assert b"%d" % number == backend.read(f"to {number}")
        await backend.store.delete(key)
        with pytest.raises(ObjectNotFoundError):
            await backend.store.head(key)


async def test_headers_and_metadata_come_back(backend: Backend) -> None:
    """For us and for others; what was not said is not made up."""
    info = await backend.store.put("key", [b"body"], HEADERS)
    details = await backend.store.head_details("key")
    assert (info.etag, 4, "key") == (details.info.etag, details.info.size_bytes, details.info.key)
    assert HEADERS == details.headers
    assert HEADERS == backend.describe("key")
    assert "STANDARD" == details.storage_class


@pytest.mark.parametrize(
    "value",
    ["ünïcödé 日本語 🙂", " blanks at the ends ", "two  blanks", "a\nb", "=?UTF-8?B?YQ==?="],
)
async def test_metadata_holds_any_text(backend: Backend, value: str) -> None:
    """Though HTTP does not."""
    headers = ObjectHeaders(metadata={"name": value})
    await backend.store.put("key", [], headers)
    assert value == (await backend.store.head_details("key")).headers.metadata["name"]


async def test_a_put_replaces_headers_too(backend: Backend) -> None:
    """Nothing of the old object stays."""
    await backend.store.put("key", [b"old"], HEADERS)
    await backend.store.put("key", [b"new"], ObjectHeaders(metadata={"a": "b"}))
    headers = (await backend.store.head_details("key")).headers
    assert ("", {"a": "b"}) == (headers.cache_control, headers.metadata)


async def test_a_put_can_insist_on_nothing_there(backend: Backend) -> None:
    """The second one is refused, and changes nothing."""
    await backend.store.put("key", [b"first"], NO_HEADERS, expected_etag="")
    with pytest.raises(PreconditionFailedError):
        await backend.store.put("key", [b"second"], NO_HEADERS, expected_etag="")
    assert b"first" == backend.read("key")


async def test_a_put_can_insist_on_a_version(backend: Backend) -> None:
    """Another version and none at all are refused, also the second time."""
    first = backend.put("key", b"first")
    for _ in range(2):
        with pytest.raises(PreconditionFailedError):
            await backend.store.put("key", [b"x"], NO_HEADERS, expected_etag=ANOTHER_ETAG)
        with pytest.raises(PreconditionFailedError):
            await backend.store.put("none", [b"x"], NO_HEADERS, expected_etag=first.etag)
    second = await backend.store.put("key", [b"second"], NO_HEADERS, expected_etag=first.etag)
    with pytest.raises(PreconditionFailedError):
        await backend.store.put("key", [b"third"], NO_HEADERS, expected_etag=first.etag)
    await backend.store.put("key", [b"third"], NO_HEADERS, expected_etag=second.etag)
    assert b"third" == backend.read("key")


async def test_a_copy_keeps_headers_unless_told(backend: Backend) -> None:
    """Given ones replace all, also onto itself."""
    info = await backend.store.put("key", [b"body"], HEADERS)
    source = ObjectId("key", info.etag)
    copied = await backend.store.copy(source, "copy", None, size_bytes=4)
    head = await backend.store.head("copy")
    assert copied[:3] == head[:3]
    assert HEADERS == backend.describe("copy")
    other = ObjectHeaders(content_type="a/b", metadata={"c": "d"})
    await backend.store.copy(source, "key", other, size_bytes=4)
    assert (other, b"body") == (backend.describe("key"), backend.read("key"))


async def test_a_copy_is_of_the_version_that_was_asked_for(backend: Backend) -> None:
    """A source that was replaced or removed is an error."""
    old = backend.put("key", b"old")
    backend.put("key", b"new")
    with pytest.raises(PreconditionFailedError):
        await backend.store.copy(old, "copy", None, size_bytes=3)
    backend.delete("key")
    with pytest.raises(ObjectNotFoundError):
        await backend.store.copy(old, "copy", None, size_bytes=3)


async def test_a_copy_can_be_conditional(backend: Backend) -> None:
    """As a PUT is."""
    source = backend.put("source", b"source")
    target = backend.put("target", b"target")
    for expected_etag in ("", ANOTHER_ETAG):
        with pytest.raises(PreconditionFailedError):
            await backend.store.copy(
                source, "target", None, size_bytes=6, expected_etag=expected_etag
            )
    assert b"target" == backend.read("target")
    await backend.store.copy(source, "target", None, size_bytes=6, expected_etag=target.etag)
    await backend.store.copy(source, "new", None, size_bytes=6, expected_etag="")
    assert b"source" == backend.read("target") == backend.read("new")


async def test_deleting_what_is_not_there_is_no_error(backend: Backend) -> None:
    """One or many."""
    backend.put("key", b"")
    for _ in range(2):
        await backend.store.delete("key")
    assert {} == await backend.store.delete_many(["key", "nothing"])
    assert {} == await backend.store.delete_many([])


@pytest.mark.dear
async def test_1001_keys_are_deleted_in_2_requests(backend: Backend) -> None:
    """And no others."""
    keys = [f"d/{number:04d}" for number in range(1001)]
    backend.put_all([*keys, "kept"])
    assert {} == await backend.store.delete_many(keys)
    assert ["kept"] == [info.key for info in (await backend.store.list_page("")).objects]
    requests = getattr(backend.store, "requests")  # noqa: B009 - not in the protocol
    assert (2, 0) == (requests["DELETE_MANY"], requests["DELETE"])


async def test_odd_keys_are_deleted_together(backend: Backend) -> None:
    """A document of XML names them, as far as it can."""
    keys = zoo_of(backend)
    backend.put_all(keys)
    assert {} == await backend.store.delete_many(keys)
    assert [] == (await backend.store.list_page("")).objects
