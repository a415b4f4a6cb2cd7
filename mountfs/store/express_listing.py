"""Listings of S3 Express One Zone buckets, which are not like others.

A directory bucket lists in no order, knows no start-after, and takes only prefixes that end with
``/``. So one listing is read to its end and sorted; the caller sees one long page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.keys import sort_key
from mountfs.objects import ListPage, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def list_in_order(
    fetch: Callable[[str, str], Awaitable[ListPage]], *, prefix: str, start_after: str
) -> ListPage:
    """Return all that starts with *prefix* and is behind *start_after*, in order, as one page.

    Args:
        fetch: sends one LIST with a prefix and a continuation token.
        prefix: any.
        start_after: exclusive; empty for the beginning.

    Raises:
        StoreError: as *fetch* does.
    """
    directory = prefix[: prefix.rfind("/") + 1]
    begin = sort_key(start_after)

    def is_wanted(name: str) -> bool:
        return name.startswith(prefix) and (not begin or sort_key(name) > begin)

    objects: list[ObjectInfo] = []
    prefixes: list[str] = []
    token = ""
    while True:
        page = await fetch(directory, token)
        objects += [info for info in page.objects if is_wanted(info.key)]
        prefixes += [name for name in page.prefixes if is_wanted(name)]
        token = page.next_token
        if not token:
            break
    objects.sort(key=lambda info: sort_key(info.key))
    prefixes.sort(key=sort_key)
    return ListPage(objects, prefixes, "")
