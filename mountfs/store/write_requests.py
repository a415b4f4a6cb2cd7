"""The HTTP requests that change one bucket, as awscrt wants them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

from awscrt.http import HttpHeaders, HttpRequest

from mountfs._version import __version__
from mountfs.store.body import BodyStream
from mountfs.store.checksums import CHECKSUM_HEADER, combine_checksums, crc_text
from mountfs.store.header_text import headers_to_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.objects import ObjectHeaders, ObjectId, UploadedPart
    from mountfs.store.config import S3Config
    from mountfs.store.endpoint import Endpoint

_Headers = list[tuple[str, str]]

_XML_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

COPY_IF_MATCH_OF_CEPH = "x-amz-copy-if-match"
"""What RGW calls ``x-amz-copy-source-if-match``, which it does not know, in CopyObject."""

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")
"""Where conditions are known to be honoured by every request that changes something."""

_LITERAL_CONTROLS = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
"""Parsers would make blanks or line ends of another kind of them."""


class WriteRequests:
    """Builds the requests that change one bucket.

    Args:
        endpoint: where the bucket is.
        config: what goes with everything that is written.
        is_express: it is an S3 Express One Zone bucket.

    Attributes:
        is_aws: the bucket is on AWS.
    """

    __slots__ = (
        "_bucket",
        "_bucket_path",
        "_common",
        "_is_express",
        "_path",
        "_placement",
        "is_aws",
    )

    def __init__(self, endpoint: Endpoint, config: S3Config, *, is_express: bool) -> None:
        self._common: _Headers = [
            ("host", endpoint.host),
            ("user-agent", f"mountfs/{__version__}"),
        ]
        if config.requester_pays:
            self._common.append(("x-amz-request-payer", "requester"))
        self._placement = [
            (name, value)
            for name, value in (
                ("x-amz-storage-class", config.storage_class),
                ("x-amz-server-side-encryption", config.sse),
                ("x-amz-server-side-encryption-aws-kms-key-id", config.sse_kms_key_id),
                ("x-amz-acl", config.acl),
            )
            if value
        ]
        self.is_aws = endpoint.host.endswith(AWS_DOMAINS)
        self._path = endpoint.path
        self._bucket_path = endpoint.path_prefix.rstrip("/") or "/"
        self._bucket = config.bucket
        self._is_express = is_express

    # --- whole objects ---------------------------------------------------------------------------

    def put(
        self,
        key: str,
        body: BodyStream,
        headers: ObjectHeaders,
        expected_etag: str | None,
        checksum: str,
    ) -> HttpRequest:
        """Store an object."""
        return self._with_body(
            "PUT",
            self._path(key),
            body,
            [
                *headers_to_send(headers),
                *self._placement,
                *_condition(expected_etag),
                *_checksum(checksum),
            ],
        )

    def copy(
        self,
        source: ObjectId,
        key: str,
        headers: ObjectHeaders | None,
        expected_etag: str | None,
    ) -> HttpRequest:
        """Copy an object."""
        more = [*self._source(source), *self._placement, *_condition(expected_etag)]
        if headers is None:
            more.append(("x-amz-metadata-directive", "COPY"))
        else:
            more += [("x-amz-metadata-directive", "REPLACE"), *headers_to_send(headers)]
        return self._request("PUT", self._path(key), [("content-length", "0"), *more])

    def rename(self, source: ObjectId, key: str, *, may_replace: bool, token: str) -> HttpRequest:
        """Give an object another key; the same *token* is the same request, sent again."""
        more = [
            ("content-length", "0"),
            ("x-amz-rename-source", _quote_key(source.key, safe="/-_.~")),
            ("x-amz-rename-source-if-match", source.etag),
            ("x-amz-client-token", token),
        ]
        if not may_replace:
            more.append(("if-none-match", "*"))
        return self._request("PUT", f"{self._path(key)}?renameObject", more)

    def delete(self, key: str) -> HttpRequest:
        """Remove an object."""
        return self._request("DELETE", self._path(key), [])

    def delete_many(self, keys: Sequence[str]) -> HttpRequest:
        """Remove objects; only keys that `can_be_named_in_xml`."""
        entries = "".join(
            f"<Object><Key>{escape(key, _LITERAL_CONTROLS)}</Key></Object>" for key in keys
        )
        body = f'<Delete xmlns="{_XML_NAMESPACE}"><Quiet>true</Quiet>{entries}</Delete>'.encode()
        if self._is_express:
            digest = (CHECKSUM_HEADER, crc_text(body))
        else:
            digest = ("content-md5", b64encode(hashlib.md5(body).digest()).decode())
        return self._with_body("POST", f"{self._bucket_path}?delete", BodyStream([body]), [digest])

    # --- uploads in parts ------------------------------------------------------------------------

    def create_upload(
        self, key: str, headers: ObjectHeaders, *, with_checksums: bool
    ) -> HttpRequest:
        """Begin an upload."""
        more = [("content-length", "0"), *headers_to_send(headers), *self._placement]
        if with_checksums:
            more += [
                ("x-amz-checksum-algorithm", "CRC64NVME"),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ]
        return self._request("POST", f"{self._path(key)}?uploads", more)

    def upload_part(
        self, key: str, upload_id: str, number: int, body: BodyStream, checksum: str
    ) -> HttpRequest:
        """Send a part."""
        path = self._part_path(key, upload_id, number)
        return self._with_body("PUT", path, body, _checksum(checksum))

    def copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectId, start: int, stop: int
    ) -> HttpRequest:
        """Let the store copy bytes into a part."""
        more = [
            ("content-length", "0"),
            *self._source(source),
            ("x-amz-copy-source-range", f"bytes={start}-{stop - 1}"),
        ]
        return self._request("PUT", self._part_path(key, upload_id, number), more)

    def complete_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[UploadedPart],
        expected_etag: str | None,
        *,
        with_checksums: bool,
    ) -> HttpRequest:
        """Put an object together."""
        entries: list[str] = []
        for part in parts:
            checksum = (
                f"<ChecksumCRC64NVME>{part.checksum}</ChecksumCRC64NVME>"
                if with_checksums and part.checksum
                else ""
            )
            entries.append(
                f"<Part><PartNumber>{part.number}</PartNumber>"
                f"<ETag>{escape(part.etag)}</ETag>{checksum}</Part>"
            )
        body = (
            f'<CompleteMultipartUpload xmlns="{_XML_NAMESPACE}">{"".join(entries)}'
            "</CompleteMultipartUpload>"
        ).encode()
        more = _condition(expected_etag)
        whole = combine_checksums(parts) if with_checksums else ""
        if whole:
            more += [(CHECKSUM_HEADER, whole), ("x-amz-checksum-type", "FULL_OBJECT")]
        path = f"{self._path(key)}?uploadId={_quote_key(upload_id)}"
        return self._with_body(
            "POST", path, BodyStream([body]), [("content-type", "application/xml"), *more]
        )

    def abort_upload(self, key: str, upload_id: str) -> HttpRequest:
        """Throw an upload away."""
        return self._request("DELETE", f"{self._path(key)}?uploadId={_quote_key(upload_id)}", [])

    def list_uploads(self, prefix: str, key_marker: str, upload_id_marker: str) -> HttpRequest:
        """Ask for one page of the uploads; what is empty is left out."""
        # Not with encoding-type: RGW then quotes keys and does not say that it did.
        path = f"{self._bucket_path}?uploads"
        for name, value in (
            ("key-marker", key_marker),
            ("prefix", prefix),
            ("upload-id-marker", upload_id_marker),
        ):
            if value:
                path += f"&{name}={_quote_key(value)}"
        return self._request("GET", path, [])

    # --- behind it -------------------------------------------------------------------------------

    def _part_path(self, key: str, upload_id: str, number: int) -> str:
        return f"{self._path(key)}?partNumber={number}&uploadId={_quote_key(upload_id)}"

    def _source(self, source: ObjectId) -> _Headers:
        return [
            ("x-amz-copy-source", f"/{self._bucket}/{_quote_key(source.key, safe='/-_.~')}"),
            ("x-amz-copy-source-if-match", source.etag),
            *([] if self.is_aws else [(COPY_IF_MATCH_OF_CEPH, source.etag)]),
        ]

    def _request(self, method: str, path: str, more: _Headers) -> HttpRequest:
        return HttpRequest(method, path, HttpHeaders([*self._common, *more]))

    def _with_body(self, method: str, path: str, body: BodyStream, more: _Headers) -> HttpRequest:
        headers = HttpHeaders([*self._common, ("content-length", str(body.size_bytes)), *more])
        if body.size_bytes == 0:
            return HttpRequest(method, path, headers)
        return HttpRequest(method, path, headers, body)


def can_be_named_in_xml(key: str) -> bool:
    """Tell whether a document can hold the key: XML 1.0 has no word for most controls."""
    return all(
        character in _LITERAL_CONTROLS
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
        for character in key
    )


def _condition(expected_etag: str | None) -> _Headers:
    if expected_etag is None:
        return []
    return [("if-match", expected_etag)] if expected_etag else [("if-none-match", "*")]


def _checksum(checksum: str) -> _Headers:
    if not checksum:
        return []
    return [("x-amz-sdk-checksum-algorithm", "CRC64NVME"), (CHECKSUM_HEADER, checksum)]


def _quote_key(text: str, safe: str = "-_.~") -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)
