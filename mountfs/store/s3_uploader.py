"""Uploads in parts."""

from __future__ import annotations

import contextlib
import re
from functools import partial
from typing import TYPE_CHECKING

from mountfs.errors import (
    CorruptedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RequestRejectedError,
    UploadNotFoundError,
)
from mountfs.keys import sort_key
from mountfs.objects import ObjectInfo, PendingUpload, UploadedPart
from mountfs.store.body import BodyStream, size_of_body
from mountfs.store.checksums import CHECKSUM_HEADER, combine_checksums, compose_etag
from mountfs.store.doubt import Doubt
from mountfs.store.list_xml import quote_etag
from mountfs.store.s3_connection import header_of, mtime_of
from mountfs.store.s3_writer import COPY_BYTES_PER_SECOND, S3Writer, refusal, text_of
from mountfs.store.upload_xml import UploadPage, parse_upload_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from awscrt.http import HttpRequest

    from mountfs.objects import Body, ObjectHeaders, ObjectId
    from mountfs.store.bridge import Exchange
    from mountfs.store.s3_connection import S3Connection

COMPLETE_SECONDS = 120.0
"""S3 may take minutes to put ten thousand parts together; it sends blanks meanwhile."""

_MISREAD = re.compile(r"%|\?versionId=")
"""In keys that RGW takes for another one when it copies a part: it decodes them twice. It does not
say so, and the other one may exist; so such bytes go through us."""


class S3Uploader(S3Writer):
    """Reads one bucket, changes whole objects in it, and uploads in parts.

    Args:
        connection: the line to it.

    Attributes:
        min_part_bytes: as in the protocol.
        max_parts: as in the protocol.
    """

    min_part_bytes = 5 * 1024**2
    max_parts = 10_000

    def __init__(self, connection: S3Connection) -> None:
        super().__init__(connection)
        # AWS dates an object that came in parts back to the beginning of the upload.
        self._begun_ns: dict[str, int] = {}

    async def create_upload(self, key: str, headers: ObjectHeaders) -> str:
        """Begin an upload in parts; see `ObjectStore.create_upload`."""

        async def send(with_checksums: bool) -> str:
            build = partial(self._write.create_upload, key, headers, with_checksums=with_checksums)
            exchange, root = await self._connection.ask_for_xml(
                "CREATE_UPLOAD", "CreateMultipartUpload", build, key
            )
            upload_id = text_of(root, "UploadId")
            if not upload_id:
                raise self._connection.unreadable(exchange, f"CREATE_UPLOAD {key!r}", "no id")
            if self._is_aws:
                self._begun_ns[upload_id] = mtime_of(exchange, "date")
            return upload_id

        async def attempt() -> str:
            if not self._checksums.are_sent:
                return await send(False)
            try:
                return await send(True)
            except RequestRejectedError as error:
                upload_id = await send(False)  # raises again what was not the checksums' fault
                self._checksums.stop(f"rejects them: {error}")
                return upload_id

        return await self._connection.retry.run(attempt, "CREATE_UPLOAD", key)

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> UploadedPart:
        """Send a part of an upload; see `ObjectStore.upload_part`."""
        size_bytes = size_of_body(body)
        checksum = await self._checksums.of_body(body)

        async def send(checksum: str) -> Exchange:
            with contextlib.closing(BodyStream(body)) as stream:
                build = partial(self._write.upload_part, key, upload_id, number, stream, checksum)
                return await self._connection.ask("UPLOAD_PART", "UploadPart", build, key)

        attempt = partial(self._send_checked, send, checksum)
        exchange = await self._connection.transfer(attempt, "UPLOAD_PART", key, size_bytes)
        etag = quote_etag(header_of(exchange, "etag"))
        return UploadedPart(number, etag, size_bytes, header_of(exchange, CHECKSUM_HEADER))

    async def copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectId, start: int, stop: int
    ) -> UploadedPart:
        """Let the store copy bytes into a part; see `ObjectStore.copy_part`."""
        if not self._is_aws and _MISREAD.search(source.key):
            step = self.part_size_bytes
            starts = range(start, stop, step)
            body = [await self.get(source, at, min(at + step, stop)) for at in starts]
            return await self.upload_part(key, upload_id, number, body)
        build = partial(self._write.copy_part, key, upload_id, number, source, start, stop)
        _, root = await self._connection.retry.run(
            partial(self._fetch_etag, "COPY_PART", "UploadPartCopy", build, key),
            "COPY_PART",
            key,
            grace_seconds=(stop - start) / COPY_BYTES_PER_SECOND,
        )
        await self._check_source(source)
        etag = quote_etag(text_of(root, "ETag"))
        return UploadedPart(number, etag, stop - start, text_of(root, "ChecksumCRC64NVME"))

    async def complete_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[UploadedPart],
        *,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Put the object together and show it; see `ObjectStore.complete_upload`."""
        await self._check_expected(key, expected_etag)
        with_checksums = self._checksums.are_sent
        build = partial(
            self._write.complete_upload,
            key,
            upload_id,
            parts,
            expected_etag,
            with_checksums=with_checksums,
        )
        size_bytes = sum(part.size_bytes for part in parts)
        doubt = Doubt()
        send = partial(self._complete_once, build, key, compose_etag(parts))
        find_own = partial(
            self._find_own,
            key,
            size_bytes,
            {compose_etag(parts)} - {""},
            combine_checksums(parts),
        )

        async def attempt() -> ObjectInfo:
            # Did an attempt complete it, and nobody heard of it? Stores differ in what they answer
            # to another one: NoSuchUpload, a good answer again, or 500 for ever (RGW).
            own = await find_own() if doubt.is_left else None
            if own is not None:
                return own
            exchange, etag = await doubt.watch(send)
            _check_composed(exchange, key, etag, parts)
            begun_ns = self._begun_ns.get(upload_id, 0)
            return ObjectInfo(key, size_bytes, etag, begun_ns or mtime_of(exchange, "date"))

        try:
            info = await self._connection.retry.run(
                attempt, "COMPLETE_UPLOAD", key, grace_seconds=COMPLETE_SECONDS
            )
        except (UploadNotFoundError, PreconditionFailedError, ObjectNotFoundError) as error:
            # Nobody else has the upload's id: what holds just its parts is what it became.
            own = await find_own() if isinstance(error, UploadNotFoundError) else None
            if own is None:
                raise refusal(error, expected_etag) from error
            info = own
        self._begun_ns.pop(upload_id, None)
        return info

    async def _complete_once(
        self, build: Callable[[], HttpRequest], key: str, composed: str
    ) -> tuple[Exchange, str]:
        """Send once; return the ETag of the object, too.

        RGW leaves it out at times. It is the composed one there, and it is not worth a request: if
        it were wrong, the next GET would not find the version, and it would be looked up again.
        """
        exchange, root = await self._connection.ask_for_xml(
            "COMPLETE_UPLOAD", "CompleteMultipartUpload", build, key
        )
        etag = quote_etag(text_of(root, "ETag"))
        if etag.strip('"'):
            return exchange, etag
        if not composed or not root.tag.endswith("CompleteMultipartUploadResult"):
            raise self._connection.unreadable(exchange, f"COMPLETE_UPLOAD {key!r}", "no ETag")
        return exchange, composed

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw an upload away; see `ObjectStore.abort_upload`."""
        self._begun_ns.pop(upload_id, None)
        build = partial(self._write.abort_upload, key, upload_id)
        attempt = partial(self._connection.ask, "ABORT_UPLOAD", "AbortMultipartUpload", build, key)
        with contextlib.suppress(UploadNotFoundError):
            await self._connection.retry.run(attempt, "ABORT_UPLOAD", key)

    async def list_uploads(self, prefix: str) -> list[PendingUpload]:
        """Return the uploads that were begun; see `ObjectStore.list_uploads`."""
        # S3 Express lists in no order, and takes only prefixes that end with a slash.
        asked = prefix
        if self._connection.is_express:
            asked = prefix[: prefix.rfind("/") + 1]
        found: list[PendingUpload] = []
        key_marker = upload_id_marker = ""
        while True:
            build = partial(self._write.list_uploads, asked, key_marker, upload_id_marker)
            page = await self._connection.retry.run(
                partial(self._list_uploads_once, build, prefix), "LIST_UPLOADS", prefix
            )
            found += [upload for upload in page.uploads if upload.key.startswith(prefix)]
            _, key_marker, upload_id_marker = page
            if not key_marker:
                break
        return sorted(found, key=lambda upload: (sort_key(upload.key), upload.initiated_ns))

    async def _list_uploads_once(self, build: Callable[[], HttpRequest], name: str) -> UploadPage:
        exchange, root = await self._connection.ask_for_xml(
            "LIST_UPLOADS", "ListMultipartUploads", build, name
        )
        try:
            return parse_upload_page(root)
        except (ValueError, KeyError) as error:
            raise self._connection.unreadable(
                exchange, f"LIST_UPLOADS {name!r}", str(error)
            ) from error


def _check_composed(exchange: Exchange, key: str, etag: str, parts: Sequence[UploadedPart]) -> None:
    """Compare the ETag of an object with those of its parts, where they tell its content.

    Raises:
        CorruptedError: the store has put something else together.
    """
    composed = compose_etag(parts)
    # With a KMS key ETags are not MD5s, though they look like them; nor are they everywhere.
    is_encrypted = header_of(exchange, "x-amz-server-side-encryption").startswith("aws:kms")
    if not composed or is_encrypted or not etag.endswith(f'-{len(parts)}"'):
        return
    if etag != composed:
        raise CorruptedError(f"{key!r}: is {etag} after the upload instead of {composed}")
