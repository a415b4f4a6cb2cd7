"""What becomes of a written file when nobody writes to it any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mountfs.errors import StoreError
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    import trio

    from mountfs.meta.namespace import Namespace
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.reading import EntryInvalidator
    from mountfs.vfs.written_file import WrittenFile

log = logging.getLogger(__name__)


class Retiring:
    """Publishes what is left, and gives back what was held.

    Args:
        namespace: knows what the kernel knows.
        committer: publishes.
        kernel: is told of names that show something else than it believes.
        nursery: owns what goes on after the last handle was closed.
    """

    def __init__(
        self,
        namespace: Namespace,
        committer: Committer,
        kernel: EntryInvalidator,
        nursery: trio.Nursery,
    ) -> None:
        self._namespace = namespace
        self._committer = committer
        self._kernel = kernel
        self._nursery = nursery

    def note_forgotten(self, file: WrittenFile) -> None:
        """Give back what is held only because the kernel might have asked for it."""
        if not file.handle_count:
            self.retire_soon(file)

    async def give_up_name(self, file: WrittenFile) -> None:
        """Let the name of *file*, which has failed, show what the store has.

        Who has it open goes on to get the error; who looks again does not.
        """
        await self._committer.give_up(file)
        await self._kernel.invalidate_entry(file.node.parent.number, file.node.name)

    def retire_soon(self, file: WrittenFile) -> None:
        """Begin to `retire` *file*."""
        is_saved = file.stored is not None and not file.is_dirty and file.commit is None
        if is_saved and file.error is None:
            return  # when it is in the store this is asked again
        self._nursery.start_soon(self._retire_quietly, file)

    async def _retire_quietly(self, file: WrittenFile) -> None:
        try:
            await self.retire(file)
        except Exception:  # a bug must not end the mount
            log.exception("%r: what is held for it cannot be given back", file.node.key)

    async def retire(self, file: WrittenFile) -> None:
        """Publish what is dirty, and let the file be an ordinary one; unless it is in use again."""
        if file.handle_count:  # who has opened it since is not done with it, and comes here too
            return
        if file.is_dirty and file.error is None:
            try:
                await self._committer.settle(file)
            except (StoreError, OSError) as error:
                log.error("%r was lost: it could not be stored: %s", file.node.key, error)
        while file.commit is not None:  # of a file that was removed meanwhile, or has failed
            await file.commit.is_over.wait()
        if file.handle_count or (file.stored is not None and file.error is None):
            return
        is_known = self._namespace.table.get(file.node.number) is not None
        if file.is_unlinked and file.error is None and is_known:
            return  # still open to be read; `forget` comes
        if file.error is not None:
            await self._committer.give_up(file)
            await self._release_content(file)
            if is_known:
                # Its pages and its size are those of what was written. Who has it open gets the
                # error; who looks again gets what the store has.
                await self._kernel.invalidate_entry(file.node.parent.number, file.node.name)
                return
        await self.close_draft(file)

    async def close_draft(self, file: WrittenFile) -> None:
        """Give back what *file* holds."""
        node = file.node
        if written_of(node) is file:
            node.draft = None
            self._committer.files.pop(node.number, None)
        self._committer.unpin(file)
        if file.changed_ns:
            ctime_ns = max(extra_of(node).ctime_ns or 0, file.changed_ns)
            node.extra = extra_of(node).overlaid(NodeAttributes(ctime_ns=ctime_ns))
        await self._release_content(file)

    async def _release_content(self, file: WrittenFile) -> None:
        draft, stream = file.draft, file.stream
        file.draft = file.stream = None
        if stream is not None:
            await stream.abort()
        if draft is not None:
            await draft.aclose()
