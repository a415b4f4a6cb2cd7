"""Is what the bucket holds what we were about to put there?

A request whose answer never came may have been carried out. The ETag tells it for nothing where it
is made of MD5s. Where it is not (SSE-KMS, directory buckets), or the object was sent in other parts
than we would choose now, an object of the same size is read and compared.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from mountfs.errors import ObjectNotFoundError, PreconditionFailedError
from mountfs.objects import ObjectId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.data.stored_draft import StoredDraft
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore

READ_BYTES = 8 * 1024 * 1024
"""How much is read from the disk at once."""

_PLAIN_ETAG = re.compile(r'"[0-9a-f]{32}"')


async def is_own_content(store: ObjectStore, draft: StoredDraft, found: ObjectInfo) -> bool:
    """Tell whether the object *found* holds the bytes of *draft*.

    Of a draft with a base everything else is compared: the rest belongs to somebody else anyway. If
    there is nothing else (it was shortened), the size decides: no byte of ours could be lost.

    Raises:
        StoreError: the object could not be read.
        OSError: our own bytes could not be read.
    """
    if found.size_bytes != draft.size_bytes:
        return False
    if draft.base_bytes == 0:
        is_same = _PLAIN_ETAG.fullmatch(found.etag) and await _plain_etag(draft) == found.etag
        if is_same:
            return True
    object_id = ObjectId(found.key, found.etag)
    step = min(store.part_size_bytes, READ_BYTES)
    try:
        for start, stop in _own_ranges(draft):
            for begin in range(start, stop, step):
                end = min(begin + step, stop)
                ours = b"".join(await draft.collect(begin, end, _refuse_base))
                if await store.get(object_id, begin, end) != ours:
                    return False
    except (ObjectNotFoundError, PreconditionFailedError):
        return False  # it was replaced meanwhile: the caller's precondition will tell
    return True


def _own_ranges(draft: StoredDraft) -> list[tuple[int, int]]:
    """Return what is not the base's: what was written here, and all that is behind the base."""
    base_bytes = draft.base_bytes
    written = [(start, min(stop, base_bytes)) for start, stop in draft.extents()]
    return [
        *((start, stop) for start, stop in written if start < stop),
        (base_bytes, draft.size_bytes),
    ]


async def _plain_etag(draft: StoredDraft) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for begin in range(0, draft.size_bytes, READ_BYTES):
        end = min(begin + READ_BYTES, draft.size_bytes)
        for piece in await draft.collect(begin, end, _refuse_base):
            digest.update(piece)
    return f'"{digest.hexdigest()}"'


async def _refuse_base(start: int, stop: int) -> Sequence[memoryview]:
    raise AssertionError(f"[{start}, {stop}) was not written here")
