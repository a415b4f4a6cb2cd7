"""Reading what was written here and is not in the store as it is: drafts, and the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.data.draft import DroppedError
from mountfs.errors import raise_again
from mountfs.vfs.committing import GONE

if TYPE_CHECKING:
    from mountfs.meta.node import File
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.key_locks import KeyLocks
    from mountfs.vfs.written_file import WrittenFile


class DraftReading:
    """Reads written files.

    Args:
        committer: makes readable what only the store has.
        locks: held by who changes an object.
    """

    def __init__(self, committer: Committer, locks: KeyLocks) -> None:
        self._committer = committer
        self._locks = locks

    def read_if_ready(
        self, file: WrittenFile, start: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *start* on if they are in memory; nothing at the end."""
        draft = file.draft
        if file.is_failed:
            raise_again(file.error)
        stop = min(start + size_bytes, file.node.size_bytes)
        if start >= stop:
            return b""
        if draft is None:
            return None
        try:
            return draft.read_if_ready(start, stop)
        except DroppedError:
            return None

    async def read(
        self, file: WrittenFile, start: int, size_bytes: int
    ) -> bytes | tuple[memoryview, ...] | None:
        """Return up to *size_bytes* from *start* on, from wherever they are.

        Returns None when the store has become the place to read from.

        Raises:
            OSError, StoreError: they could not be had.
        """
        while file.has_content:
            if file.is_failed:
                raise_again(file.error)
            stop = min(start + size_bytes, file.node.size_bytes)
            if start >= stop:
                return b""
            read_base = self._committer.versions.base_reader(file)
            source = file.base, file.stored
            try:
                if file.draft is None:
                    return tuple(await read_base(start, stop))
                return await file.draft.read(start, stop, read_base)
            except DroppedError:
                await self._committer.recover_dropped(file)
            except GONE as error:
                await self._committer.wait_for_source(file, source, error)
        return None

    async def wait_for_changes(self, node: File) -> None:
        """Return when nothing is under way that gives the object of *node* another key or version.

        The caller holds no lock.
        """
        async with self._locks.hold(node.key):
            pass

    def note_opened_to_read(self, file: WrittenFile) -> None:
        """Keep from now on what was written: somebody may want it before the publish."""
        file.is_in_order = False
        if file.stream is not None:
            file.stream.hold()
