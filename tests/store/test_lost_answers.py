"""Changes that were made and whose answers were lost: asked for again, and reported as made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import PreconditionFailedError
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.s3 import open_s3_store
from tests.store.backends import make_config
from tests.store.losing_proxy import running_losing_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mypy_boto3_s3 import S3Client

    from mountfs.store.s3 import S3Store
    from tests.store.losing_proxy import LosingProxy
    from tests.stores.rgw import Rgw

HEADERS = ObjectHeaders(metadata={"a": "b"})


@pytest.fixture
async def proxy_and_store(
    rgw: Rgw, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[LosingProxy, S3Store]]:
    """A store behind a proxy that loses answers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rgw.secret_key)
    async with running_losing_proxy(rgw) as proxy:
        config = replace(make_config(proxy, bucket), max_attempts=4)
        async with open_s3_store(config) as store:
            yield proxy, store


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("expected_etag", [None, ""])
async def test_a_put_whose_answer_was_lost_has_succeeded(
    proxy_and_store: tuple[LosingProxy, S3Store], times: int, expected_etag: str | None
) -> None:
    """Also when the first attempt is in the way of the second."""
    proxy, store = proxy_and_store
    proxy.lose("PUT ", times=times)
    info = await store.put("key", [b"body"], HEADERS, expected_etag=expected_etag)
    assert times == proxy.lost
    assert info == (await store.head("key"))._replace(mtime_ns=info.mtime_ns)


async def test_a_put_over_a_version_whose_answer_was_lost_has_succeeded(
    proxy_and_store: tuple[LosingProxy, S3Store],
) -> None:
    """The version that was expected is gone: by our own doing."""
    proxy, store = proxy_and_store
    old = await store.put("key", [b"old"], HEADERS)
    proxy.lose("PUT ")
    new = await store.put("key", [b"new"], HEADERS, expected_etag=old.etag)
    assert (1, new.etag) == (proxy.lost, (await store.head("key")).etag)


async def test_a_refusal_whose_answer_was_lost_is_a_refusal(
    proxy_and_store: tuple[LosingProxy, S3Store],
) -> None:
    """What lies there is somebody else's."""
    proxy, store = proxy_and_store
    await store.put("key", [b"others"], HEADERS)
    proxy.lose("PUT ")
    with pytest.raises(PreconditionFailedError):
        await store.put("key", [b"mine"], HEADERS, expected_etag="")
    assert 1 == proxy.lost


async def test_an_upload_survives_every_lost_answer(
    proxy_and_store: tuple[LosingProxy, S3Store], s3: S3Client, bucket: str
) -> None:
    """Of parts, of copies, and of the end; nothing is left behind but what nobody could know of."""
    proxy, store = proxy_and_store
    source = await store.put("source", [b"copied"], HEADERS)
    upload_id = await store.create_upload("key", HEADERS)
    proxy.lose(r"PUT .*partNumber=1&")
    first = await store.upload_part("key", upload_id, 1, [bytes(5 * 1024**2)])
    assert 1 == proxy.lost
    proxy.lose(r"PUT .*partNumber=2&")
    second = await store.copy_part("key", upload_id, 2, ObjectId("source", source.etag), 0, 6)
    assert 1 == proxy.lost
    proxy.lose(r"POST .*uploadId=", times=2)
    info = await store.complete_upload("key", upload_id, [first, second], expected_etag="")
    head = await store.head("key")
    assert (info.etag, info.size_bytes) == (head.etag, head.size_bytes)
    assert proxy.lost >= 1
    assert bytes(5 * 1024**2) + b"copied" == s3.get_object(Bucket=bucket, Key="key")["Body"].read()
    assert [] == await store.list_uploads("")


async def test_other_changes_survive_a_lost_answer(
    proxy_and_store: tuple[LosingProxy, S3Store],
) -> None:
    """They can be made twice."""
    proxy, store = proxy_and_store
    source = await store.put("source", [b"body"], HEADERS)
    proxy.lose("PUT ")
    copied = await store.copy(
        ObjectId("source", source.etag), "copy", None, size_bytes=4, expected_etag=""
    )
    assert (1, copied.etag) == (proxy.lost, (await store.head("copy")).etag)
    proxy.lose("POST .*delete")
    assert {} == await store.delete_many(["copy"])
    proxy.lose("DELETE ")
    await store.delete("source")
    upload_id = await store.create_upload("key", HEADERS)
    proxy.lose("DELETE ")
    await store.abort_upload("key", upload_id)
    assert 1 == proxy.lost
    assert ([], []) == (await store.list_uploads(""), (await store.list_page("")).objects)
