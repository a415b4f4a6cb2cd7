"""Where the bucket is and how to talk to it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """How to reach a bucket.

    Attributes:
        bucket: its name; ``base--azid--x-s3`` names an S3 Express One Zone bucket.
        region: None discovers it from the bucket.
        endpoint_url: None means AWS.
        profile: a profile of the AWS configuration files; None lets the usual chain decide.
        sign_requests: False reads a public bucket without credentials.
        addressing: ``path``, ``virtual``, or ``auto``: path-style for IP addresses, localhost and
            bucket
            names with a dot.
        ca_bundle: a PEM file that replaces the system's certificate authorities.
        verify_ssl: False accepts any certificate.
        requester_pays: the account that reads pays for the requests.
        part_size_bytes: the largest single GET.
        throughput_target_gbps: gigabits a second that CRT and the concurrency limit aim for.
        connect_timeout_seconds: for one TCP and TLS handshake.
        deadline_seconds: for one operation with all of its retries. The time that its bytes take on
            a slow link comes on top: a transfer that makes progress is not cut off.
        max_attempts: how often one request is sent at most, the first time included; unless said,
            the deadline decides.
        storage_class: of what is written; None leaves it to the bucket.
        sse: server-side encryption of what is written; None leaves it to the bucket.
        sse_kms_key_id: the key for it; None is the account's.
        acl: canned ACL of what is written; None sends none.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    sign_requests: bool = True
    addressing: str = "auto"
    ca_bundle: str | None = None
    verify_ssl: bool = True
    requester_pays: bool = False
    part_size_bytes: int = 8 * MIB
    throughput_target_gbps: float = 10.0
    connect_timeout_seconds: float = 5.0
    deadline_seconds: float = 60.0
    max_attempts: int = sys.maxsize
    storage_class: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    acl: str | None = None
