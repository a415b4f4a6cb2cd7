"""The HTTP requests for one bucket, as awscrt wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from awscrt.http import HttpHeaders, HttpRequest

from mountfs._version import __version__

if TYPE_CHECKING:
    from mountfs.store.endpoint import Endpoint


class RequestBuilder:
    """Builds the requests for one bucket.

    Args:
        endpoint: where the bucket is.
        requester_pays: as in `S3Config`.
    """

    __slots__ = ("_bucket_path", "_headers", "_list_path", "_path")

    def __init__(self, endpoint: Endpoint, *, requester_pays: bool) -> None:
        self._headers = [("host", endpoint.host), ("user-agent", f"mountfs/{__version__}")]
        if requester_pays:
            self._headers.append(("x-amz-request-payer", "requester"))
        self._path = endpoint.path
        # Without a key there is no slash behind the bucket; the root keeps its own.
        self._bucket_path = endpoint.path_prefix.rstrip("/") or "/"
        self._list_path = f"{self._bucket_path}?list-type=2&encoding-type=url"

    def get(self, key: str, etag: str, start: int, stop: int, version_id: str = "") -> HttpRequest:
        """Ask for the bytes ``[start, stop)`` of one version; of an old one with its id."""
        headers = HttpHeaders(
            [*self._headers, ("range", f"bytes={start}-{stop - 1}"), ("if-match", etag)]
        )
        return HttpRequest("GET", self._version_path(key, version_id), headers)

    def head(self, key: str, *, with_checksum: bool = False, version_id: str = "") -> HttpRequest:
        """Ask what the store knows of an object; the checksum it tells only if asked."""
        headers = HttpHeaders(self._headers)
        if with_checksum:
            headers.add("x-amz-checksum-mode", "ENABLED")
        return HttpRequest("HEAD", self._version_path(key, version_id), headers)

    def list_page(
        self, prefix: str, delimiter: str, start_after: str, token: str, max_keys: int
    ) -> HttpRequest:
        """Ask for one page of a listing; what is empty is left out."""
        path = self._list_path
        for name, value in (
            ("continuation-token", token),
            ("delimiter", delimiter),
            ("max-keys", str(max_keys) if max_keys else ""),
            ("prefix", prefix),
            ("start-after", "" if token else start_after),
        ):
            if value:
                path += f"&{name}={_quote(value)}"
        return HttpRequest("GET", path, HttpHeaders(self._headers))

    def list_versions(
        self, prefix: str, key_marker: str, version_id_marker: str, max_keys: int
    ) -> HttpRequest:
        """Ask for one page of the listing of all versions; what is empty is left out."""
        path = f"{self._bucket_path}?versions&encoding-type=url"
        for name, value in (
            ("key-marker", key_marker),
            ("max-keys", str(max_keys)),
            ("prefix", prefix),
            ("version-id-marker", version_id_marker),
        ):
            if value:
                path += f"&{name}={_quote(value)}"
        return HttpRequest("GET", path, HttpHeaders(self._headers))

    def _version_path(self, key: str, version_id: str) -> str:
        path = self._path(key)
        return f"{path}?versionId={_quote(version_id)}" if version_id else path


def _quote(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="-_.~")
