"""Every field of `S3Config` does what it says: seen from the server's side."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trio
from botocore.stub import Stubber
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mountfs.errors import StoreUnavailableError, UsageError
from mountfs.objects import ObjectId
from mountfs.store.boto import BotoAccess
from mountfs.store.config import S3Config
from mountfs.store.crt import ideal_connections
from mountfs.store.s3 import open_s3_store
from tests.store.fault_server import BODY, ETAG, FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OBJECT = ObjectId("key", ETAG)


@pytest.fixture
def config(fault_server: FaultServer) -> S3Config:
    """How to reach the server, without retries."""
    return S3Config(bucket="bucket", endpoint_url=fault_server.url, max_attempts=1)


async def read_once(config: S3Config, server: FaultServer) -> dict[str, str]:
    """Read a few bytes; return the request's headers, and its first line under an empty name."""
    async with open_s3_store(config) as store:
        assert BODY[10:20] == await store.get(OBJECT, 10, 20)
    first, *lines = server.requests[-1].split("\r\n")
    headers = (line.partition(": ") for line in lines)
    return {"": first} | {name.lower(): value for name, _, value in headers}


async def test_requests_are_signed_for_the_region(
    config: S3Config, fault_server: FaultServer
) -> None:
    """With Signature Version 4, and without hashing what is not there."""
    headers = await read_once(replace(config, region="eu-west-1"), fault_server)
    assert "/eu-west-1/s3/aws4_request" in headers["authorization"]
    assert "UNSIGNED-PAYLOAD" == headers["x-amz-content-sha256"]
    assert "mountfs/" in headers["user-agent"]


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
async def test_the_region_may_come_from_the_environment(
    config: S3Config, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As for the other tools."""
    monkeypatch.setenv(name, "eu-west-1")
    headers = await read_once(config, fault_server)
    assert "/eu-west-1/s3/" in headers["authorization"]


async def test_the_endpoint_may_come_from_the_environment(
    config: S3Config, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the AWS command line."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    await read_once(replace(config, endpoint_url=None), fault_server)


async def test_requests_may_be_unsigned(
    config: S3Config, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials are not even looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    headers = await read_once(replace(config, sign_requests=False), fault_server)
    assert "authorization" not in headers


async def test_a_session_token_is_sent(
    config: S3Config, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary credentials have one."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-token")
    headers = await read_once(config, fault_server)
    assert "the-token" == headers["x-amz-security-token"]


async def test_a_profile_decides_who_we_are(
    config: S3Config, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its region, too."""
    path = tmp_path / "config"
    path.write_text(
        "[profile training]\nregion = eu-north-1\n"
        "aws_access_key_id = TRAINER\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    headers = await read_once(replace(config, profile="training"), fault_server)
    assert "Credential=TRAINER/" in headers["authorization"]
    assert "/eu-north-1/s3/" in headers["authorization"]


async def test_the_requester_may_pay(config: S3Config, fault_server: FaultServer) -> None:
    """The header says so, and is signed."""
    headers = await read_once(replace(config, requester_pays=True), fault_server)
    assert "requester" == headers["x-amz-request-payer"]
    assert "x-amz-request-payer" in headers["authorization"]


async def test_virtual_hosts_have_the_bucket_in_the_name(
    config: S3Config, fault_server: FaultServer
) -> None:
    """A bucket that is called 127, on a service at 0.0.1, is a host that everybody can resolve."""
    url = f"http://0.0.1:{fault_server.port}"
    config = replace(config, bucket="127", endpoint_url=url, addressing="virtual")
    headers = await read_once(config, fault_server)
    assert f"127.0.0.1:{fault_server.port}" == headers["host"]
    assert headers[""].startswith("GET /key ")


async def test_an_endpoint_may_have_a_path(config: S3Config, fault_server: FaultServer) -> None:
    """Of a gateway."""
    headers = await read_once(
        replace(config, endpoint_url=f"{fault_server.url}/gate/s3/"), fault_server
    )
    assert headers[""].startswith("GET /gate/s3/bucket/key ")


class Certificates(NamedTuple):
    """Files of a server that certifies itself, and of somebody else."""

    server: Path
    key: Path
    other: Path


def write_certificate(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """Write a self-signed certificate for localhost."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Two self-signed certificates for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    key_path = tmp_path / "key.pem"
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Certificates(
        write_certificate(tmp_path / "server.pem", key),
        key_path,
        write_certificate(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1())),
    )


@contextlib.asynccontextmanager
async def running_tls_server(server: FaultServer, certificates: Certificates) -> AsyncIterator[str]:
    """Serve TLS in front of *server*; yield the address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server, certificates.key)

    async def serve(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with contextlib.suppress(trio.BrokenResourceError):
            await server.serve(tls)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield f"https://localhost:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_private_authority_can_be_given(
    config: S3Config,
    fault_server: FaultServer,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By option or by the variable that the AWS command line knows."""
    async with running_tls_server(fault_server, certificates) as url:
        config = replace(config, endpoint_url=url)
        await read_once(replace(config, ca_bundle=str(certificates.server)), fault_server)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.server))
        await read_once(config, fault_server)


async def test_an_unknown_authority_is_refused_with_advice(
    config: S3Config, fault_server: FaultServer, certificates: Certificates
) -> None:
    """Neither the system nor the given file knows it."""
    async with running_tls_server(fault_server, certificates) as url:
        for ca_bundle in (None, str(certificates.other)):
            with pytest.raises(
                StoreUnavailableError, match=r"\(self-signed certificate\).*--ca-bundle"
            ):
                async with open_s3_store(
                    replace(config, endpoint_url=url, ca_bundle=ca_bundle)
                ) as store:
                    await store.check("")
    assert [] == fault_server.requests


async def test_any_certificate_can_be_accepted(
    config: S3Config, fault_server: FaultServer, certificates: Certificates
) -> None:
    """When somebody insists."""
    async with running_tls_server(fault_server, certificates) as url:
        await read_once(replace(config, endpoint_url=url, verify_ssl=False), fault_server)


async def test_a_bundle_that_cannot_be_read_is_named(
    config: S3Config, certificates: Certificates
) -> None:
    """Missing, or no certificate."""
    config = replace(config, endpoint_url="https://localhost:1")
    for path in (certificates.key.with_name("missing.pem"), certificates.key):
        with pytest.raises(UsageError, match=rf"--ca-bundle {path}"):
            async with open_s3_store(replace(config, ca_bundle=str(path))):
                pass


@pytest.mark.parametrize(
    ("gbps", "connections"), [(0.1, 10), (4.0, 10), (10.0, 25), (25.0, 63), (100.0, 250)]
)
def test_the_throughput_target_decides_the_connections(gbps: float, connections: int) -> None:
    """As CRT does, from which the concurrency limit starts."""
    assert connections == ideal_connections(gbps)


@pytest.mark.parametrize(
    ("bucket", "region", "url"),
    [
        ("b-1", "eu-west-1", "https://b-1.s3.eu-west-1.amazonaws.com/"),
        ("b-1", "us-east-1", "https://b-1.s3.us-east-1.amazonaws.com/"),
        ("b-1", "cn-north-1", "https://b-1.s3.cn-north-1.amazonaws.com.cn/"),
        ("a.b", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/a.b/"),
        (
            "d--usw2-az1--x-s3",
            None,
            "https://d--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com/",
        ),
    ],
)
def test_aws_is_where_botocore_says(bucket: str, region: str | None, url: str) -> None:
    """No request is needed when the region is given, or named by the bucket."""
    location = BotoAccess(S3Config(bucket=bucket, region=region)).locate()
    assert url == location.endpoint.url()
    assert location.region in url


@pytest.mark.parametrize("status", [200, 301, 403])
def test_the_region_is_asked_for_when_it_is_not_given(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Every answer about an existing bucket names it, also a refusal."""
    access = BotoAccess(S3Config(bucket="b-1"))
    make_client = access._client

    def make_stubbed_client(region: str, *, is_aws: bool = False) -> object:
        client = make_client(region, is_aws=is_aws)
        stubber = Stubber(client)
        answer = {"HTTPStatusCode": status, "HTTPHeaders": {"x-amz-bucket-region": "eu-west-3"}}
        if status == 200:
            stubber.add_response("head_bucket", {"ResponseMetadata": answer}, {"Bucket": "b-1"})
        else:
            stubber.add_client_error("head_bucket", http_status_code=status, response_meta=answer)
        stubber.activate()
        return client

    monkeypatch.setattr(access, "_client", make_stubbed_client)
    location = access.locate()
    assert ("eu-west-3", "https://b-1.s3.eu-west-3.amazonaws.com/") == (
        location.region,
        location.endpoint.url(),
    )


def test_configuration_and_protocol_do_not_load_awscrt() -> None:
    """A process that has not forked yet must not have its threads."""
    code = (
        "import sys, mountfs.store.config, mountfs.store.protocol, mountfs.store.fake\n"
        "print([name for name in ('awscrt', 'boto3', 'botocore') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert "[]\n" == run.stdout
