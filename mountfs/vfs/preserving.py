"""Files that are open and lose their name: removed, or replaced by another one.

The store forgets an object at once. Whoever has it open may go on to read and to write it, so its
content is fetched into a draft before the object goes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mountfs.errors import StoreError
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from mountfs.meta.node import File
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.handle_counts import HandleCounts
    from mountfs.vfs.retiring import Retiring
    from mountfs.vfs.writing import Writing

log = logging.getLogger(__name__)


class Preserver:
    """Keeps what is open from going with its object.

    Args:
        bucket: whose objects go.
        committer: ends uploads.
        writing: holds the drafts.
        retiring: closes them.
        handles: tell what is open.
    """

    def __init__(
        self,
        bucket: Bucket,
        committer: Committer,
        writing: Writing,
        retiring: Retiring,
        handles: HandleCounts,
    ) -> None:
        self._bucket = bucket
        self._committer = committer
        self._writing = writing
        self._retiring = retiring
        self._handles = handles

    def interrupt(self, node: File) -> None:
        """Let no upload of *node* hold its lock for longer than it must; it is made again."""
        if self._committer.journalling is not None:
            self._committer.journalling.interrupt(node)

    async def hold(self, node: File) -> bool:
        """Let nothing of *node* go up from now on; tell whether the store may have an object there.

        The caller holds the lock of its key, and ends this by `withdraw` or `release`.
        """
        file = written_of(node)
        if file is None:
            return bool(node.etag)
        may_be_stored = bool(node.etag or file.expected_etag)
        journalling = self._committer.journalling
        if journalling is not None and await journalling.hold(file):
            may_be_stored = True
        return may_be_stored

    def release(self, node: File) -> None:
        """Take `hold` back."""
        file = written_of(node)
        if file is not None and self._committer.journalling is not None:
            self._committer.journalling.release(file)

    async def withdraw(self, node: File) -> None:
        """Let the journal forget *node*; the caller holds the lock of its key.

        Raises:
            OSError: the journal did not take it.
        """
        file = written_of(node)
        if file is not None and self._committer.journalling is not None:
            if file.stored is not None:
                await self.preserve(node)  # it may have been opened since
            await self._committer.journalling.withdraw(file)

    async def preserve(self, node: File) -> None:
        """Fetch what is needed of the object of *node* to do without it, if anybody has it open.

        The caller holds the lock of its key. What cannot be kept (the disk is full, the object is
        gone already) is logged; reading it will fail with ESTALE.
        """
        file = written_of(node)
        self._handles.going.add(node.number)
        if not self._handles.is_open(node.number) and (file is None or not file.handle_count):
            return
        try:
            if file is not None:
                await self._committer.end_stream_locked(file)
            if not node.etag and (file is None or file.stored is None):
                return
            await self._writing.localize(self._writing.written(node))
        except (StoreError, OSError) as error:
            log.warning("%r is open and goes; its content could not be kept: %s", node.key, error)

    async def abandon(self, node: File) -> None:
        """Undo `preserve`, unless *node* has lost its name."""
        self._handles.going.discard(node.number)
        if node.is_detached:
            return
        file = written_of(node)
        if file is None or file.is_unlinked or file.is_dirty or file.draft is None:
            return
        if file.handle_count or file.stored is not None:
            file.draft.rebase(file.draft.size_bytes)
        else:
            await self._retiring.close_draft(file)

    async def detach(self, node: File) -> None:
        """Take *node* out of the tree, for good; the caller holds the lock of its key."""
        file = written_of(node)
        if file is not None:
            self._committer.unpin(file)
            file.is_unlinked = True
            file.is_in_order = False
        if not node.is_detached:
            self._bucket.changes.remove(node)
        self._handles.going.discard(node.number)
        if file is None:
            return
        if not file.handle_count and not self._handles.is_open(node.number):
            await self._retiring.close_draft(file)
        elif file.stream is not None:
            stream, file.stream = file.stream, None
            await stream.abort()
