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
from mountfs.errors import ObjectNotFoundError, StoreError, raise_again
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of
from mountfs.vfs.streaming import Streaming
from mountfs.vfs.write_handle import WriteHandle
from mountfs.vfs.written_file import NEVER_PUBLISHED, WrittenFile, written_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio

    from mountfs.data.budget import Budget
    from mountfs.data.staging_file import StagingFile
    from mountfs.data.stream import Stream
    from mountfs.meta.node import File
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.handle_counts import HandleCounts
    from mountfs.vfs.retiring import Retiring

log = logging.getLogger(__name__)


class Writing:
    """All handles for writing, and the drafts behind them.

    Args:
        bucket: where.
        committer: publishes.
        budget: memory for drafts.
        open_staging: opens a staging file for what memory does not hold.
        retiring: takes over after the last handle was closed.
        handles: tell what is open, to be read too.
        nursery: owns what goes on beside.
    """

    def __init__(
        self,
        bucket: Bucket,
        committer: Committer,
        budget: Budget,
        open_staging: Callable[[], Awaitable[StagingFile]],
        retiring: Retiring,
        handles: HandleCounts,
        nursery: trio.Nursery,
    ) -> None:
        self._streaming = Streaming(bucket, nursery)
        self._namespace = bucket.namespace
        self._store = bucket.store
        self._committer = committer
        self._budget = budget
        self._open_staging = open_staging
        self._retiring = retiring
        self._nursery = nursery
        self._open = handles
        self._locks = bucket.locks
        self._is_posix = bucket.is_posix
        self._max_bytes = bucket.store.max_parts * bucket.store.max_part_bytes
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
        if node.number in self._open.going:
            async with self._locks.hold(node.key):
                pass
        if node.is_stale:
            raise OSError(errno.ESTALE, "the object was replaced")
        file = self.written(node)
        if file.error is not None:  # of others, who have not closed it yet
            await self._retiring.give_up_name(file)
            raise OSError(errno.ESTALE, "what was written to it was not stored")
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

    def is_alone(self, handle: int) -> bool:
        """Tell whether *handle* can only write, and nobody else has its file open."""
        opened = self._handles[handle]
        return opened.is_write_only and self._open.count(opened.file.node.number) == 1

    def write_if_ready(self, handle: int, offset: int, data: memoryview) -> bool:
        """Take *data* at *offset* if that needs no waiting; tell whether it was taken.

        Raises:
            OSError, StoreError: as `write`.
        """
        opened = self._handles[handle]
        file = opened.file
        raise_again(file.error)
        self._require_fitting(offset + len(data))
        draft = file.draft
        if draft is None:
            draft = self._begin_draft(file, base_bytes=file.node.size_bytes)
        elif not file.is_pinned:
            _require_current(file)
        size_before = draft.size_bytes
        try:
            if not draft.write_if_ready(offset, data):
                return False
        except DroppedError:
            return False
        self._note_written(opened, offset, offset + len(data), size_before)
        return True

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Take *data* at *offset*, as soon as there is memory or disk space for it.

        Raises:
            OSError, StoreError: ENOSPC, EIO: the staging directory is full or broken; EFBIG; or
                what an earlier publish failed with.
        """
        opened = self._handles[handle]
        file = opened.file
        self._require_fitting(offset + len(data))

        def note(size_before: int) -> None:
            self._note_written(opened, offset, offset + len(data), size_before)

        while True:
            raise_again(file.error)
            draft = file.draft or self._begin_draft(file, base_bytes=file.node.size_bytes)
            if not file.is_pinned:
                _require_current(file)
            try:
                await draft.write(offset, data, note)
            except DroppedError:
                await self._committer.recover_dropped(file)
            else:
                return

    async def truncate(self, file: WrittenFile, size_bytes: int) -> None:
        """Set the length of *file*.

        Raises:
            OSError, StoreError: as `write`.
        """
        raise_again(file.error)
        self._require_fitting(size_bytes)
        draft = file.draft
        if draft is None and size_bytes == file.node.size_bytes > 0 and not self._is_posix:
            file.node.mtime_ns = time.time_ns()
            return
        if draft is None:
            kept_bytes = min(size_bytes, file.node.size_bytes)
            draft = self._begin_draft(file, base_bytes=kept_bytes)
            # Nothing of the old content is wanted, and nobody else has the file open.
            is_alone = file.handle_count <= 1 and not self._open.is_open(file.node.number)
            file.is_in_order = size_bytes == 0 and is_alone and self._streaming.is_allowed
        elif file.stream is not None:
            file.is_in_order = False
            file.stream.hold()
            if draft.has_dropped(0, size_bytes):
                await self._committer.end_stream(file)
        if size_bytes != draft.size_bytes:
            file.is_in_order = False
            given_up: list[Stream] = []

            def note() -> None:
                self._note_changed(file)
                if file.stream is not None:  # it has sent what is not wanted any more
                    given_up.append(file.stream)
                    file.stream = None

            await draft.truncate(size_bytes, note)
            for stream in given_up:
                await stream.abort()
        self._note_changed(file)

    async def zero(self, file: WrittenFile, start: int, stop: int) -> None:
        """Make ``[start, stop)`` zeros, without making the file longer.

        Raises:
            OSError, StoreError: as `write`.
        """
        raise_again(file.error)
        draft = file.draft or self._begin_draft(file, base_bytes=file.node.size_bytes)
        await self._committer.end_stream(file)
        await draft.zero(start, min(stop, draft.size_bytes))
        self._note_changed(file)

    async def localize(self, file: WrittenFile) -> None:
        """Fetch what *file* shows of its base, which is about to go.

        Raises:
            OSError, StoreError: not all of it could be had or kept.
        """
        draft = file.draft or self._begin_draft(
            file, base_bytes=file.node.size_bytes, is_clean=True
        )
        await draft.localize(self._committer.versions.base_reader(file))

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
            self._retiring.retire_soon(file)

    def _require_fitting(self, size_bytes: int) -> None:
        """Raise EFBIG for what no publish could store."""
        if size_bytes > self._max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

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

    def _begin_draft(self, file: WrittenFile, *, base_bytes: int, is_clean: bool = False) -> Draft:
        node = file.node
        if not is_clean:
            _require_current(file)
        if file.stored is None:
            if node.etag and base_bytes:
                file.base = node.object_id
                file.base_size_bytes = node.size_bytes
            file.expected_etag = node.etag
        # What must not replace anything must be here when the store refuses it.
        is_new = not node.etag and not file.is_exclusive
        file.is_in_order = is_new and self._streaming.is_allowed
        draft = file.draft = Draft(
            block_bytes=self._store.part_size_bytes,
            base_bytes=base_bytes,
            budget=self._budget,
            open_staging=self._open_staging,
        )
        if is_clean:
            file.generation = draft.generation
        else:
            file.generation = NEVER_PUBLISHED
            self._committer.pin(file)
        return draft

    def _note_written(self, opened: WriteHandle, start: int, stop: int, size_before: int) -> None:
        self._note_changed(opened.file)
        is_in_order = start == size_before and opened.is_write_only
        self._streaming.note_written(opened.file, start, stop, is_in_order=is_in_order)

    def _note_changed(self, file: WrittenFile) -> None:
        draft, node = file.draft, file.node
        assert draft is not None, "it was changed"
        node.size_bytes = draft.size_bytes
        node.mtime_ns = file.changed_ns = time.time_ns()
        if not file.is_pinned:
            self._committer.pin(file)


def _require_current(file: WrittenFile) -> None:
    """Raise ESTALE where a change would be in no place: *file* is not what its name shows."""
    if file.node.is_detached and not file.is_unlinked:
        raise OSError(errno.ESTALE, "the object was replaced")
