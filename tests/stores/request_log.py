"""What a store was asked, counted by kind of request."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the proxy saw it.

    Attributes:
        kind: ``GET``, ``HEAD`` or ``PUT`` of an object, ``LIST``, and so on; see `classify`.
        method: of HTTP.
        uri: path and query, as sent.
        status: what the client got; 499 when it did not wait, 444 when it was reset.
        received_bytes: from the client, headers included.
        sent_bytes: of the body, to the client.
        range_header: as sent; empty without one.
        fault: what the proxy did to it; empty for nothing.
        ended_seconds: since the epoch.
        duration_seconds: from the first byte of the request to the last of the answer.
    """

    kind: str
    method: str
    uri: str
    status: int
    received_bytes: int
    sent_bytes: int
    range_header: str
    fault: str
    ended_seconds: float
    duration_seconds: float


def classify(method: str, uri: str, copy_source: str) -> str:
    """Name what a path-style request asks for.

    An object's ``GET``, ``HEAD``, ``PUT``, ``DELETE``, ``COPY``; its upload's ``CREATE_UPLOAD``,
    ``UPLOAD_PART``, ``UPLOAD_PART_COPY``, ``COMPLETE_UPLOAD``, ``ABORT_UPLOAD``, ``LIST_PARTS``;
    the bucket's ``LIST``, ``LIST_UPLOADS``, ``DELETE_MANY``; other requests to a bucket are
    ``<METHOD>_BUCKET``, to the service ``<METHOD>_SERVICE``.
    """
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    bucket, _, key = parts.path.removeprefix("/").partition("/")
    if not bucket:
        return f"{method}_SERVICE"
    if not key:
        return _classify_bucket_request(method, query)
    if "uploadId" in query:
        part = "UPLOAD_PART_COPY" if copy_source else "UPLOAD_PART"
        upload = {"PUT": part, "POST": "COMPLETE_UPLOAD", "DELETE": "ABORT_UPLOAD"}
        return upload.get(method, "LIST_PARTS")
    if method == "POST" and "uploads" in query:
        return "CREATE_UPLOAD"
    return "COPY" if copy_source else method


def _classify_bucket_request(method: str, query: dict[str, str]) -> str:
    if method == "POST" and "delete" in query:
        return "DELETE_MANY"
    if method == "GET" and "uploads" in query:
        return "LIST_UPLOADS"
    subresources = {"location", "versioning", "policy", "acl", "cors", "lifecycle", "encryption"}
    if method == "GET" and not subresources & query.keys():
        return "LIST"
    return f"{method}_BUCKET"


class RequestLog:
    """The requests that were answered, in the order in which they ended.

    Args:
        path: the proxy's access log.
        sync: returns when all that was answered is in the log.
    """

    def __init__(self, path: Path, *, sync: Callable[[], None]) -> None:
        self._path = path
        self._sync = sync

    def mark(self) -> int:
        """Return the place where the log ends now, to count from."""
        self._sync()
        return self._path.stat().st_size

    def read(self, *, since: int = 0) -> list[Request]:
        """Return all requests that ended after *since*, a `mark`."""
        self._sync()
        with self._path.open("rb") as log:
            log.seek(since)
            return [_parse(line) for line in log.read().splitlines()]

    def count(self, *, since: int = 0) -> Counter[str]:
        """Count the requests that ended after *since*, a `mark`, by kind."""
        return Counter(request.kind for request in self.read(since=since))


def _parse(line: bytes) -> Request:
    entry = json.loads(line)
    return Request(
        kind=classify(entry["method"], entry["uri"], entry["copy_source"]),
        method=entry["method"],
        uri=entry["uri"],
        status=entry["status"],
        received_bytes=entry["received"],
        sent_bytes=entry["sent"],
        range_header=entry["range"],
        fault=entry["fault"],
        ended_seconds=entry["ended"],
        duration_seconds=entry["seconds"],
    )
