"""The store under measurement, directly and with latency, and what it was asked."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.benchmark.crew import RAW, Outcome, run_crew
from tests.stores.client import REGION, make_client
from tests.stores.proxy import Faults, Proxy, running_proxy
from tests.stores.rgw import Rgw, running_rgw

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from scripts.benchmark.data_set import DataSet
    from tests.stores.client import Endpoint

UPLOADS_OUTSTANDING = 48
"""More do not make RGW faster."""

LARGE_BYTES = 16 * 1024 * 1024
"""Of an object this large, awscrt uploads several parts at a time: one object is enough then."""

QUIET_SECONDS = 0.3
"""Without a request for so long, all that belong to a pass have been counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to the store.

    Attributes:
        latency_ms: to the first byte of every answer.
        endpoint: the store itself for 0 ms, since a proxy in between would cost what is measured;
            the proxy otherwise.
    """

    latency_ms: int
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.latency_ms} ms"


class Service:
    """The running store with its data sets.

    Attributes:
        direct: the way without latency.
        slow: the way with latency, on which requests are counted.
    """

    def __init__(self, rgw: Rgw, proxy: Proxy, latency_ms: int) -> None:
        self.direct = Route(latency_ms=0, endpoint=rgw)
        self.slow = Route(latency_ms=latency_ms, endpoint=proxy)
        self._proxy = proxy
        self._log = proxy.log
        self._uploaded: set[str] = set()

    def upload(self, data_set: DataSet) -> Outcome | None:
        """Make the bucket of *data_set* and fill it; return None if an earlier job did."""
        if data_set.bucket in self._uploaded:
            return None
        self._uploaded.add(data_set.bucket)
        self.make_bucket(data_set.bucket)
        is_large = data_set.objects[0][1] >= LARGE_BYTES
        return self.run_raw(
            self.direct,
            data_set.bucket,
            kind="put",
            objects=data_set.objects,
            has_shards=data_set.has_shards,
            outstanding=1 if is_large else UPLOADS_OUTSTANDING,
        )

    def make_bucket(self, bucket: str) -> None:
        """Make an empty bucket, unless it is there."""
        with self.client() as client:
            client.create_bucket(Bucket=bucket)

    @contextlib.contextmanager
    def client(self) -> Iterator[S3Client]:
        """Provide a client of the store itself, to look at what the measured ones have left."""
        client = make_client(self.direct.endpoint)
        with contextlib.closing(client):
            yield client

    def run_raw(self, route: Route, bucket: str, **job: Any) -> Outcome:
        """Let awscrt alone do *job*; see `scripts.benchmark.raw`."""
        endpoint = route.endpoint
        address = {
            "endpoint_url": endpoint.endpoint_url,
            "access_key": endpoint.access_key,
            "secret_key": endpoint.secret_key,
            "region": REGION,
            "bucket": bucket,
        }
        return run_crew(RAW, [{**address, **job}])

    @contextlib.contextmanager
    def paced(self, bytes_per_second: int) -> Iterator[None]:
        """Let each answer on the slow way come no faster inside of the block; 0: as it can."""
        faults = Faults(latency_ms=self.slow.latency_ms, bytes_per_second=bytes_per_second)
        self._proxy.set_faults(faults)
        try:
            yield
        finally:
            self._proxy.set_faults(Faults(latency_ms=self.slow.latency_ms))

    def mark(self) -> int:
        """Return the place in the proxy's log from which to `count`, once it is quiet there."""
        mark = self._log.mark()
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            time.sleep(QUIET_SECONDS / 10)
            if (now := self._log.mark()) != mark:
                mark, quiet_since = now, time.monotonic()
        return mark

    def count(self, mark: int) -> Counter[str]:
        """Count what the proxy was asked since *mark*, once it is quiet there."""
        self.mark()
        return self._log.count(since=mark)

    def count_bytes(self, mark: int) -> int:
        """Add up what went through the proxy since *mark*, both ways, once it is quiet there."""
        self.mark()
        requests = self._log.read(since=mark)
        return sum(request.received_bytes + request.sent_bytes for request in requests)


@contextlib.contextmanager
def running_service(directory: Path, *, latency_ms: int) -> Iterator[Service]:
    """Start store and proxy; end them, and delete all data, with the block."""
    with running_rgw(directory) as rgw, running_proxy(directory, rgw) as proxy:
        proxy.set_faults(Faults(latency_ms=latency_ms))
        yield Service(rgw, proxy, latency_ms)


def describe_requests(counts: Mapping[str, int]) -> str:
    """Return e.g. ``5,000 GET, 0 HEAD``; nothing if nothing was counted."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
