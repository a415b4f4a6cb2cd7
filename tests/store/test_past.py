"""A bucket as it was at a moment, on a store that keeps versions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import AccessDeniedError, ObjectNotFoundError, PreconditionFailedError
from mountfs.keys import sort_key
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.s3 import open_s3_store
from tests.store.backends import make_config
from tests.store.test_contract import KEY_ZOO, list_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mypy_boto3_s3 import S3Client

    from mountfs.store.protocol import ObjectStore
    from mountfs.store.s3 import S3Store
    from tests.stores.rgw import Rgw


class History:
    """A bucket with versions, and the moments between them."""

    def __init__(self, client: S3Client, bucket: str, store: S3Store) -> None:
        self._client = client
        self._bucket = bucket
        self.store = store

    def put(self, key: str, body: bytes) -> ObjectId:
        """Store a version."""
        answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        return ObjectId(key, answer["ETag"])

    def delete(self, key: str) -> None:
        """Leave a mark of deletion."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def now(self) -> int:
        """Return a moment that lies between all that was done and all that will be."""
        listed = self._client.list_object_versions(Bucket=self._bucket)
        entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        newest = max(entry["LastModified"].timestamp() for entry in entries)
        moment = newest + 0.002
        while (
            time.time() <= moment
        ):  # the store's clock is ours; a version is dated when it is made
            pass
        return int(moment * 1e9)

    def at(self, moment: int) -> ObjectStore:
        """Return the bucket as it was."""
        return self.store.as_of(moment)


@pytest.fixture
async def history(
    rgw: Rgw, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[History]:
    """An empty bucket that keeps versions."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rgw.secret_key)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    async with open_s3_store(make_config(rgw, bucket)) as store:
        yield History(s3, bucket, store)


async def test_each_moment_has_its_own_versions(history: History) -> None:
    """Overwritten, deleted and made again: what is read is what was there."""
    first = history.put("key", b"first")
    moments = [history.now()]
    second = history.put("key", b"second")
    moments.append(history.now())
    history.delete("key")
    moments.append(history.now())
    third = history.put("key", b"third")
    moments.append(history.now())
    expected = [(first, b"first"), (second, b"second"), None, (third, b"third")]
    for moment, there in zip(moments, expected, strict=True):
        past = history.at(moment)
        if there is None:
            with pytest.raises(ObjectNotFoundError):
                await past.head("key")
            assert ([], [], "") == await past.list_page("")
            continue
        object_id, body = there
        (listed,) = (await past.list_page("")).objects
        assert object_id == ObjectId(listed.key, listed.etag)
        assert listed == await past.head("key")
        assert body == await past.get(object_id, 0, listed.size_bytes)
        assert body == await history.at(moment).get(object_id, 0, len(body))  # never listed
    assert ([], [], "") == await history.at(10**18).list_page("")


async def test_a_version_of_another_time_is_refused(history: History) -> None:
    """A get asks for what was there, and nothing else."""
    history.put("key", b"first")
    moment = history.now()
    second = history.put("key", b"second")
    with pytest.raises(PreconditionFailedError):
        await history.at(moment).get(second, 0, 1)


async def test_directories_exist_only_while_something_is_in_them(history: History) -> None:
    """The roll-up is of the moment, too."""
    for key in ("a/1", "a/2", "b", "c/d/1", "c/x", "e"):
        history.put(key, b"")
    before = history.now()
    for key in ("a/1", "a/2", "e"):
        history.delete(key)
    history.put("f/1", b"")
    after = history.now()
    then, now = history.at(before), history.at(after)
    page = await then.list_page("", delimiter="/")
    assert (["b", "e"], ["a/", "c/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await now.list_page("", delimiter="/")
    assert (["b"], ["c/", "f/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await then.list_page("c/", delimiter="/")
    assert (["c/x"], ["c/d/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await then.list_page("", delimiter="/", start_after="a/")
    assert (["b", "e"], ["c/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await then.list_page("", delimiter="/", start_after="a")
    assert (["b", "e"], ["a/", "c/"]) == ([info.key for info in page.objects], page.prefixes)
    page = await then.list_page("", start_after="a/1")
    assert ["a/2", "b", "c/d/1", "c/x", "e"] == [info.key for info in page.objects]


async def test_odd_keys_have_a_past(history: History) -> None:
    """Listed, found and read, whatever they are called."""
    put = {key: history.put(key, b"of " + key.encode()) for key in KEY_ZOO}
    moment = history.now()
    for key in KEY_ZOO:
        history.put(key, b"later")
    past = history.at(moment)
    objects, _, _ = await list_all(past, "")
    assert sorted(KEY_ZOO, key=sort_key) == [info.key for info in objects]
    for info in objects:
        assert put[info.key] == ObjectId(info.key, info.etag)
        assert b"of " + info.key.encode() == await past.get(put[info.key], 0, info.size_bytes)
        assert info == await history.at(moment).head(info.key)


async def test_long_pasts_come_in_pages(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ours, and of the store's: a key with 8 versions fills four."""
    monkeypatch.setattr("mountfs.store.past.PAGE_SIZE", 2)
    for key in ("a", "b", "d/1", "d/2", "e/1", "f"):
        history.put(key, b"old")
    moment = history.now()
    for number in range(7):
        history.put("b", b"%d" % number)
    past = history.at(moment)
    objects, _, pages = await list_all(past, "")
    assert ["a", "b", "d/1", "d/2", "e/1", "f"] == [info.key for info in objects]
    assert (3, {3}) == (pages, {info.size_bytes for info in objects})
    objects, prefixes, pages = await list_all(past, "", delimiter="/")
    assert (["a", "b", "f"], ["d/", "e/"], 3) == ([i.key for i in objects], prefixes, pages)
    objects, _, _ = await list_all(past, "", start_after="a")
    assert ["b", "d/1", "d/2", "e/1", "f"] == [info.key for info in objects]


async def test_the_past_tells_what_was_kept_with_an_object(history: History) -> None:
    """Also what another version has by now."""
    headers = ObjectHeaders(content_type="a/b", metadata={"name": "value"})
    await history.store.put("key", [b"old"], headers)
    moment = history.now()
    history.put("key", b"new")
    details = await history.at(moment).head_details("key")
    assert (headers, 3, True) == (
        details.headers, details.info.size_bytes, details.version_id != ""
    )  # fmt: skip


async def test_the_past_cannot_be_changed(history: History) -> None:
    """By no request at all."""
    history.put("key", b"old")
    past = history.at(history.now())
    sent = history.store.requests.total()
    with pytest.raises(AccessDeniedError):
        await past.put("key", [b"new"], ObjectHeaders())
    with pytest.raises(AccessDeniedError):
        await past.delete("key")
    with pytest.raises(AccessDeniedError):
        await past.create_upload("key", ObjectHeaders())
    assert sent == history.store.requests.total()
