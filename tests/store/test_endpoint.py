"""Where a bucket is: hosts, paths, addressing."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.errors import UsageError
from mountfs.store.endpoint import (
    Endpoint,
    express_endpoint,
    express_zone,
    region_of_zone,
    resolve_endpoint,
)

REGIONS = ("us-east-1", "us-west-2", "ap-northeast-1", "eu-north-1", "ap-south-1", "us-gov-west-1")


@pytest.mark.parametrize(
    ("url", "bucket", "addressing", "host", "path_prefix", "use_tls"),
    [
        (
            "https://s3.eu-west-1.amazonaws.com",
            "b-1",
            "auto",
            "b-1.s3.eu-west-1.amazonaws.com",
            "/",
            True,
        ),
        (
            "https://s3.eu-west-1.amazonaws.com",
            "b-1",
            "path",
            "s3.eu-west-1.amazonaws.com",
            "/b-1/",
            True,
        ),
        (
            "https://s3.cn-north-1.amazonaws.com.cn",
            "b-1",
            "auto",
            "b-1.s3.cn-north-1.amazonaws.com.cn",
            "/",
            True,
        ),
        (
            "https://s3.eu-west-1.amazonaws.com",
            "a.b",
            "auto",
            "s3.eu-west-1.amazonaws.com",
            "/a.b/",
            True,
        ),
        (
            "https://s3.eu-west-1.amazonaws.com",
            "a.b",
            "virtual",
            "a.b.s3.eu-west-1.amazonaws.com",
            "/",
            True,
        ),
        ("http://store.lan", "a.b", "auto", "a.b.store.lan", "/", False),
        (
            "https://oss-cn-beijing.aliyuncs.com",
            "b-1",
            "auto",
            "b-1.oss-cn-beijing.aliyuncs.com",
            "/",
            True,
        ),
        ("http://127.0.0.1:9000", "b-1", "auto", "127.0.0.1:9000", "/b-1/", False),
        ("http://[::1]:9000/", "b-1", "auto", "[::1]:9000", "/b-1/", False),
        ("http://localhost:9000", "b-1", "auto", "localhost:9000", "/b-1/", False),
        ("http://s3.localhost", "b-1", "auto", "s3.localhost", "/b-1/", False),
        ("https://minio.lan:443", "b-1", "path", "minio.lan", "/b-1/", True),
        ("https://minio.lan:80", "b-1", "path", "minio.lan:80", "/b-1/", True),
        ("http://minio.lan:80", "b-1", "path", "minio.lan", "/b-1/", False),
        ("https://gate.lan/s3/", "b-1", "path", "gate.lan", "/s3/b-1/", True),
        ("https://gate.lan/s3", "b-1", "virtual", "b-1.gate.lan", "/s3/", True),
        ("https://gate.lan", "Old_Bucket", "auto", "gate.lan", "/Old_Bucket/", True),
    ],
)
def test_a_bucket_has_a_host_and_a_path(
    url: str, bucket: str, addressing: str, host: str, path_prefix: str, use_tls: bool
) -> None:
    """By the service's address, the name of the bucket and the addressing that was asked for."""
    endpoint = resolve_endpoint(url, bucket=bucket, addressing=addressing)
    assert Endpoint(host=host, path_prefix=path_prefix, use_tls=use_tls) == endpoint


@pytest.mark.parametrize(
    "url", ["", "store.lan", "s3://bucket", "ftp://store.lan", "https://", "http://a?b=c"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """The message names the option and what was given."""
    with pytest.raises(UsageError, match="--endpoint-url"):
        resolve_endpoint(url, bucket="b-1", addressing="auto")


def test_an_unknown_addressing_is_refused() -> None:
    """The message says which ones there are."""
    with pytest.raises(UsageError, match="auto, path or virtual"):
        resolve_endpoint("http://store.lan", bucket="b-1", addressing="both")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=50))
def test_the_path_holds_the_key_and_nothing_else(key: str) -> None:
    """Quoting is undone by unquoting, and leaves nothing that ends a path."""
    endpoint = resolve_endpoint("http://store.lan", bucket="b-1", addressing="path")
    path = endpoint.path(key)
    assert key.encode() == unquote_to_bytes(path.removeprefix("/b-1/"))
    assert path.isascii()
    assert not set(path) & set("?#+ \r\n")


def test_a_key_that_is_not_utf8_keeps_its_bytes() -> None:
    """Surrogate escapes stand for them."""
    endpoint = resolve_endpoint("http://store.lan", bucket="b-1", addressing="path")
    assert "/b-1/a%FFb" == endpoint.path("a\udcffb")


@pytest.mark.parametrize(
    ("bucket", "zone"),
    [
        ("data--usw2-az1--x-s3", "usw2-az1"),
        ("my-data--apne1-az4--x-s3", "apne1-az4"),
        ("data", None),
        ("data--x-s3", None),
        ("data--usw2-az1--x-s3-more", None),
    ],
)
def test_express_buckets_are_known_by_their_name(bucket: str, zone: str | None) -> None:
    """The zone is part of it."""
    assert zone == express_zone(bucket)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("usw2-az1", "us-west-2"),
        ("use1-az4", "us-east-1"),
        ("apne1-az1", "ap-northeast-1"),
        ("aps1-az3", "ap-south-1"),
        ("eun1-az2", "eu-north-1"),
        ("usgw1-az1", "us-gov-west-1"),
        ("xxx1-az1", None),
    ],
)
def test_a_zone_tells_its_region(zone: str, region: str | None) -> None:
    """Zones are named after regions, abbreviated."""
    assert region == region_of_zone(zone, REGIONS)


def test_an_express_bucket_has_the_endpoint_of_its_zone() -> None:
    """Always virtual-hosted, always TLS."""
    endpoint = express_endpoint("d--usw2-az1--x-s3", "usw2-az1", "us-west-2", "amazonaws.com")
    assert "https://d--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com/" == endpoint.url()
