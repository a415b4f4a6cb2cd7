"""A bucket with versions as it was at a moment: what can be read and never changes.

Of each key, the newest version that is not younger than the moment counts; where that is the mark
of a deletion, there was nothing. Such listings are made of flat ones of all versions: the store's
own roll-up would show directories that did not exist yet, or were gone already.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from mountfs.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from mountfs.keys import KEY_MAX_BYTES, sort_key
from mountfs.objects import ListPage, ObjectDetails, ObjectId, ObjectInfo
from mountfs.store.s3_connection import header_of
from mountfs.store.s3_reader import S3Reader, details_of_head
from mountfs.store.version_xml import Version, VersionPage, parse_version_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from mountfs.store.s3_connection import S3Connection

PAGE_SIZE = 1000
"""As many names as in any other listing; and so many versions are asked for at a time."""

MAX_REMEMBERED = 1_000_000
"""Version ids: some 200 MB. Whoever reads more files than that asks for the oldest again."""

LAST_CHARACTER = "\U0010ffff"
"""Behind any other, in UTF-8 too."""


class PastStore(S3Reader):
    """The read half of an `ObjectStore`, of one moment; every change is refused.

    Args:
        connection: the line to the bucket.
        at_ns: the moment, nanoseconds since the epoch (inclusive).
    """

    # What the protocol wants to know of writers. Nobody will need it.
    min_part_bytes = 0
    max_part_bytes = 0
    max_parts = 0
    can_rename = False

    def __init__(self, connection: S3Connection, at_ns: int) -> None:
        super().__init__(connection)
        self._at_ns = at_ns
        self._version_ids: dict[ObjectId, str] = {}

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch bytes; see `ObjectStore.get`."""
        version_id = self._version_ids.get(object_id)
        if version_id is None:
            found = await self._find(object_id.key)
            if found.info.etag != object_id.etag:
                raise PreconditionFailedError(f"GET {object_id.key!r}: was another version then")
            version_id = found.version_id
        return await self._connection.transfer(
            partial(self._get_once, object_id, start, stop, version_id),
            "GET",
            object_id.key,
            stop - start,
        )

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to 1,000 keys; see `ObjectStore.list_page`. Takes as many LISTs as it must."""
        begin = bytes.fromhex(token).decode("utf-8", "surrogateescape") if token else start_after
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        position = begin
        walk = _Walk(self._fetch, prefix, begin, self._at_ns)
        while (versions := await walk.next_page()) is not None:
            for version in versions:
                key = version.info.key
                cut = key.find(delimiter, len(prefix)) if delimiter else -1
                common = key[: cut + len(delimiter)] if cut >= 0 else ""
                is_listed = not common or sort_key(common) > sort_key(begin)
                if is_listed and len(objects) + len(prefixes) == PAGE_SIZE:
                    return ListPage(objects, prefixes, sort_key(position).hex())
                if not common:
                    self._remember(version)
                    objects.append(version.info)
                    position = key
                    continue
                if is_listed:
                    prefixes.append(common)
                position = _end_of(common)
                walk.jump(position)
        return ListPage(objects, prefixes, "")

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knew of an object; see `ObjectStore.head`. In one LIST."""
        return (await self._find(key)).info

    async def head_details(self, key: str) -> ObjectDetails:
        """Return all that the store knew of an object; see `ObjectStore.head_details`."""
        found = await self._find(key)
        exchange = await self._head(key, version_id=found.version_id)
        return details_of_head(key, exchange)

    async def _refuse(self, *_: object, **__: object) -> NoReturn:
        """Refuse a change.

        Raises:
            AccessDeniedError: always.
        """
        raise AccessDeniedError("the past cannot be changed")

    put = copy = rename = delete = delete_many = _refuse
    create_upload = upload_part = copy_part = complete_upload = abort_upload = _refuse
    list_uploads = _refuse

    # --- behind it -------------------------------------------------------------------------------

    async def _find(self, key: str) -> Version:
        """Return the version of *key* that counts.

        Raises:
            ObjectNotFoundError: there was none.
        """
        walk = _Walk(self._fetch, key, "", self._at_ns)
        while (versions := await walk.next_page()) is not None:
            # The key itself is the first of all that begin with it.
            version = next(versions, None)
            if version is not None and version.info.key == key:
                self._remember(version)
                return version
            if version is not None:
                break
        raise ObjectNotFoundError(f"{key!r} did not exist then", code="NoSuchKey", status=404)

    def _remember(self, version: Version) -> None:
        if len(self._version_ids) >= MAX_REMEMBERED:
            del self._version_ids[next(iter(self._version_ids))]
        object_id = ObjectId(version.info.key, version.info.etag)
        self._version_ids[object_id] = version.version_id

    async def _fetch(self, prefix: str, key_marker: str, version_id_marker: str) -> VersionPage:
        build = partial(self._build.list_versions, prefix, key_marker, version_id_marker, PAGE_SIZE)

        async def attempt() -> VersionPage:
            exchange = await self._connection.ask("LIST", "ListObjectVersions", build, prefix)
            try:
                return parse_version_page(b"".join(exchange.chunks))
            except ValueError as error:
                raise StoreUnavailableError(
                    f"LIST {prefix!r}: the answer is no listing of versions: {error}",
                    request_id=header_of(exchange, "x-amz-request-id"),
                    status=exchange.status,
                ) from error

        return await self._connection.retry.run(attempt, "LIST", prefix)


class _Walk:
    """Goes through what existed below a prefix, in order of keys, page by page.

    Args:
        fetch: sends one LIST of versions with a prefix and two markers.
        prefix: only keys that start with it.
        after: begin strictly behind this key; empty for the beginning.
        at_ns: the moment.
    """

    def __init__(
        self,
        fetch: Callable[[str, str, str], Awaitable[VersionPage]],
        prefix: str,
        after: str,
        at_ns: int,
    ) -> None:
        self._fetch = fetch
        self._prefix = prefix
        self._at_ns = at_ns
        self._behind = sort_key(after)
        self._key_marker = after
        self._version_id_marker = ""
        self._decided = ""
        self._is_over = False

    def jump(self, after: str) -> None:
        """Leave out what is not strictly behind this key: in this page, and in the next LIST."""
        self._behind = sort_key(after)
        if not self._is_over and self._behind > sort_key(self._key_marker):
            self._key_marker, self._version_id_marker = after, ""

    async def next_page(self) -> Iterator[Version] | None:
        """Return the versions that count in the next page, maybe none; None after the last.

        What it returns must be used up before the next call, and heeds each `jump` at once.
        """
        if self._is_over:
            return None
        page = await self._fetch(self._prefix, self._key_marker, self._version_id_marker)
        _, self._key_marker, self._version_id_marker = page
        self._is_over = not self._key_marker
        return self._choose(page.versions)

    def _choose(self, versions: Iterable[Version]) -> Iterator[Version]:
        for version in versions:
            key = version.info.key
            if key == self._decided or version.info.mtime_ns > self._at_ns:
                continue
            # RGW begins with the marker, S3 behind it.
            if self._behind and sort_key(key) <= self._behind:
                continue
            self._decided = key
            if not version.is_deletion:
                yield version


def _end_of(prefix: str) -> str:
    """Return what lies behind all keys that begin with *prefix*, to begin the next LIST there."""
    room = KEY_MAX_BYTES - len(sort_key(prefix))
    return prefix + LAST_CHARACTER * max(1, room // len(LAST_CHARACTER.encode()))
