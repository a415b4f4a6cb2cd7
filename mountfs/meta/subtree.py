"""All keys below a directory, as the store has them now: what the rename of a directory copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.errors import MountfsError

if TYPE_CHECKING:
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore


class SubtreeTooLargeError(MountfsError):
    """There are more keys below a directory than the caller is ready to handle."""


async def list_subtree(store: ObjectStore, prefix: str, limit: int) -> list[ObjectInfo]:
    """Return every key that starts with *prefix*, in order, asking the store for all pages.

    Markers belong to it, the one that equals *prefix* included, and keys that cannot be shown.

    Raises:
        SubtreeTooLargeError: there are more than *limit*; found out by as few pages as that takes.
        StoreError: the store could not be asked.
    """
    found: list[ObjectInfo] = []
    token = ""
    while True:
        page = await store.list_page(prefix, token=token)
        found += page.objects
        if len(found) > limit:
            raise SubtreeTooLargeError(f"there are more than {limit} keys below {prefix!r}")
        token = page.next_token
        if not token:
            return found
