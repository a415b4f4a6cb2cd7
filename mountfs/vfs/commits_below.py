"""Publishing all written files of a directory, or of the mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mountfs.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.vfs.committing import Committer
    from mountfs.vfs.written_file import WrittenFile


async def commit_below(committer: Committer, prefix: str) -> None:
    """Return when everything that was written below *prefix* is in the store.

    Raises:
        StoreError, OSError: of the first that is not; all were tried.
    """
    await _for_all_below(committer, prefix, committer.commit)


async def settle_below(committer: Committer, prefix: str) -> None:
    """Return when everything below *prefix* is as if it had been closed; as `commit_below`."""
    await _for_all_below(committer, prefix, committer.settle)


async def _for_all_below(
    committer: Committer, prefix: str, save: Callable[[WrittenFile], Awaitable[None]]
) -> None:
    errors: list[Exception] = []

    async def try_one(file: WrittenFile) -> None:
        try:
            await save(file)
        except (StoreError, OSError) as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for file in list(committer.files.values()):
            if not file.is_unlinked and file.node.key.startswith(prefix):
                nursery.start_soon(try_one, file)
    if errors:
        raise errors[0]
