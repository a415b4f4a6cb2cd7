"""The stores themselves: they start, answer, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.stores.client import make_client
from tests.stores.processes import ServerError, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.rgw import Rgw


def test_rgw_keeps_an_object(s3: S3Client, bucket: str) -> None:
    """What was put is there."""
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"bytes")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"bytes"


def test_moto_keeps_an_object(moto_s3: S3Client, moto_bucket: str) -> None:
    """What was put is there."""
    moto_s3.put_object(Bucket=moto_bucket, Key="a/b", Body=b"bytes")
    assert moto_s3.get_object(Bucket=moto_bucket, Key="a/b")["Body"].read() == b"bytes"


def test_purge_deletes_versions_and_unfinished_uploads(rgw: Rgw, s3: S3Client) -> None:
    """A bucket is removable whatever a test left in it."""
    s3.create_bucket(Bucket="purge-me")
    s3.put_bucket_versioning(Bucket="purge-me", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        s3.put_object(Bucket="purge-me", Key="versioned", Body=b"x")
    s3.delete_object(Bucket="purge-me", Key="versioned")
    s3.create_multipart_upload(Bucket="purge-me", Key="unfinished")
    rgw.purge_bucket("purge-me")
    assert "purge-me" not in [found["Name"] for found in s3.list_buckets()["Buckets"]]


def test_a_suspended_user_is_refused_until_it_is_enabled(rgw: Rgw) -> None:
    """Credentials can be revoked while they are in use."""
    user = rgw.create_user("revoked")
    client = make_client(rgw, access_key=user.access_key, secret_key=user.secret_key)
    assert client.list_buckets()["Buckets"] == []
    rgw.suspend_user("revoked")
    with pytest.raises(ClientError, match="UserSuspended"):
        client.list_buckets()
    rgw.enable_user("revoked")
    assert client.list_buckets()["Buckets"] == []
    client.close()


def test_rgw_is_healthy(rgw: Rgw) -> None:
    """Nothing but the expected complaints about a cluster of one."""
    assert rgw.describe_health() == ""


def test_the_environment_names_no_credentials() -> None:
    """What the machine's user has configured does not reach the tests."""
    kept = {name for name in os.environ if name.startswith("AWS_")}
    assert kept == {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """The message holds what the server printed and how it ended."""
    command = ["sh", "-c", "echo the reason; exit 3"]
    with (
        running_server("broken", command, log_path=tmp_path / "log") as server,
        pytest.raises(ServerError, match=r"(?s)exit code 3.*the reason"),
    ):
        server.wait_until(lambda: False, timeout_seconds=30)


def test_a_server_dies_with_its_parent(tmp_path: Path) -> None:
    """SIGKILL of the tests leaves no server running."""
    program = (
        "import sys, time, pathlib\n"
        "from tests.stores.processes import running_server\n"
        "with running_server('s', ['sleep', '600'], log_path=pathlib.Path(sys.argv[1])) as s:\n"
        "    print(s.process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether the process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
