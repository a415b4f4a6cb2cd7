"""The proxy: what it passes on is untouched, and what it breaks is broken as promised."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from tests.stores.client import make_client
from tests.stores.proxy import Faults
from tests.stores.request_log import classify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from tests.stores.proxy import Proxy

MIB = 1024 * 1024


@pytest.fixture
def client(proxy: Proxy) -> Iterator[S3Client]:
    """Make a boto3 client that goes through the proxy and tries once."""
    client = make_client(proxy)
    yield client
    client.close()


@pytest.mark.parametrize("size", [0, 1, 100_000, 8 * MIB, 300 * MIB])
def test_an_object_survives_both_ways(client: S3Client, bucket: str, size: int) -> None:
    """Signature, length and bytes of a PUT and a GET are the store's."""
    body = os.urandom(min(size, MIB)) * max(1, size // MIB)
    client.put_object(Bucket=bucket, Key="a b/+%&?=ü", Body=body)
    answer = client.get_object(Bucket=bucket, Key="a b/+%&?=ü")
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(MIB):
        digest.update(chunk)
    assert hashlib.sha256(body).hexdigest() == digest.hexdigest()


def test_keys_with_odd_slashes_survive(client: S3Client, bucket: str) -> None:
    """The path arrives as the client signed it."""
    keys = ["a//b", "a/./b", "a/../b", "/a", "a/"]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listing = client.list_objects_v2(Bucket=bucket)
    assert sorted(keys) == [entry["Key"] for entry in listing["Contents"]]


def test_requests_are_counted_by_kind(proxy: Proxy, client: S3Client, bucket: str) -> None:
    """Each request counts once, as soon as its answer is there."""
    mark = proxy.log.mark()
    client.put_object(Bucket=bucket, Key="a", Body=b"x" * 10)
    for _ in range(3):
        client.get_object(Bucket=bucket, Key="a", Range="bytes=2-4")["Body"].read()
    client.head_object(Bucket=bucket, Key="a")
    client.list_objects_v2(Bucket=bucket)
    client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    client.get_bucket_location(Bucket=bucket)
    expected = {"PUT": 1, "GET": 3, "HEAD": 1, "LIST": 1, "COPY": 1, "GET_BUCKET": 1}
    assert expected == proxy.log.count(since=mark)
    gets = [request for request in proxy.log.read(since=mark) if request.kind == "GET"]
    expected_gets = [(206, 3, "bytes=2-4")] * 3
    assert expected_gets == [(g.status, g.sent_bytes, g.range_header) for g in gets]


def test_multipart_requests_have_kinds_of_their_own(
    proxy: Proxy, client: S3Client, bucket: str
) -> None:
    """An upload can be told from a PUT."""
    mark = proxy.log.mark()
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = client.upload_part(
        Bucket=bucket, Key="m", UploadId=upload_id, PartNumber=1, Body=b"x" * 100
    )
    client.complete_multipart_upload(
        Bucket=bucket,
        Key="m",
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    client.delete_object(Bucket=bucket, Key="m")
    expected = {"CREATE_UPLOAD": 1, "UPLOAD_PART": 1, "COMPLETE_UPLOAD": 1, "DELETE": 1}
    assert expected == proxy.log.count(since=mark)


def test_a_list_with_any_parameters_is_a_list() -> None:
    """The kind depends on what is asked, not on how it is spelled."""
    assert classify("GET", "/b?list-type=2&prefix=a%2F", "") == "LIST"
    assert classify("GET", "/b/?list-type=2", "") == "LIST"
    assert classify("GET", "/b/k?versionId=1", "") == "GET"
    assert classify("GET", "/", "") == "GET_SERVICE"


def test_a_connection_carries_no_more_than_it_may(
    client: S3Client, proxy: Proxy, bucket: str
) -> None:
    """Each its own share; what goes up is not concerned."""
    body = os.urandom(4 * MIB)
    with proxy.faulty(Faults(bytes_per_second=2 * MIB)):
        start = time.monotonic()
        client.put_object(Bucket=bucket, Key="a", Body=body)
        assert time.monotonic() - start < 1.5
        start = time.monotonic()
        assert body == client.get_object(Bucket=bucket, Key="a")["Body"].read()
        assert time.monotonic() - start > 0.9  # nginx is ahead by a second's worth at first


def test_latency_is_added_once_a_request(client: S3Client, proxy: Proxy, bucket: str) -> None:
    """No answer comes sooner."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    with proxy.faulty(Faults(latency_ms=150)):
        start = time.monotonic()
        client.head_object(Bucket=bucket, Key="a")
        assert time.monotonic() - start >= 0.15


def test_errors_are_503_slow_down(client: S3Client, proxy: Proxy, bucket: str) -> None:
    """As S3 says it, with and without a body."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    with proxy.faulty(Faults(error_fraction=1.0)):
        with pytest.raises(ClientError, match="SlowDown"):
            client.get_object(Bucket=bucket, Key="a")
        with pytest.raises(ClientError, match="503"):
            client.head_object(Bucket=bucket, Key="a")
        with pytest.raises(ClientError, match="SlowDown"):
            client.put_object(Bucket=bucket, Key="b", Body=b"x" * 8 * MIB)
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_a_reset_breaks_the_connection(client: S3Client, proxy: Proxy, bucket: str) -> None:
    """There is no answer at all."""
    with (
        proxy.faulty(Faults(reset_fraction=1.0)),
        pytest.raises((ConnectionError, HTTPClientError)),
    ):
        client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("size", [1, 1000, 8 * MIB])
def test_a_truncated_body_is_shorter_than_announced(
    client: S3Client, proxy: Proxy, bucket: str, size: int
) -> None:
    """The client can tell, and the connection does not hang."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x" * size)
    with proxy.faulty(Faults(truncate_fraction=1.0, only="^GET")):
        answer = client.get_object(Bucket=bucket, Key="a")
        assert answer["ContentLength"] == size
        with pytest.raises((IncompleteReadError, HTTPClientError)):
            answer["Body"].read()


def test_a_stalled_body_begins_and_does_not_end(proxy: Proxy, bucket: str) -> None:
    """The first bytes come, the rest does not in time."""
    body = b"x" * 8 * MIB
    client = make_client(proxy, read_timeout_seconds=0.4)
    client.put_object(Bucket=bucket, Key="a", Body=body)
    with proxy.faulty(Faults(stall_fraction=1.0, only="^GET")):
        answer = client.get_object(Bucket=bucket, Key="a")
        with pytest.raises(HTTPClientError):
            answer["Body"].read()
    client.close()


def test_who_hangs_is_served_when_the_hang_ends(
    client: S3Client, proxy: Proxy, bucket: str
) -> None:
    """A hang is silence, not an error."""
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    answered = threading.Event()

    def ask() -> None:
        client.head_object(Bucket=bucket, Key="a")
        answered.set()

    thread = threading.Thread(target=ask)
    with proxy.faulty(Faults(hang=True)):
        thread.start()
        assert not answered.wait(0.3)
    thread.join(30)
    assert answered.is_set()


def test_the_same_seed_breaks_the_same_requests(
    client: S3Client, proxy: Proxy, bucket: str
) -> None:
    """A failure can be repeated, and the fraction is kept."""

    def break_some(seed: int) -> list[str]:
        mark = proxy.log.mark()
        with proxy.faulty(Faults(error_fraction=0.3, seed=seed)):
            for _ in range(60):
                try:
                    client.head_bucket(Bucket=bucket)
                except ClientError:
                    continue
        return [request.fault for request in proxy.log.read(since=mark)]

    faults = break_some(1)
    assert break_some(1) == faults
    assert break_some(2) != faults
    assert 5 <= faults.count("error") <= 35


def test_one_request_of_a_sequence_can_be_broken(
    client: S3Client, proxy: Proxy, bucket: str
) -> None:
    """`only`, `skip` and `limit` choose it."""
    mark = proxy.log.mark()
    with proxy.faulty(Faults(error_fraction=1.0, only="^PUT .*/k", skip=2, limit=1)):
        for number in range(5):
            client.list_objects_v2(Bucket=bucket)
            try:
                client.put_object(Bucket=bucket, Key=f"k{number}", Body=b"")
            except ClientError:
                assert number == 2
    puts = [request for request in proxy.log.read(since=mark) if request.kind == "PUT"]
    expected = [200, 200, 503, 200, 200]
    assert expected == [request.status for request in puts]
