"""Open files that may be written: what `write`, `truncate` and the ends of a handle do.

A file opened write-only and written in order becomes a stream; everything else collects in its
draft. Publishing is `mountfs.vfs.committing`'s.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING

from mountfs.data.draft import Draft, DroppedError
from mountfs.errors import ObjectNotFoundError, StoreError
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of
from mountfs.vfs.streaming import Streaming
from mountfs.vfs.written_file import WrittenFile, written_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio

    from mountfs.data.budget import Budget
    from mountfs.data.staging_file import StagingFile
    from mountfs.meta.node import File
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer

log = logging.getLogger(__name__)


class WriteHandle:
    """One open file description that may write, or that has created its file.

    Attributes:
        file: what it writes to.
        is_write_only: it cannot read.
    """

    __slots__ = ("file", "is_write_only")

    def __init__(self, file: WrittenFile, *, is_write_only: bool) -> None:
        self.file = file
        self.is_write_only = is_write_only


class Writing:
    """All handles for writing, and the drafts behind them.

    Args:
        bucket: where.
        committer: publishes.
        budget: memory for drafts.
        open_staging: opens a staging file for what memory does not hold.
        nursery: owns what goes on after the last handle was closed.
    """

    def __init__(
        self,
        bucket: Bucket,
        committer: Committer,
        budget: Budget,
        open_staging: Callable[[], Awaitable[StagingFile]],
        nursery: trio.Nursery,
    ) -> None:
        self._streaming = Streaming(bucket)
        self._namespace = bucket.namespace
        self._store = bucket.store
        self._committer = committer
        self._budget = budget
        self._open_staging = open_staging
        self._nursery = nursery
        self._handles: dict[int, WriteHandle] = {}
        self._next_handle = 1

    def file_of(self, handle: int) -> WrittenFile:
        """Return what *handle* writes to.

        Raises:
            OSError: EBADF.
        """
        found = self._handles.get(handle)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found.file

    def written(self, node: File) -> WrittenFile:
        """Return what is known of *node* as a written file, from now on if need be."""
        file = written_of(node)
        if file is None:
            file = WrittenFile(node)
            node.draft = file
            self._committer.files[node.number] = file
        return file

    # -- opening

    def open_created(self, node: File, flags: int) -> int:
        """Return a handle for *node*, which was just created and is in no store."""
        file = self.written(node)
        file.is_exclusive = bool(flags & os.O_EXCL)
        self._begin_draft(file, base_bytes=0)
        return self._add_handle(file, flags)

    async def open(self, node: File, flags: int) -> int:
        """Return a handle for *node* that may write.

        With ``O_TRUNC`` the file is empty from now on; the store keeps what it has until the
        publish. Without, the store is asked whether this still is its version, unless it comes from
        here and is fresh: changes are worth nothing on top of another one.

        Raises:
            OSError: ESTALE: look up again.
            StoreError: the store could not be asked.
        """
        if node.is_stale:
            raise OSError(errno.ESTALE, "the object was replaced")
        file = self.written(node)
        handle = self._add_handle(file, flags)  # first: `file` stays as long as it has one
        try:
            if flags & os.O_TRUNC:
                await self.truncate(file, 0)
                self._nursery.start_soon(self._learn_headers, node)
            elif file.draft is None and extra_of(node).headers is None:
                await self._confirm(node)
        except BaseException:
            self.release(handle)
            raise
        return handle

    async def _confirm(self, node: File) -> None:
        try:
            details = await self._store.head_details(node.key)
        except ObjectNotFoundError as error:
            self._namespace.note_stale(node)
            raise OSError(errno.ESTALE, "the object was deleted") from error
        if details.info.etag != node.etag and not node.is_detached:
            self._namespace.note_stale(node)
            raise OSError(errno.ESTALE, "the object was replaced")
        node.extra = extra_of(node).overlaid(NodeAttributes(headers=details.headers))

    async def _learn_headers(self, node: File) -> None:
        """Ask for the headers to keep while the application writes; the publish needs them."""
        try:
            await self._committer.versions.learn_headers(node)
        except StoreError as error:  # the publish asks again, and fails if it must
            log.info("%r: %s", node.key, error)

    # -- content

    def write_if_ready(self, handle: int, offset: int, data: memoryview) -> bool:
        """Take *data* at *offset* if that needs no waiting; tell whether it was taken.

        Raises:
            OSError, StoreError: as `write`.
        """
        opened = self._handles[handle]
        file = opened.file
        if file.error is not None:
            raise _again(file.error)
        draft = file.draft
        if draft is None:
            draft = self._begin_draft(file, base_bytes=file.node.size_bytes)
        size_before = draft.size_bytes
        try:
            if not draft.write_if_ready(offset, data):
                return False
        except DroppedError:
            return False
        self._note_changed(file)
        self._streaming.note_written(
            file,
            offset,
            offset + len(data),
            is_in_order=offset == size_before and opened.is_write_only,
        )
        return True

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Take *data* at *offset*, as soon as there is memory or disk space for it.

        Raises:
            OSError: ENOSPC, EIO: the staging directory is full or broken; or what an earlier
                publish failed with.
            StoreError: likewise.
        """
        opened = self._handles[handle]
        file = opened.file
        while True:
            if file.error is not None:
                raise _again(file.error)
            draft = file.draft or self._begin_draft(file, base_bytes=file.node.size_bytes)
            size_before = draft.size_bytes
            try:
                await draft.write(offset, data)
                break
            except DroppedError:
                await self._committer.recover_dropped(file)
        self._note_changed(file)
        self._streaming.note_written(
            file,
            offset,
            offset + len(data),
            is_in_order=offset == size_before and opened.is_write_only,
        )

    async def truncate(self, file: WrittenFile, size_bytes: int) -> None:
        """Set the length of *file*.

        Raises:
            OSError, StoreError: as `write`.
        """
        if file.error is not None:
            raise _again(file.error)
        draft = file.draft
        if draft is None:
            kept_bytes = min(size_bytes, file.node.size_bytes)
            draft = self._begin_draft(file, base_bytes=kept_bytes)
            # Nothing of the old content is wanted, and nobody else has the file open to write.
            file.is_in_order = size_bytes == 0 and self._streaming.is_allowed
        elif file.stream is not None:
            await self._committer.give_up_stream(file)
        if size_bytes != draft.size_bytes:
            file.is_in_order = False
            await draft.truncate(size_bytes)
        self._note_changed(file)

    async def zero(self, file: WrittenFile, start: int, stop: int) -> None:
        """Make ``[start, stop)`` zeros, without making the file longer."""
        draft = file.draft or self._begin_draft(file, base_bytes=file.node.size_bytes)
        await self._committer.give_up_stream(file)
        await draft.zero(start, min(stop, draft.size_bytes))
        self._note_changed(file)

    async def localize(self, file: WrittenFile) -> None:
        """Fetch what *file* shows of its base, which is about to go.

        Raises:
            OSError, StoreError: not all of it could be had or kept.
        """
        draft = file.draft or self._begin_draft(file, base_bytes=file.node.size_bytes)
        await draft.localize(self._committer.versions.base_reader(file))

    # -- the ends

    def note_forgotten(self, file: WrittenFile) -> None:
        """Give back what is held only because the kernel might have asked for it."""
        if not file.handle_count:
            self.retire_soon(file)

    def needs_commit(self, handle: int) -> bool:
        """Tell whether closing *handle* has something to publish, or to report."""
        file = self.file_of(handle)
        return file.is_dirty or file.error is not None

    def release(self, handle: int) -> None:
        """Forget *handle*; what is still dirty after the last one is published in background."""
        opened = self._handles.pop(handle, None)
        if opened is None:
            return
        file = opened.file
        file.handle_count -= 1
        if not file.handle_count:
            self.retire_soon(file)

    def retire_soon(self, file: WrittenFile) -> None:
        """Begin to `retire` *file*."""
        self._nursery.start_soon(self.retire, file)

    async def retire(self, file: WrittenFile) -> None:
        """Publish what is dirty, and let the file be an ordinary one; unless it is in use again."""
        if file.is_dirty and file.error is None:
            try:
                await self._committer.settle(file)
            except (StoreError, OSError) as error:
                log.error("%r was lost: it could not be stored: %s", file.node.key, error)
        if file.handle_count or file.commit is not None or file.stored is not None:
            return
        is_known = self._namespace.table.get(file.node.number) is not None
        if file.is_unlinked and file.error is None and is_known:
            return  # still open to be read; `forget` comes
        if file.error is not None:
            self._committer.discard(file)
        await self.close_draft(file)

    async def close_draft(self, file: WrittenFile) -> None:
        """Give back what *file* holds."""
        node, draft, stream = file.node, file.draft, file.stream
        if written_of(node) is file:
            node.draft = None
            self._committer.files.pop(node.number, None)
        self._committer.unpin(file)
        file.draft = file.stream = None
        if file.changed_ns:
            ctime_ns = max(extra_of(node).ctime_ns or 0, file.changed_ns)
            node.extra = extra_of(node).overlaid(NodeAttributes(ctime_ns=ctime_ns))
        if stream is not None:
            await stream.abort()
        if draft is not None:
            await draft.aclose()

    # -------------------------------------------------------------------------------------------

    def _add_handle(self, file: WrittenFile, flags: int) -> int:
        handle = self._next_handle
        self._next_handle += 1
        is_write_only = flags & os.O_ACCMODE == os.O_WRONLY
        self._handles[handle] = WriteHandle(file, is_write_only=is_write_only)
        file.handle_count += 1
        if file.handle_count > 1 or not is_write_only:
            file.is_in_order = False
            if file.stream is not None:
                file.stream.hold()
        return handle

    def _begin_draft(self, file: WrittenFile, *, base_bytes: int) -> Draft:
        node = file.node
        if file.stored is None:
            if node.etag and base_bytes:
                file.base = node.object_id
                file.base_size_bytes = node.size_bytes
            file.expected_etag = node.etag
        file.is_in_order = not node.etag and self._streaming.is_allowed
        draft = file.draft = Draft(
            block_bytes=self._store.part_size_bytes,
            base_bytes=base_bytes,
            budget=self._budget,
            open_staging=self._open_staging,
        )
        self._committer.pin(file)
        return draft

    def _note_changed(self, file: WrittenFile) -> None:
        draft, node = file.draft, file.node
        assert draft is not None, "it was changed"
        node.size_bytes = draft.size_bytes
        node.mtime_ns = file.changed_ns = time.time_ns()
        if not file.is_pinned:
            self._committer.pin(file)


def _again(error: Exception) -> Exception:
    return type(error)(*error.args) if isinstance(error, OSError) else error
