"""The seam: what everything above the store may ask of it.

Two implementations exist, `mountfs.store.s3` and `mountfs.store.fake`, and one set of contract
tests runs on both. All methods are coroutines on trio's thread, raise only
`mountfs.errors.StoreError` (and `trio.Cancelled`), and have a deadline of their own: they return
or raise in bounded time even when the store hangs. Transient failures (500, 503, resets,
time-outs, truncated bodies) have been retried by then.

A change that raises `StoreUnavailableError` may have been made all the same: the answer was lost.
Whatever else is raised, it was not. A change that is cancelled may have been made, too.

``expected_etag`` makes a change conditional on what the key holds: None is unconditional, the empty
string wants nothing there, anything else that very version. What is refused raises
`PreconditionFailedError`, also where the key holds nothing although a version was wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mountfs.errors import StoreError
    from mountfs.objects import (
        Body,
        ListPage,
        ObjectDetails,
        ObjectHeaders,
        ObjectId,
        ObjectInfo,
        PendingUpload,
        UploadedPart,
    )
    from mountfs.store.concurrency import AdaptiveConcurrency


class ObjectStore(Protocol):
    """A bucket. Keys are whole keys; no prefix is added.

    Attributes:
        part_size_bytes: the largest range that `get` accepts.
        concurrency: how many requests for data are in flight, and how many should be at most.
        min_part_bytes: what all parts of an upload but the last must have at least.
        max_part_bytes: what one part, one `put` and one `copy` may have at most.
        max_parts: that many in one upload.
    """

    part_size_bytes: int
    concurrency: AdaptiveConcurrency
    min_part_bytes: int
    max_part_bytes: int
    max_parts: int

    @property
    def can_rename(self) -> bool:
        """Tell whether `rename` works."""
        ...

    async def get(self, object_id: ObjectId, start: int, stop: int) -> bytes:
        """Fetch the bytes ``[start, stop)`` of exactly this version of an object, in one GET.

        ``0 <= start < stop <= size`` and ``stop - start <= part_size_bytes``. The result has
        ``stop - start`` bytes, never fewer.

        Raises:
            PreconditionFailedError: the key holds another version now.
            ObjectNotFoundError: the key holds nothing now.
            StoreError: as its subclasses say.

        Cancellation: the request is cancelled and has ended when this returns.
        """
        ...

    async def list_page(
        self, prefix: str, *, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> ListPage:
        """List up to 1,000 keys below *prefix*, in one LIST.

        Args:
            prefix: only keys that start with it; may be empty.
            delimiter: ``/`` rolls up everything behind the next ``/`` into a common prefix; empty
                lists flat.
            start_after: begin strictly behind this key. Ignored when *token* is given.
            token: continue the listing that returned it, with the same other arguments.

        Raises:
            BucketNotFoundError, AccessDeniedError, StoreError.
        """
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of the object at *key*, in one HEAD.

        Raises:
            ObjectNotFoundError: the key holds nothing.
            StoreError: as its subclasses say.
        """
        ...

    async def head_details(self, key: str) -> ObjectDetails:
        """Return all that the store knows of the object at *key*, in one HEAD.

        Raises:
            ObjectNotFoundError: the key holds nothing.
            StoreError: as its subclasses say.
        """
        ...

    # --- whole objects ---------------------------------------------------------------------------

    async def put(
        self, key: str, body: Body, headers: ObjectHeaders, *, expected_etag: str | None = None
    ) -> ObjectInfo:
        """Store an object, in one PUT. All of it is there when this returns, or nothing.

        Args:
            key: where.
            body: at most `max_part_bytes`; may be empty.
            headers: kept with it; replace all that an object there had.
            expected_etag: see the module.

        Raises:
            PreconditionFailedError: the key holds something else than *expected_etag*.
            AccessDeniedError, QuotaExceededError, StorageFullError, ObjectTooLargeError,
                StoreUnavailableError, StoreError.
        """
        ...

    async def copy(
        self,
        source: ObjectId,
        key: str,
        headers: ObjectHeaders | None,
        *,
        size_bytes: int,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Copy an object within the store, in one request; its ETag may become another one.

        Args:
            source: the version to copy; no other one is ever copied.
            key: where to; may be that of *source* only if there are *headers*.
            headers: for the copy; None keeps those of *source*.
            size_bytes: of *source*, at most `max_part_bytes`; the answer does not tell.
            expected_etag: of what *key* holds; see the module.

        Raises:
            ObjectNotFoundError: there is no *source*.
            PreconditionFailedError: it is another version by now, or *expected_etag* is not met.
            StoreError: as its subclasses say.
        """
        ...

    async def rename(self, source: ObjectId, key: str, *, may_replace: bool) -> ObjectInfo:
        """Give an object another key, atomically; only if `can_rename`.

        Raises:
            ObjectNotFoundError: there is no *source*.
            PreconditionFailedError: it is another version by now, or *key* holds something and
                that may not be replaced.
            StoreError: as its subclasses say.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove what the key holds; no error if that is nothing.

        Raises:
            StoreError: as its subclasses say.
        """
        ...

    async def delete_many(self, keys: Iterable[str]) -> dict[str, StoreError]:
        """Remove what the keys hold, 1,000 a request; return those that could not be.

        Raises nothing for a request that fails: all of its keys are returned.
        """
        ...

    # --- uploads in parts ------------------------------------------------------------------------

    async def create_upload(self, key: str, headers: ObjectHeaders) -> str:
        """Begin an upload in parts and return its id. Nothing is to be seen at *key* meanwhile.

        An answer that is lost may leave an upload that nobody knows of; `list_uploads` shows it.

        Raises:
            StoreError: as its subclasses say.
        """
        ...

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> UploadedPart:
        """Send a part of an upload; one with the same number is replaced.

        Args:
            key: of the upload.
            upload_id: of the upload.
            number: from 1 to `max_parts`; parts are put together in the order of their numbers.
            body: `min_part_bytes` (the last part: none) to `max_part_bytes`.

        Raises:
            UploadNotFoundError: it was completed or aborted.
            StoreError: as its subclasses say.
        """
        ...

    async def copy_part(
        self, key: str, upload_id: str, number: int, source: ObjectId, start: int, stop: int
    ) -> UploadedPart:
        """Let the store copy the bytes ``[start, stop)`` of an object into a part.

        Raises:
            UploadNotFoundError: it was completed or aborted.
            ObjectNotFoundError: there is no *source*.
            PreconditionFailedError: *source* is another version by now.
            StoreError: as its subclasses say.
        """
        ...

    async def complete_upload(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[UploadedPart],
        *,
        expected_etag: str | None = None,
    ) -> ObjectInfo:
        """Put the object together and show it at *key*.

        Args:
            key: of the upload.
            upload_id: of the upload.
            parts: at least one, in the order of their numbers; others are thrown away.
            expected_etag: of what *key* holds; see the module. The upload outlives a refusal.

        Raises:
            UploadNotFoundError: it was completed (by others) or aborted.
            PreconditionFailedError: the key holds something else than *expected_etag*.
            CorruptedError: the object is not what was sent.
            StoreError: as its subclasses say.
        """
        ...

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw an upload and its parts away; no error if there is none (any more).

        Raises:
            StoreError: as its subclasses say.
        """
        ...

    async def list_uploads(self, prefix: str) -> list[PendingUpload]:
        """Return the uploads, of anybody, whose keys begin with *prefix*, in order of keys.

        Raises:
            StoreError: as its subclasses say.
        """
        ...
