"""The seam: what everything above the store may ask of it.

Two implementations exist, `mountfs.store.s3` and `mountfs.store.fake`, and one set of contract
tests runs on both. All methods are coroutines on trio's thread, raise only
`mountfs.errors.StoreError` (and `trio.Cancelled`), and have a deadline of their own: they return
or raise in bounded time even when the store hangs. Transient failures (500, 503, resets,
time-outs, truncated bodies) have been retried by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mountfs.objects import ListPage, ObjectId, ObjectInfo
    from mountfs.store.concurrency import AdaptiveConcurrency


class ObjectStore(Protocol):
    """A bucket. Keys are whole keys; no prefix is added.

    Attributes:
        part_size_bytes: the largest range that `get` accepts.
        concurrency: how many requests for data are in flight, and how many should be at most.
    """

    part_size_bytes: int
    concurrency: AdaptiveConcurrency

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
