"""A process that asks the store through awscrt alone: what mountfs is measured against.

Started by the benchmark as ``python -m scripts.benchmark.raw``; see `scripts.benchmark.task`. It
shares nothing with mountfs, so that a mistake there cannot hide here.
"""

from __future__ import annotations

import io
import os
import queue
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType

from scripts.benchmark.pattern import PatternStream
from scripts.benchmark.raw_listing import TreeListing
from scripts.benchmark.shard import make_shard
from scripts.benchmark.task import serve_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import RawIOBase

    Send = Callable[[Callable[..., None]], Any]

PART_BYTES = 8 * 1024 * 1024
"""What mountfs asks for at a time, at most."""


class RawStore:
    """One bucket through awscrt, with its defaults where the job does not say otherwise."""

    def __init__(self, job: dict[str, Any]) -> None:
        url = urlsplit(job["endpoint_url"])
        self.bucket: str = job["bucket"]
        self.host = url.netloc
        # Half the cores: measured on two of them, one loop is 5 % faster than one for each core.
        loops = EventLoopGroup(max(1, len(os.sched_getaffinity(0)) // 2))
        self.client = S3Client(
            bootstrap=ClientBootstrap(loops, DefaultHostResolver(loops)),
            region=job["region"],
            tls_mode=S3RequestTlsMode.DISABLED,
            credential_provider=AwsCredentialsProvider.new_static(
                job["access_key"], job["secret_key"]
            ),
            part_size=PART_BYTES,
        )

    def get(self, key: str, start: int, stop: int, on_done: Callable[..., None]) -> Any:
        """Send one GET of ``[start, stop)``; touch what arrives and drop it."""
        headers = HttpHeaders([("host", self.host), ("range", f"bytes={start}-{stop - 1}")])
        return self.client.make_request(
            type=S3RequestType.GET_OBJECT,
            request=HttpRequest("GET", self._path(key), headers),
            on_body=_touch,
            on_done=on_done,
        )

    def put(self, key: str, size_bytes: int, on_done: Callable[..., None]) -> Any:
        """Send an object of *size_bytes*."""
        return self.put_stream(key, size_bytes, PatternStream(key, size_bytes), on_done)

    def put_shard(self, key: str, size_bytes: int, on_done: Callable[..., None]) -> Any:
        """Send a tar archive of *size_bytes*."""
        return self.put_stream(key, size_bytes, io.BytesIO(make_shard(key, size_bytes)), on_done)

    def put_stream(
        self, key: str, size_bytes: int, body: BinaryIO | RawIOBase, on_done: Callable[..., None]
    ) -> Any:
        """Send an object from *body*; CRT makes parts of it, several at a time, if it is large."""
        headers = HttpHeaders([("host", self.host), ("content-length", str(size_bytes))])
        return self.client.make_request(
            type=S3RequestType.PUT_OBJECT,
            request=HttpRequest("PUT", self._path(key), headers, body),
            on_done=on_done,
        )

    def list_page(
        self, query: str, on_body: Callable[..., None], on_done: Callable[..., None]
    ) -> Any:
        """Send one ListObjectsV2."""
        path = f"/{self.bucket}?list-type=2&{query}"
        return self.client.make_request(
            type=S3RequestType.DEFAULT,
            operation_name="ListObjectsV2",
            request=HttpRequest("GET", path, HttpHeaders([("host", self.host)])),
            on_body=on_body,
            on_done=on_done,
        )

    def _path(self, key: str) -> str:
        return f"/{self.bucket}/{quote(key)}"


def _touch(*, chunk: bytes, **_: Any) -> None:
    ends = chunk[:1], chunk[-1:]
    assert len(ends) == 2


def keep_outstanding(sends: Iterable[Send], outstanding: int) -> None:
    """Send requests so that *outstanding* of them are under way until the last one is answered."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def on_done(*, error: Exception | None, **_: Any) -> None:
        answers.put(error)

    under_way = 0
    for send in sends:
        if under_way == outstanding:
            _raise_if_failed(answers.get())
            under_way -= 1
        send(on_done)
        under_way += 1
    for _ in range(under_way):
        _raise_if_failed(answers.get())


def _raise_if_failed(error: Exception | None) -> None:
    if error is not None:
        raise error


def get_ranges(
    store: RawStore, ranges: list[tuple[str, int, int]], outstanding: int
) -> dict[str, Any]:
    """Send a GET for each ``(key, start, stop)``."""
    sends = (partial(store.get, key, start, stop) for key, start, stop in ranges)
    keep_outstanding(sends, outstanding)
    return {"files": len(ranges), "bytes": sum(stop - start for _, start, stop in ranges)}


def time_ranges(store: RawStore, ranges: list[tuple[str, int, int]]) -> dict[str, Any]:
    """Send a GET for each ``(key, start, stop)``, one after the other, and measure each."""
    seconds = []
    for key, start, stop in ranges:
        began = time.perf_counter()
        keep_outstanding([partial(store.get, key, start, stop)], 1)
        seconds.append(time.perf_counter() - began)
    return {"bytes": sum(stop - start for _, start, stop in ranges), "seconds": seconds}


def put_objects(
    store: RawStore, objects: list[tuple[str, int]], outstanding: int, *, has_shards: bool
) -> dict[str, Any]:
    """Upload objects of given keys and sizes; *has_shards*: they are tar archives."""
    put = store.put_shard if has_shards else store.put
    keep_outstanding((partial(put, key, size) for key, size in objects), outstanding)
    return {"files": len(objects), "bytes": sum(size for _, size in objects)}


def prepare_save(store: RawStore, key: str, size_bytes: int) -> Callable[[], dict[str, Any]]:
    """Save a state dict to memory, and return what uploads those bytes."""
    import torch

    from scripts.benchmark.checkpoint import make_state_dict

    body = io.BytesIO()
    torch.save(make_state_dict(size_bytes), body)
    saved_bytes = body.tell()
    body.seek(0)

    def upload() -> dict[str, Any]:
        keep_outstanding([partial(store.put_stream, key, saved_bytes, body)], 1)
        return {"files": 1, "bytes": saved_bytes}

    return upload


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return the work that *job* names."""
    store = RawStore(job)
    if job["kind"] == "get":
        return partial(get_ranges, store, job["ranges"], job["outstanding"])
    if job["kind"] == "time":
        # The connection is made before the clock starts, as a mount has by its first read.
        time_ranges(store, [job["ranges"][0]])
        return partial(time_ranges, store, job["ranges"])
    if job["kind"] == "save":
        return prepare_save(store, job["key"], job["size_bytes"])
    if job["kind"] == "put":
        has_shards = job.get("has_shards", False)
        return partial(
            put_objects, store, job["objects"], job["outstanding"], has_shards=has_shards
        )
    return TreeListing(store, job["chains"]).run


if __name__ == "__main__":
    serve_task(prepare)
    # CRT's threads have nothing left to do that is worth a wait.
    os._exit(0)
