"""What the fake store holds, and the rules by which it changes. Synchronous, and asks for nothing.

`mountfs.store.fake` turns the methods into requests; what other clients do is done here directly.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mountfs.errors import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    RequestRejectedError,
    UploadNotFoundError,
)
from mountfs.keys import KEY_MAX_BYTES, sort_key
from mountfs.objects import ListPage, ObjectHeaders, ObjectInfo, PendingUpload, UploadedPart
from mountfs.store.fake_content import Content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mountfs.objects import ObjectId

FIRST_MTIME_NS = 1_700_000_000 * 10**9
"""Any whole second will do; every change is one second after the one before, to tell them apart."""

NO_HEADERS = ObjectHeaders()


class Stored(NamedTuple):
    """An object: what a HEAD says of it, and its bytes."""

    info: ObjectInfo
    headers: ObjectHeaders
    content: Content


@dataclass(slots=True)
class _Upload:
    """An upload in parts that was begun."""

    pending: PendingUpload
    headers: ObjectHeaders
    parts: dict[int, tuple[UploadedPart, Content]] = field(default_factory=dict)


class FakeBucket:
    """Objects and unfinished uploads.

    Attributes:
        min_part_bytes: as in the protocol.
        max_part_bytes: as in the protocol.
        max_parts: as in the protocol.
    """

    def __init__(self, *, min_part_bytes: int, max_part_bytes: int, max_parts: int) -> None:
        self.min_part_bytes = min_part_bytes
        self.max_part_bytes = max_part_bytes
        self.max_parts = max_parts
        self._objects: dict[str, Stored] = {}
        self._uploads: dict[str, _Upload] = {}
        self._upload_count = 0
        self._order: list[bytes] | None = None
        self._mtime_ns = FIRST_MTIME_NS

    # --- what other clients do, and what a test looks at -----------------------------------------

    def put(
        self,
        key: str,
        body: bytes,
        *,
        headers: ObjectHeaders = NO_HEADERS,
        mtime_ns: int | None = None,
    ) -> ObjectInfo:
        """Store an object."""
        return self.store(key, Content((bytes(body),)), headers, mtime_ns=mtime_ns)

    def put_zeros(self, key: str, size_bytes: int) -> ObjectInfo:
        """Store an object of that many zeros, which takes no memory."""
        return self.store(key, Content((size_bytes,)), NO_HEADERS, etag=f'"{size_bytes:032x}-2"')

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        if self._objects.pop(key, None) is not None:
            self._order = None

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove those objects that are there."""
        for key in keys:
            self.delete(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            ObjectNotFoundError: there is none.
        """
        return self.find(key).content.to_bytes()

    @property
    def keys(self) -> list[str]:
        """The keys of all objects, in order."""
        return sorted(self._objects, key=sort_key)

    def uploads(self, prefix: str = "") -> list[PendingUpload]:
        """Return the uploads that were begun and neither completed nor aborted."""
        found = [upload.pending for upload in self._uploads.values()]
        return sorted(
            (pending for pending in found if pending.key.startswith(prefix)),
            key=lambda pending: (sort_key(pending.key), pending.initiated_ns),
        )

    # --- objects ---------------------------------------------------------------------------------

    def find(self, key: str) -> Stored:
        """Return the object at *key*; raise `ObjectNotFoundError` if there is none."""
        stored = self._objects.get(key)
        if stored is None:
            raise ObjectNotFoundError(f"no object {key!r}", code="NoSuchKey", status=404)
        return stored

    def find_version(self, object_id: ObjectId) -> Stored:
        """Return that version; raise `PreconditionFailedError` if it is another one by now."""
        stored = self.find(object_id.key)
        if stored.info.etag != object_id.etag:
            raise _refused(f"{object_id.key!r} was replaced")
        return stored

    def store(
        self,
        key: str,
        content: Content,
        headers: ObjectHeaders,
        *,
        expected_etag: str | None = None,
        etag: str = "",
        mtime_ns: int | None = None,
    ) -> ObjectInfo:
        """Store an object; an empty *etag* stands for that of an object that came in one PUT."""
        _check_key(key)
        self._check_expected(key, expected_etag)
        info = ObjectInfo(
            key,
            content.size_bytes,
            etag or f'"{content.digest().hex()}"',
            self._tick() if mtime_ns is None else mtime_ns,
        )
        if key not in self._objects:
            self._order = None
        self._objects[key] = Stored(info, headers, content)
        return info

    def copy(
        self,
        source: ObjectId,
        key: str,
        headers: ObjectHeaders | None,
        *,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Copy an object; what came in parts gets the ETag of an object that came in one."""
        stored = self.find_version(source)
        if source.key == key and headers is None:
            raise _rejected("a copy onto itself that changes nothing", "InvalidRequest")
        if stored.info.size_bytes > self.max_part_bytes:
            raise _rejected("the source is too large for one copy", "InvalidRequest")
        return self.store(
            key,
            stored.content,
            stored.headers if headers is None else headers,
            expected_etag=expected_etag,
        )

    def rename(self, source: ObjectId, key: str, *, may_replace: bool) -> ObjectInfo:
        """Give an object another key; it keeps its version and its time."""
        stored = self.find_version(source)
        info = self.store(
            key,
            stored.content,
            stored.headers,
            expected_etag=None if may_replace else "",
            etag=stored.info.etag,
            mtime_ns=stored.info.mtime_ns,
        )
        if source.key != key:
            self.delete(source.key)
        return info

    # --- uploads in parts ------------------------------------------------------------------------

    def create_upload(self, key: str, headers: ObjectHeaders) -> str:
        """Begin an upload; return its id."""
        _check_key(key)
        self._upload_count += 1
        upload_id = f"upload-{self._upload_count}"
        self._uploads[upload_id] = _Upload(PendingUpload(key, upload_id, self._tick()), headers)
        return upload_id

    def store_part(self, key: str, upload_id: str, number: int, content: Content) -> UploadedPart:
        """Store a part; one with the same number is replaced."""
        upload = self._find_upload(key, upload_id)
        if not 1 <= number <= self.max_parts:
            raise _rejected(f"part {number} of at most {self.max_parts}", "InvalidArgument")
        if content.size_bytes > self.max_part_bytes:
            raise ObjectTooLargeError("the part is too large", code="EntityTooLarge", status=400)
        part = UploadedPart(number, f'"{content.digest().hex()}"', content.size_bytes)
        upload.parts[number] = (part, content)
        return part

    def complete_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[UploadedPart],
        *,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Put the object together; the upload is gone then."""
        upload = self._find_upload(key, upload_id)
        numbers = [part.number for part in parts]
        if not numbers:
            raise _rejected("no parts", "MalformedXML")
        if numbers != sorted(set(numbers)):
            raise _rejected("parts out of order", "InvalidPartOrder")
        contents: list[Content] = []
        digest = hashlib.md5(usedforsecurity=False)
        for part in parts:
            stored, content = upload.parts.get(part.number, (None, None))
            if stored is None or content is None or stored.etag != part.etag:
                raise _rejected(f"part {part.number} is not what was uploaded", "InvalidPart")
            if contents and contents[-1].size_bytes < self.min_part_bytes:
                raise _rejected("a part is too small", "EntityTooSmall")
            contents.append(content)
            digest.update(bytes.fromhex(stored.etag.strip('"')))
        info = self.store(
            key,
            Content.joined(contents),
            upload.headers,
            expected_etag=expected_etag,
            etag=f'"{digest.hexdigest()}-{len(parts)}"',
        )
        del self._uploads[upload_id]
        return info

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw an upload away, if there is one."""
        upload = self._uploads.get(upload_id)
        if upload is not None and upload.pending.key == key:
            del self._uploads[upload_id]

    def _find_upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.pending.key != key:
            raise UploadNotFoundError(
                f"no upload {upload_id!r} of {key!r}", code="NoSuchUpload", status=404
            )
        return upload

    # --- listings --------------------------------------------------------------------------------

    def list_page(
        self, prefix: str, delimiter: str, start_after: str, token: str, page_size: int
    ) -> ListPage:
        """Return up to *page_size* keys and common prefixes."""
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        last = b""
        begin = _decode_token(token) if token else sort_key(start_after)
        for item in self._items(sort_key(prefix), sort_key(delimiter), begin):
            if len(objects) + len(prefixes) == page_size:
                return ListPage(objects, prefixes, last.hex())
            last, is_prefix = item
            name = last.decode("utf-8", "surrogateescape")
            if is_prefix:
                prefixes.append(name)
            else:
                objects.append(self._objects[name].info)
        return ListPage(objects, prefixes, "")

    def _items(self, prefix: bytes, delimiter: bytes, begin: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield keys (False) and common prefixes (True) behind *begin* (exclusive), in order.

        A common prefix counts as one name: it is listed only if it is itself behind *begin*.
        """
        if self._order is None:
            self._order = sorted(map(sort_key, self._objects))
        order = self._order
        index = max(bisect_left(order, prefix), bisect_right(order, begin))
        while index < len(order) and order[index].startswith(prefix):
            key = order[index]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield key, False
                index += 1
                continue
            common = key[: cut + len(delimiter)]
            if common > begin:
                yield common, True
            # Names behind the prefix sort below the prefix with its last byte raised by one.
            index = bisect_left(order, common[:-1] + bytes((common[-1] + 1,)), index)

    # --- behind it -------------------------------------------------------------------------------

    def _tick(self) -> int:
        self._mtime_ns += 10**9
        return self._mtime_ns

    def _check_expected(self, key: str, expected_etag: str | None) -> None:
        if expected_etag is None:
            return
        stored = self._objects.get(key)
        if expected_etag != ("" if stored is None else stored.info.etag):
            raise _refused(f"{key!r} holds something else than was expected")


def _check_key(key: str) -> None:
    if not 1 <= len(sort_key(key)) <= KEY_MAX_BYTES:
        raise _rejected(f"a key has 1 to {KEY_MAX_BYTES} bytes: {key!r}", "KeyTooLongError")


def _decode_token(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError:
        raise _rejected("not a continuation token", "InvalidArgument") from None


def _refused(message: str) -> PreconditionFailedError:
    return PreconditionFailedError(message, code="PreconditionFailed", status=412)


def _rejected(message: str, code: str) -> RequestRejectedError:
    return RequestRejectedError(message, code=code, status=400)
