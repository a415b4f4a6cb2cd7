"""What an operator is told when a bucket cannot be used: one line, which thing, what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    RequestRejectedError,
    StoreError,
    StoreUnavailableError,
    UsageError,
    WrongRegionError,
)
from mountfs.store.config import S3Config
from mountfs.store.s3 import open_s3_store
from tests.store.backends import make_config
from tests.store.fault_server import Answer, error_answer

if TYPE_CHECKING:
    from tests.store.fault_server import FaultServer
    from tests.stores.rgw import Rgw

EMPTY = Answer(body=b"<ListBucketResult></ListBucketResult>")


async def check(config: S3Config, prefix: str = "") -> None:
    """Open a store and check it, as the command does."""
    async with open_s3_store(config) as store:
        await store.check(prefix)


@pytest.fixture
def config(fault_server: FaultServer) -> S3Config:
    """How to reach the server."""
    return S3Config(bucket="bucket", endpoint_url=fault_server.url)


async def test_a_check_is_one_small_list(config: S3Config, fault_server: FaultServer) -> None:
    """Of the prefix that will be mounted."""
    fault_server.answers.append(EMPTY)
    await check(config, "some prefix/")
    (head,) = fault_server.requests
    query = "list-type=2&encoding-type=url&max-keys=1&prefix=some%20prefix%2F"
    assert f"GET /bucket?{query} HTTP/1.1" == head.partition("\r\n")[0]


@pytest.mark.parametrize(
    ("answer", "expected", "remedy"),
    [
        (error_answer(404, "NoSuchBucket"), BucketNotFoundError, "no bucket 'bucket' at http://"),
        (Answer(status=404), BucketNotFoundError, "--endpoint-url"),
        (error_answer(403, "AccessDenied"), AccessDeniedError, "--profile"),
        (error_answer(403, "InvalidAccessKeyId"), CredentialsError, "--profile"),
        (error_answer(403, "SignatureDoesNotMatch"), CredentialsError, "--profile"),
        (error_answer(400, "ExpiredToken"), CredentialsError, "have expired"),
        (error_answer(403, "RequestTimeTooSkewed"), CredentialsError, "clock"),
        (
            error_answer(301, "PermanentRedirect", Region="eu-west-1"),
            WrongRegionError,
            "--region eu-west-1",
        ),
        (Answer(status=301), WrongRegionError, "--region"),
        (
            error_answer(400, "AuthorizationHeaderMalformed", Region="eu-west-1"),
            WrongRegionError,
            "--region eu-west-1",
        ),
        (error_answer(400, "InvalidArgument"), RequestRejectedError, "it is so"),
    ],
)
async def test_the_operator_is_told_what_to_do(
    config: S3Config,
    fault_server: FaultServer,
    answer: Answer,
    expected: type[StoreError],
    remedy: str,
) -> None:
    """On one line, with the option that helps."""
    fault_server.answers.append(answer)
    with pytest.raises(expected, match=remedy) as caught:
        await check(config)
    assert "\n" not in str(caught.value)
    assert answer.status == caught.value.status


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (error_answer(503, "SlowDown"), "slow down"),
        (error_answer(500, "InternalError"), "--endpoint-url"),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n", then="close"), "--endpoint-url"),
        (Answer(raw=b"", then="close"), "--endpoint-url"),
    ],
)
async def test_a_bad_store_is_given_up_soon(
    config: S3Config, fault_server: FaultServer, answer: Answer, remedy: str
) -> None:
    """Three attempts: somebody waits."""
    fault_server.answers.extend([answer] * 10)
    with pytest.raises(StoreUnavailableError, match=remedy):
        await check(config)
    assert 3 == len(fault_server.requests)


async def test_nobody_listens(config: S3Config) -> None:
    """Port 1 is closed on any host."""
    with pytest.raises(StoreUnavailableError, match=r"nothing listens at http://127\.0\.0\.1:1/"):
        await check(replace(config, endpoint_url="http://127.0.0.1:1"))


async def test_nobody_knows_the_host(config: S3Config) -> None:
    """The top-level domain `invalid` never resolves."""
    with pytest.raises(StoreUnavailableError, match=r"http://bucket\.store\.invalid/ is unknown"):
        await check(replace(config, endpoint_url="http://store.invalid"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=400), "wrong version number"),
        # In OpenSSL's words, or in ours where it has none.
        (Answer(raw=b"", then="close"), "(unexpected eof|the connection was closed)"),
        (Answer(raw=b"", then="reset"), "the connection was closed"),
        (Answer(raw=b"", then="hang"), "no answer to the handshake"),
    ],
)
async def test_tls_with_a_server_that_speaks_none(
    config: S3Config, fault_server: FaultServer, answer: Answer, reason: str
) -> None:
    """The most common mistake with a store of one's own; found out without a request."""
    fault_server.greeting = answer
    url = str(config.endpoint_url).replace("http", "https")
    config = replace(config, endpoint_url=url, connect_timeout_seconds=0.3)
    with pytest.raises(StoreUnavailableError, match=f"{reason}.*--endpoint-url"):
        await check(config)


async def test_a_server_that_hangs(config: S3Config, fault_server: FaultServer) -> None:
    """Within the deadline."""
    fault_server.answers.extend([Answer(raw=b"", then="hang")] * 3)
    with pytest.raises(StoreUnavailableError, match="does not answer in time"):
        await check(replace(config, deadline_seconds=0.3))


async def test_missing_credentials(config: S3Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsError, match="--no-sign-request"):
        await check(config)


async def test_an_unknown_profile(config: S3Config) -> None:
    """The message names it."""
    with pytest.raises(CredentialsError, match="nobody"):
        await check(replace(config, profile="nobody"))


async def test_a_bucket_that_must_not_be_read_anonymously(
    config: S3Config, fault_server: FaultServer
) -> None:
    """Without credentials, other advice is needed."""
    fault_server.answers.append(error_answer(403, "AccessDenied"))
    with pytest.raises(AccessDeniedError, match="leave out --no-sign-request"):
        await check(replace(config, sign_requests=False))


@pytest.mark.parametrize("url", ["store.lan", "ftp://store.lan", "nonsense://"])
async def test_an_endpoint_that_is_no_url(config: S3Config, url: str) -> None:
    """A mistake at the command line."""
    with pytest.raises(UsageError, match="--endpoint-url"):
        await check(replace(config, endpoint_url=url))


async def test_rgw_and_wrong_credentials(
    rgw: Rgw, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown key, and a wrong secret."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(CredentialsError, match="does not accept"):
        await check(make_config(rgw, bucket))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.access_key)
    with pytest.raises(CredentialsError, match="does not accept"):
        await check(make_config(rgw, bucket))


async def test_rgw_and_a_bucket_that_is_not_there(
    rgw: Rgw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With good credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rgw.secret_key)
    with pytest.raises(BucketNotFoundError, match="no-such-bucket"):
        await check(make_config(rgw, "no-such-bucket"))


async def test_rgw_and_somebody_elses_bucket(
    rgw: Rgw, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good credentials that do not suffice, and none at all."""
    stranger = rgw.create_user("stranger-of-check")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stranger.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stranger.secret_key)
    with pytest.raises(AccessDeniedError, match="s3:ListBucket"):
        await check(make_config(rgw, bucket))
    with pytest.raises(AccessDeniedError, match="anonymously"):
        await check(replace(make_config(rgw, bucket), sign_requests=False))
