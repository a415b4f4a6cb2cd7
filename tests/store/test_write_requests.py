"""What goes over the wire where no test store can tell: bodies, checksums, S3 Express."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from awscrt.checksums import crc64nvme
from hypothesis import given
from hypothesis import strategies as st

from mountfs.objects import ObjectHeaders, ObjectId, UploadedPart
from mountfs.store.body import BodyStream, crc_of_body, md5_of_body, size_of_body
from mountfs.store.checksums import combine_checksums, compose_etag, crc_text
from mountfs.store.config import S3Config
from mountfs.store.endpoint import express_endpoint
from mountfs.store.header_text import headers_of_answer, headers_to_send
from mountfs.store.s3 import open_s3_store
from mountfs.store.write_requests import WriteRequests
from tests.store.backends import make_config

if TYPE_CHECKING:
    import pytest
    from mypy_boto3_s3 import S3Client

    from tests.stores.moto import Moto

BUFFERS = st.lists(st.binary(max_size=9), max_size=5)

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1)


@given(BUFFERS, st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=6))
def test_a_stream_reads_like_a_file(buffers: list[bytes], moves: list[tuple[int, int]]) -> None:
    """From anywhere, in pieces of any size."""
    stream, file = BodyStream(buffers), io.BytesIO(b"".join(buffers))
    assert stream.size_bytes == size_of_body(buffers) == len(file.getvalue())
    for position, size in moves:
        target = bytearray(size)
        stream.seek(position)
        file.seek(position)
        count = stream.readinto(memoryview(target))
        assert file.read(size) == bytes(target[:count])
        assert file.read(3) == stream.read(3)
    assert stream.seek(0, io.SEEK_END) == stream.size_bytes == stream.seek(0, io.SEEK_CUR)
    stream.close()
    assert b"" == stream.read(1)


@given(BUFFERS)
def test_checksums_of_parts_make_that_of_the_whole(buffers: list[bytes]) -> None:
    """In whatever pieces it was sent."""
    whole = b"".join(buffers)
    assert crc64nvme(whole) == crc_of_body(buffers)
    parts = [UploadedPart(1, "", len(buffer), crc_text(buffer)) for buffer in buffers]
    assert (crc_text(whole) if parts else "") == combine_checksums(parts)
    assert "" == combine_checksums([*parts, UploadedPart(1, "", 1, "")])


def test_an_etag_is_composed_of_md5s_only() -> None:
    """As S3 does it; nothing is said of parts whose ETags are something else."""
    part = UploadedPart(1, f'"{md5_of_body([b"pa", b"rt"])}"', 4)
    assert '"ca46ba190dcf239f636a4155d47c4b18-2"' == compose_etag([part, part])
    assert "" == compose_etag([part, part._replace(etag='"abc"')])


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_metadata_survives_the_headers(metadata: dict[str, str]) -> None:
    """And they are plain ASCII without blanks at the ends."""
    headers = ObjectHeaders(metadata=metadata)
    sent = headers_to_send(headers)
    assert all(value.isascii() and value == value.strip() for _, value in sent)
    assert all(value.isprintable() for _, value in sent)
    assert headers == headers_of_answer(sent)


def test_an_express_rename_names_source_version_and_target() -> None:
    """One request; it is the same when it is sent again."""
    endpoint = express_endpoint("b--usw2-az1--x-s3", "usw2-az1", "us-west-2", "amazonaws.com")
    requests = WriteRequests(endpoint, S3Config(bucket="b--usw2-az1--x-s3"), is_express=True)
    request = requests.rename(ObjectId("a b+%", '"etag"'), "dir/ü", may_replace=False, token="t")
    headers = dict(request.headers)
    assert ("PUT", "/dir/%C3%BC?renameObject") == (request.method, request.path)
    assert ("a%20b%2B%25", '"etag"', "*", "t") == (
        headers["x-amz-rename-source"],
        headers["x-amz-rename-source-if-match"],
        headers["if-none-match"],
        headers["x-amz-client-token"],
    )
    replacing = requests.rename(ObjectId("a", '"e"'), "b", may_replace=True, token="t")
    assert "if-none-match" not in dict(replacing.headers)


async def test_a_store_that_knows_checksums_keeps_them(
    moto: Moto, moto_s3: S3Client, moto_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others are told is the checksum of what was sent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_key)
    async with open_s3_store(make_config(moto, moto_bucket)) as store:
        await store.put("key", [b"bo", b"dy"], ObjectHeaders())
        upload_id = await store.create_upload("parts", ObjectHeaders())
        part = await store.upload_part("parts", upload_id, 1, [b"body"])
        await store.complete_upload("parts", upload_id, [part])
    head = moto_s3.head_object(Bucket=moto_bucket, Key="key", ChecksumMode="ENABLED")
    assert crc_text(b"body") == head["ChecksumCRC64NVME"] == part.checksum
    moto_s3.delete_object(Bucket=moto_bucket, Key="key")
    moto_s3.delete_object(Bucket=moto_bucket, Key="parts")
