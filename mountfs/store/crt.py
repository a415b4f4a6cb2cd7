"""The client of awscrt, made to measure.

CRT is used as a fast HTTP client that signs: one request of ours is one HTTP request. It neither
splits a GET (a range is at most one part) nor repeats one (`mountfs.store.retry` does).
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    TlsContextOptions,
)
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RetryConfig, S3RetryMode

from mountfs.errors import UsageError

if TYPE_CHECKING:
    from mountfs.store.config import S3Config

MIB = 1024 * 1024

GBPS_PER_CONNECTION = 0.4
"""What one connection to S3 carries, as CRT estimates it (aws-c-s3, s3_client.c: 100 / 250)."""

MIN_CONNECTIONS = 10
"""CRT never plans for fewer (aws-c-s3, s3_client.c: g_min_num_connections)."""

CONNECTIONS_HEADROOM = 4
"""How many times as many connections may be opened while the store allows it. Small objects are
bound by latency, not by the bandwidth of a connection. CRT keeps the same ratio of requests to
connections (aws-c-s3, s3_client.c: s_max_requests_multiplier)."""

MIN_BUFFER_BYTES = 256 * MIB
"""CRT accepts no smaller limit."""

BUFFER_OVERHEAD_BYTES = 128 * MIB
"""What CRT keeps back of its limit for other things than parts."""

MAX_EVENT_LOOPS = 4
"""One loop carries more than a Python process can take; the others are for TLS."""


def ideal_connections(throughput_target_gbps: float) -> int:
    """Return how many connections CRT would use for a throughput."""
    return max(MIN_CONNECTIONS, math.ceil(throughput_target_gbps / GBPS_PER_CONNECTION))


def make_crt_client(
    config: S3Config, *, region: str, use_tls: bool, is_express: bool, ca_bundle: str | None
) -> S3Client:
    """Start CRT's threads and return a client that uses them.

    They end when the client and all of its requests are gone.

    Raises:
        UsageError: the file of certificate authorities cannot be used.
    """
    connections = ideal_connections(config.throughput_target_gbps)
    loops = EventLoopGroup(_event_loop_count())
    tls: dict[str, Any] = {}
    if use_tls:
        tls["tls_connection_options"] = _make_tls(config, ca_bundle).new_connection_options()
    return S3Client(
        bootstrap=ClientBootstrap(loops, DefaultHostResolver(loops)),
        region=region,
        tls_mode=S3RequestTlsMode.ENABLED if use_tls else S3RequestTlsMode.DISABLED,
        part_size=config.part_size_bytes,
        # CRT derives the number of connections from this and nothing else.
        throughput_target_gbps=connections * CONNECTIONS_HEADROOM * GBPS_PER_CONNECTION,
        # Each part in flight has a buffer: as many as connections that the target needs.
        # More would only let memory grow (100 parts at once: 944 MiB instead of 183, and slower).
        memory_limit=max(
            MIN_BUFFER_BYTES, BUFFER_OVERHEAD_BYTES + connections * config.part_size_bytes
        ),
        enable_s3express=is_express,
        retry_config=S3RetryConfig(retry_mode=S3RetryMode.NONE),
        connect_timeout_ms=max(1, round(config.connect_timeout_seconds * 1000)),
        **tls,
    )


def _event_loop_count() -> int:
    # Measured on 2 cores: one loop is as fast as two and takes 10 % less CPU for small objects.
    return max(1, min(MAX_EVENT_LOOPS, len(os.sched_getaffinity(0)) // 2))


def _make_tls(config: S3Config, ca_bundle: str | None) -> ClientTlsContext:
    options = TlsContextOptions()
    options.verify_peer = config.verify_ssl
    if ca_bundle is not None and config.verify_ssl:
        try:
            options.override_default_trust_store_from_path(ca_filepath=ca_bundle)
            return ClientTlsContext(options)
        except Exception as error:  # awscrt raises several unrelated types here
            raise UsageError(f"--ca-bundle {ca_bundle}: cannot use it: {error}") from error
    return ClientTlsContext(options)
