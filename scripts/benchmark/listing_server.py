"""A store that knows names only, and makes them up: for the memory that a million of them takes.

A million objects would take RGW an hour. Started by the benchmark as
``python -m scripts.benchmark.listing_server PORT COUNT DIRECTORIES``; answers ListObjectsV2 of any
bucket to anybody.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

MAX_KEYS = 1000
BEHIND = "\U0010ffff"
"""Sorts behind whatever may follow a prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingEndpoint:
    """How to reach the server."""

    endpoint_url: str
    access_key: str = "anybody"
    secret_key: str = "anything"


class Names:
    """The keys of the bucket, in order, none of them in memory.

    Args:
        count: of all keys.
        directories: over which they are spread evenly.
    """

    def __init__(self, count: int, directories: int) -> None:
        self._keys = range(count)
        self._per_directory = -(-count // directories)

    def key(self, index: int) -> str:
        """Return a key; the numbers have leading zeros, so their order is that of the texts."""
        directory, number = divmod(index, self._per_directory)
        return f"train/n{directory:08d}/n{directory:08d}_{number:08d}.JPEG"

    def page(self, prefix: str, delimiter: str, behind: str, limit: int) -> tuple[list[str], bool]:
        """Return keys and common prefixes (which end with *delimiter*), and whether more follow."""
        if delimiter and behind.endswith(delimiter):
            behind += BEHIND
        index = max(
            bisect_left(self._keys, prefix, key=self.key),
            bisect_right(self._keys, behind, key=self.key),
        )
        stop = bisect_left(self._keys, prefix + BEHIND, key=self.key)
        found: list[str] = []
        while index < stop and len(found) < limit:
            key = self.key(index)
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                key = prefix + rest.partition(delimiter)[0] + delimiter
                index = bisect_left(self._keys, key + BEHIND, key=self.key)
            else:
                index += 1
            found.append(key)
        return found, index < stop


class ListingServer(ThreadingHTTPServer):
    """Serves `names`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, names: Names) -> None:
        self.names = names
        super().__init__(("127.0.0.1", port), Handler)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20  # one packet train an answer
    disable_nagle_algorithm = True
    server: ListingServer

    def do_GET(self) -> None:
        """Answer ListObjectsV2."""
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        limit = min(MAX_KEYS, int(query.get("max-keys", MAX_KEYS)))
        behind = query.get("continuation-token") or query.get("start-after", "")
        delimiter = query.get("delimiter", "")
        found, is_truncated = self.server.names.page(
            query.get("prefix", ""), delimiter, behind, limit
        )
        body = render_page(found, delimiter, is_truncated=is_truncated).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def render_page(found: list[str], delimiter: str, *, is_truncated: bool) -> str:
    """Return the XML of a page; the names need no escaping."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated><KeyCount>{len(found)}</KeyCount>"
    ]
    if is_truncated:
        parts.append(f"<NextContinuationToken>{found[-1]}</NextContinuationToken>")
    for key in found:
        if delimiter and key.endswith(delimiter):
            parts.append(f"<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>")
        else:
            parts.append(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{hash(key) & (1 << 128) - 1:032x}&quot;</ETag><Size>110000</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
    parts.append("</ListBucketResult>")
    return "".join(parts)


def main() -> None:
    """Serve until killed."""
    port, count, directories = map(int, sys.argv[1:])
    ListingServer(port, Names(count, directories)).serve_forever()


if __name__ == "__main__":
    main()
