"""What `ObjectStore` promises, on every store: the fake is as good as it behaves like RGW here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    StoreError,
)
from mountfs.keys import sort_key
from mountfs.objects import ObjectId

if TYPE_CHECKING:
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore
    from tests.store.backends import Backend

KEY_ZOO = (
    "plain",
    "with space",
    " leading and trailing ",
    "plus+and%percent%20and%2B",
    "amp&equals=question?hash#semi;colon:comma,",
    "quotes'\"`<tag>&amp;",
    "back\\slash|pipe^caret~tilde*star{brace}[bracket]$@!()",
    "tab\there",
    "new\nline",
    "return\rhere",
    "ünïcödé/日本語/🙂",
    "e\u0301 is not \u00e9",
    "two//slashes",
    "/leading",
    "trailing/",
    "dots/../and/./more",
    "x" * 1024,
    "é" * 512,
)

NOT_ON_MOTO = frozenset(("new\nline", "return\rhere", "/leading", "dots/../and/./more"))
"""moto's own router loses them."""


def zoo_of(backend: Backend) -> list[str]:
    """Return the odd keys that the server itself can hold."""
    return [key for key in KEY_ZOO if backend.name != "moto" or key not in NOT_ON_MOTO]


async def list_all(
    store: ObjectStore, prefix: str, *, delimiter: str = "", start_after: str = ""
) -> tuple[list[ObjectInfo], list[str], int]:
    """Return all objects, all common prefixes, and the number of pages."""
    objects: list[ObjectInfo] = []
    prefixes: list[str] = []
    token, pages = "", 0
    while True:
        page = await store.list_page(
            prefix, delimiter=delimiter, start_after=start_after, token=token
        )
        objects += page.objects
        prefixes += page.prefixes
        pages += 1
        token = page.next_token
        if not token:
            return objects, prefixes, pages


async def test_odd_keys_are_listed_read_and_headed(backend: Backend) -> None:
    """A key is whatever bytes it is: nothing on the way changes, drops or adds one."""
    put = [backend.put(key, b"of " + key.encode()) for key in zoo_of(backend)]
    objects, _, _ = await list_all(backend.store, "")
    assert sorted(put, key=lambda id_: sort_key(id_.key)) == [
        ObjectId(info.key, info.etag) for info in objects
    ]
    for info in objects:
        body = await backend.store.get(ObjectId(info.key, info.etag), 0, info.size_bytes)
        assert b"of " + info.key.encode() == body
        head = await backend.store.head(info.key)
        assert (info.key, info.size_bytes, info.etag) == (head.key, head.size_bytes, head.etag)


async def test_odd_keys_can_be_prefixes_and_starting_points(backend: Backend) -> None:
    """Prefix and start-after take any key, too."""
    keys = sorted(zoo_of(backend), key=sort_key)
    backend.put_all(keys)
    for index, key in enumerate(keys):
        assert key in [info.key for info in (await backend.store.list_page(key)).objects]
        after = await backend.store.list_page("", start_after=key)
        assert keys[index + 1 :] == [info.key for info in after.objects]


async def test_the_order_is_that_of_utf8(backend: Backend) -> None:
    """Neither upper case, nor code units of UTF-16, nor a locale decide the order."""
    keys = ["a", "B", "a/b", "a-", "a0", "\uff5e", "🙂", "é", "~", "Z"]
    backend.put_all(keys)
    objects, _, _ = await list_all(backend.store, "")
    assert sorted(keys, key=sort_key) == [info.key for info in objects]


@pytest.mark.dear
async def test_a_long_listing_comes_in_pages_of_1000(backend: Backend) -> None:
    """1,005 keys are 2 pages, in order, nothing twice; common prefixes count as entries."""
    keys = sorted(f"flat/{index:05d}" for index in range(3))
    keys += sorted(f"tree/{index:05d}/leaf" for index in range(1002))
    backend.put_all(keys)
    objects, prefixes, pages = await list_all(backend.store, "")
    assert (keys, [], 2) == ([info.key for info in objects], prefixes, pages)
    objects, prefixes, pages = await list_all(backend.store, "tree/", delimiter="/")
    assert ([], 2) == (objects, pages)
    assert [f"tree/{index:05d}/" for index in range(1002)] == prefixes
    objects, prefixes, pages = await list_all(backend.store, "", start_after="tree/00000")
    assert (keys[3:], 2) == ([info.key for info in objects], pages)


async def test_a_delimiter_rolls_up_what_lies_deeper(backend: Backend) -> None:
    """Keys up to the delimiter are objects, the rest are common prefixes, each once."""
    backend.put_all(["d/a", "d/b/", "d/b/1", "d/b/2", "d/c", "d/e/f/g", "d/", "d.txt", "other"])
    page = await backend.store.list_page("d/", delimiter="/")
    assert ["d/", "d/a", "d/c"] == [info.key for info in page.objects]
    assert ["d/b/", "d/e/"] == page.prefixes
    page = await backend.store.list_page("", delimiter="/")
    assert ["d.txt", "other"] == [info.key for info in page.objects]
    assert ["d/"] == page.prefixes


async def test_start_after_with_a_delimiter_skips_the_prefix_it_names(backend: Backend) -> None:
    """A common prefix is listed if it is itself behind the starting point."""
    backend.put_all(["a", "b/1", "b/2", "c", "d/1"])
    page = await backend.store.list_page("", delimiter="/", start_after="b/")
    assert (["c"], ["d/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await backend.store.list_page("", delimiter="/", start_after="a")
    assert (["c"], ["b/", "d/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await backend.store.list_page("", delimiter="/", start_after="b")
    assert (["c"], ["b/", "d/"]) == ([info.key for info in page.objects], page.prefixes)


async def test_start_after_is_exclusive_and_need_not_exist(backend: Backend) -> None:
    """The listing goes on behind that key, whether there is one or not."""
    backend.put_all(["a", "b", "d"])
    page = await backend.store.list_page("", start_after="b")
    assert ["d"] == [info.key for info in page.objects]
    page = await backend.store.list_page("", start_after="c")
    assert ["d"] == [info.key for info in page.objects]


async def test_an_empty_listing_is_no_error(backend: Backend) -> None:
    """Nothing below a prefix is an empty last page."""
    assert ([], [], "") == await backend.store.list_page("nothing/here", delimiter="/")


async def test_ranges_are_half_open(backend: Backend) -> None:
    """A GET returns exactly the bytes that were asked for."""
    body = bytes(range(256)) * 40
    object_id = backend.put("key", body)
    for start, stop in ((0, 1), (0, len(body)), (5, 6), (100, 5000), (len(body) - 1, len(body))):
        assert body[start:stop] == await backend.store.get(object_id, start, stop)


async def test_a_whole_part_comes_in_one_get(backend: Backend) -> None:
    """A range as large as a part is still one answer."""
    size = backend.store.part_size_bytes
    object_id = backend.put("key", bytes(size) + b"end")
    part = await backend.store.get(object_id, 3, size + 3)
    assert (size, b"end") == (len(part), part[-3:])


async def test_a_range_behind_the_end_is_an_error(backend: Backend) -> None:
    """Fewer bytes than asked for are never returned."""
    object_id = backend.put("key", b"12345")
    for start, stop in ((0, 6), (4, 10), (5, 6), (1000, 1001)):
        with pytest.raises(RangeError):
            await backend.store.get(object_id, start, stop)


@pytest.mark.parametrize("body", [b"longer than before", b"new", b""])
async def test_another_version_is_never_read(backend: Backend, body: bytes) -> None:
    """An overwritten object is refused, whether the range lies within the new one or not."""
    old = backend.put("key", b"before")
    new = backend.put("key", body)
    with pytest.raises(PreconditionFailedError):
        await backend.store.get(old, 4, 6)
    assert old != new
    if body:
        assert body[:1] == await backend.store.get(new, 0, 1)


async def test_the_same_bytes_are_the_same_version(backend: Backend) -> None:
    """An ETag names the content: rewritten with the same bytes, an object reads on."""
    old = backend.put("key", b"same")
    assert old == backend.put("key", b"same")
    assert b"same" == await backend.store.get(old, 0, 4)


async def test_a_deleted_object_is_not_found(backend: Backend) -> None:
    """GET and HEAD say so; LIST leaves it out."""
    object_id = backend.put("key", b"gone soon")
    backend.delete("key")
    with pytest.raises(ObjectNotFoundError):
        await backend.store.get(object_id, 0, 4)
    with pytest.raises(ObjectNotFoundError):
        await backend.store.head("key")
    assert [] == (await backend.store.list_page("key")).objects


async def test_a_missing_key_is_not_found(backend: Backend) -> None:
    """Also where a longer key exists."""
    backend.put("key/longer", b"")
    for key in ("key", "key/", "key/longer/still"):
        with pytest.raises(ObjectNotFoundError):
            await backend.store.head(key)
        with pytest.raises(ObjectNotFoundError):
            await backend.store.get(ObjectId(key, '"etag"'), 0, 1)


async def test_list_and_head_agree(backend: Backend) -> None:
    """Size and ETag are the same; the time differs by less than the second that HEAD rounds to."""
    backend.put("key", b"body")
    (listed,) = (await backend.store.list_page("")).objects
    head = await backend.store.head("key")
    assert listed[:3] == head[:3]
    assert abs(listed.mtime_ns - head.mtime_ns) < 10**9
    if backend.name != "fake":
        assert abs(listed.mtime_ns / 1e9 - time.time()) < 60


async def test_errors_carry_what_the_store_said(backend: Backend) -> None:
    """Code, status and request id are there to be looked up."""
    with pytest.raises(StoreError) as caught:
        await backend.store.get(ObjectId("nothing", '"etag"'), 0, 1)
    assert ("NoSuchKey", 404) == (caught.value.code, caught.value.status)
    if backend.name != "fake":
        assert caught.value.request_id != ""


async def test_requests_in_flight_are_counted(backend: Backend) -> None:
    """After each GET, good or bad, none is in flight."""
    object_id = backend.put("key", b"body")
    await backend.store.get(object_id, 0, 4)
    with pytest.raises(PreconditionFailedError):
        await backend.store.get(ObjectId("key", '"other"'), 0, 4)
    assert 0 == backend.store.concurrency.in_flight
