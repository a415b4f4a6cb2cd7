"""boto3 clients for the test stores, independent of the clients that mountfs makes for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
"""The test stores take any; RGW and moto call theirs so."""


class Endpoint(Protocol):
    """Whatever serves S3 and says how to reach it: `Rgw`, `Proxy`, `Moto`."""

    @property
    def endpoint_url(self) -> str:
        """Of the path-style S3 interface."""

    @property
    def access_key(self) -> str:
        """Of a user who may make buckets."""

    @property
    def secret_key(self) -> str:
        """Belongs to `access_key`."""


def make_client(
    endpoint: Endpoint,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    max_attempts: int = 1,
    read_timeout_seconds: float = 60.0,
) -> S3Client:
    """Make an S3 client; the caller closes it.

    It sends each request once (unless *max_attempts* says otherwise), so that requests can be
    counted, and no checksums that are younger than RGW.
    """
    return boto3.client(
        "s3",
        endpoint_url=endpoint.endpoint_url,
        aws_access_key_id=access_key or endpoint.access_key,
        aws_secret_access_key=secret_key or endpoint.secret_key,
        region_name=REGION,
        config=Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": max_attempts, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=32,
            read_timeout=read_timeout_seconds,
        ),
    )


def empty_bucket(client: S3Client, bucket: str) -> None:
    """Delete all versions, delete markers and unfinished uploads of a bucket."""
    for uploads in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in uploads.get("Uploads", []):
            client.abort_multipart_upload(
                Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            client.delete_objects(
                Bucket=bucket,
                Delete={
                    "Quiet": True,
                    "Objects": [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in found],
                },
            )
