"""What must be settled of written files before their names can move, and what moves with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.meta.node import File
    from mountfs.vfs.committing import Committer


class Movable:
    """Looks after uploads under way and the journal.

    Args:
        committer: knows both.
    """

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def written_below(self, prefix: str) -> list[File]:
        """Return the files below *prefix* that hold something that the store does not have."""
        return [
            file.node
            for file in self._committer.files.values()
            if not file.is_unlinked and file.node.key.startswith(prefix)
        ]

    async def prepare(self, nodes: Iterable[File]) -> None:
        """Let nothing of *nodes* be on its way to the store under the old key.

        The caller holds no lock, and looks again under it (`is_ready`).

        Raises:
            OSError: EBUSY, what the store has of one cannot be found out in time.
            StoreError: an upload could not be ended.
        """
        journalling = self._committer.journalling
        for node in nodes:
            file = written_of(node)
            if file is not None:
                await self._committer.end_stream(file)
            if journalling is not None:
                await journalling.settle_outcome(node)

    def is_ready(self, node: File) -> bool:
        """Tell whether *node* can get another key now, and nothing of it is under way."""
        file = written_of(node)
        if file is not None and file.stream is not None:
            return False
        journalling = self._committer.journalling
        return journalling is None or journalling.is_movable(node)

    def is_journalled(self, node: File) -> bool:
        """Tell whether the journal has the content of *node*."""
        file = written_of(node)
        return file is not None and file.stored is not None

    async def move_in_journal(self, node: File, new_key: str, expected_etag: str) -> bool:
        """Let the journal have *node* under *new_key*, if it has it; tell whether it does.

        Args:
            node: what moves; the caller holds the locks of both keys.
            new_key: where to.
            expected_etag: of what is there; empty for nothing.

        Raises:
            OSError: the journal did not take it.
        """
        journalling = self._committer.journalling
        return journalling is not None and await journalling.move(node, new_key, expected_etag)


def etag_at(node: File | None) -> str:
    """Return the ETag of what the store has where *node* is shown; empty for nothing."""
    if node is None:
        return ""
    file = written_of(node)
    return node.etag if file is None else file.expected_etag


def may_be_stored(node: File) -> bool:
    """Tell whether the store has anything where *node* is shown."""
    return bool(node.etag or etag_at(node))
