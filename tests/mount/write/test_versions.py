"""Buckets that keep versions: what is removed can be had again, and the past can be mounted."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import mounting, wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.tree import tree_of_directory
from tests.mount.write.ways_to_write import wait_for_content

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.conftest import Writing
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount


@pytest.fixture
def versioned_bucket(s3: S3Client, bucket: str) -> str:
    """Return a bucket that keeps versions."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def wait_for_the_next_second(s3: S3Client, bucket: str) -> datetime:
    """Return a time after everything that is in the bucket, and before all that comes."""
    pages = s3.list_object_versions(Bucket=bucket)
    found = [*pages.get("Versions", []), *pages.get("DeleteMarkers", [])]
    latest = max(version["LastModified"] for version in found).timestamp() + 1
    wait_until(lambda: datetime.now(UTC).timestamp() > latest + 1)
    return datetime.fromtimestamp(int(latest) + 1, UTC)


@pytest.mark.dear
def test_removing_leaves_versions_and_the_past_can_be_mounted(
    s3: S3Client, versioned_bucket: str, writing: Writing, proxy: Proxy, tmp_path: Path
) -> None:
    """A delete marker for each file; ``--version-at`` shows the tree as it was, read-only."""
    mount = writing("--part-size", "5M")
    (mount.path / "d").mkdir()
    first = {"d/f": b"first", "g": make_bytes(6 * MIB)}
    for name, content in first.items():
        (mount.path / name).write_bytes(content)
        wait_for_content(mount, name, content)
    moment = wait_for_the_next_second(s3, versioned_bucket)
    past_tree = tree_of_directory(mount.path)
    (mount.path / "d/f").write_bytes(b"second")
    wait_for_content(mount, "d/f", b"second")
    os.rename(mount.path / "g", mount.path / "h")
    os.unlink(mount.path / "d/f")
    os.rmdir(mount.path / "d")
    mount.check_holds({"h": first["g"]})
    found = s3.list_object_versions(Bucket=versioned_bucket)
    bodies = {
        s3.get_object(Bucket=versioned_bucket, Key="d/f", VersionId=v["VersionId"])["Body"].read()
        for v in found["Versions"]
        if v["Key"] == "d/f"
    }
    assert {b"first", b"second"} == bodies
    assert {"d/", "d/f", "g"} == {marker["Key"] for marker in found["DeleteMarkers"]}

    with mounting(
        f"s3://{versioned_bucket}",
        tmp_path / "past",
        *("--version-at", moment.strftime("%Y-%m-%dT%H:%M:%SZ")),
        endpoint=proxy,
    ) as past:
        assert past_tree == tree_of_directory(past.path)
        assert outcome_of(lambda: (past.path / "new").write_bytes(b"")) == "EROFS"
        assert outcome_of(lambda: os.unlink(past.path / "g")) == "EROFS"
        assert outcome_of(lambda: (past.path / "h").stat()) == "ENOENT"
