"""The bare listing of a bucket through awscrt: as few requests as there can be, many at once."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.raw import RawStore

    Entry = tuple[str, int, str, str]

XML_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

BEHIND_ALL_KEYS = "\U0010ffff"


class TreeListing:
    """Lists a bucket of directories flat: several chains at once, each through its share.

    The first request lists the directories; each chain then starts behind the share of the one
    before. That takes hardly more pages than there are thousands of keys, where a chain for each
    directory takes one page, mostly half empty, for each.
    """

    def __init__(self, store: RawStore, chains: int) -> None:
        self._store = store
        self._chains = chains
        self._answers: queue.SimpleQueue[tuple[int, bytes, Exception | None]] = queue.SimpleQueue()
        self._request_count = 0

    def run(self) -> dict[str, Any]:
        """List everything, and parse it."""
        self._send(0, "delimiter=%2F")
        _, page = self._receive()
        directories = [
            prefix.text or ""
            for prefix in page.iterfind(f"{XML_NAMESPACE}CommonPrefixes/{XML_NAMESPACE}Prefix")
        ]
        shares = min(self._chains, len(directories))
        starts = [directories[len(directories) * share // shares] for share in range(shares)]
        entries = self._list_shares(starts, [*starts[1:], BEHIND_ALL_KEYS])
        return {"files": len(entries), "requests": self._request_count}

    def _list_shares(self, starts: list[str], ends: list[str]) -> list[Entry]:
        for chain, start in enumerate(starts):
            self._send(chain, f"start-after={quote(start, safe='')}")
        entries: list[Entry] = []
        under_way = len(starts)
        while under_way:
            chain, page = self._receive()
            found = list(parse_entries(page))
            entries += (entry for entry in found if entry[0] < ends[chain])
            token = page.findtext(f"{XML_NAMESPACE}NextContinuationToken")
            if token and found[-1][0] < ends[chain]:
                self._send(chain, f"continuation-token={quote(token, safe='')}")
            else:
                under_way -= 1
        return entries

    def _send(self, chain: int, query: str) -> None:
        chunks: list[bytes] = []

        def on_body(*, chunk: bytes, **_: Any) -> None:
            chunks.append(chunk)

        def on_done(*, error: Exception | None, **_: Any) -> None:
            self._answers.put((chain, b"".join(chunks), error))

        self._store.list_page(query, on_body, on_done)
        self._request_count += 1

    def _receive(self) -> tuple[int, ElementTree.Element]:
        chain, body, error = self._answers.get()
        if error is not None:
            raise error
        return chain, ElementTree.fromstring(body)


def parse_entries(page: ElementTree.Element) -> Iterator[Entry]:
    """Yield key, size, ETag and time of each object on a page."""
    for contents in page.iterfind(f"{XML_NAMESPACE}Contents"):
        values = {child.tag: child.text or "" for child in contents}
        yield (
            values[f"{XML_NAMESPACE}Key"],
            int(values[f"{XML_NAMESPACE}Size"]),
            values[f"{XML_NAMESPACE}ETag"],
            values[f"{XML_NAMESPACE}LastModified"],
        )
