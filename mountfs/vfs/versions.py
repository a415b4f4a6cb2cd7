"""What the store has of a file: which version, with which headers, and how to read it."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from mountfs.errors import ObjectNotFoundError, PreconditionFailedError, StoreError
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.vfs.learning import adopt_headers
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes
from mountfs.vfs.questions import Questions
from mountfs.vfs.showing import extra_of, headers_of, note_changes, saved_attributes
from mountfs.vfs.upload_headers import headers_for_copy
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from mountfs.data.block_cache import BlockCache
    from mountfs.meta.node import File
    from mountfs.objects import ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.written_file import WrittenFile

    ReadBase = Callable[[int, int], Coroutine[Any, Any, Sequence[memoryview]]]


class Versions:
    """Knows, and changes, the versions that nodes are.

    Args:
        bucket: where they are.
        blocks: what was fetched of them.
    """

    def __init__(self, bucket: Bucket, blocks: BlockCache) -> None:
        self._bucket = bucket
        self._blocks = blocks
        self._questions = Questions()

    async def learn_headers(self, node: File) -> ObjectHeaders:
        """Return what the store keeps with *node*, asking it if that is not known: one HEAD.

        What is about to be overwritten here may be another version by now: then it is the headers
        of that one that are kept (`WrittenFile.headers_to_keep`), none if it was deleted.

        Raises:
            PreconditionFailedError: it is another version, or deleted, and nothing was written
                here; *node* is stale.
            StoreError: the store could not be asked.
        """
        while True:
            headers = headers_of(node)
            if headers is not None:
                return headers
            await self._questions.ask(node.number, partial(self._ask_headers, node))

    async def _ask_headers(self, node: File) -> bool:
        key, etag = node.key, node.etag
        found, headers = "", ObjectHeaders()
        if etag:
            with contextlib.suppress(ObjectNotFoundError):
                details = await self._bucket.store.head_details(key)
                found, headers = details.info.etag, details.headers
        if headers_of(node) is not None:
            return True
        if (node.key, node.etag) != (key, etag):  # renamed or published meanwhile
            return False
        file = written_of(node)
        if found == etag:
            if self._bucket.is_posix and node.extra is None:
                adopt_headers(node, headers)
            else:
                node.extra = extra_of(node).overlaid(NodeAttributes(headers=headers))
        elif file is not None and file.is_waiting:
            file.headers_to_keep = headers
        else:
            self._bucket.namespace.note_stale(node)
            raise PreconditionFailedError(f"{key!r} was replaced")
        return True

    async def rewrite_headers(self, node: File, changes: NodeAttributes) -> None:
        """Let the store have *changes* of *node*, whose content it has, and show them then.

        If something was written meanwhile they go with that, and if it has no name any more they
        are remembered only.

        Raises:
            PreconditionFailedError, ObjectNotFoundError: the store has not this version any more;
                *node* is stale.
            StoreError: the store has them not; nothing has changed.

        Cancellation: before it has been sent; then it is waited for, as the object has another
            ETag if it landed.
        """
        while True:
            key = node.key
            async with self._bucket.locks.hold(key):
                if node.key != key:
                    continue
                file = written_of(node)
                is_waiting = file is not None and file.is_waiting
                if node.is_detached or is_waiting:
                    note_changes(node, changes)
                    if file is not None:
                        file.is_attributed = True
                    return
                try:
                    await self.rewrite_locked(node, changes)
                except (PreconditionFailedError, ObjectNotFoundError):
                    self._bucket.namespace.note_stale(node)
                    raise
                return

    async def rewrite_locked(
        self, node: File, changes: NodeAttributes = NO_ATTRIBUTES
    ) -> ObjectInfo:
        """Let the store have what *node* shows, and *changes*; the caller has the lock of its key.

        Raises:
            StoreError: the store has them not.

        Cancellation: shielded, for what was sent may have been done.
        """
        file = written_of(node)
        mtime_ns = node.mtime_ns
        headers = headers_for_copy(saved_attributes(node, changes))
        if file is not None:
            file.is_attributed = False
        parent, name = node.parent, node.name
        self._bucket.changes.pin(parent, name)
        try:
            with trio.CancelScope(shield=True):
                info = await self._bucket.publisher.copy(
                    node.object_id, node.size_bytes, node.key, headers
                )
            # No await from here on: the tree shows what the store has.
            if node.mtime_ns != mtime_ns:  # written to meanwhile
                changes = replace(changes, mtime_ns=None)
            note_changes(node, replace(changes, headers=headers))
            self.note_version(node, info)
        finally:
            self._bucket.changes.unpin(parent, name)
        return info

    def note_version(self, node: File, info: ObjectInfo) -> None:
        """Let *node*, whose bytes have not changed, be the version *info*."""
        file = written_of(node)
        if file is not None and file.base is not None and file.base.etag == node.etag:
            file.base = ObjectId(info.key, info.etag)
        if file is not None:
            file.expected_etag = info.etag
        self._bucket.changes.advance(
            node, etag=info.etag, size_bytes=node.size_bytes, mtime_ns=node.mtime_ns
        )
        self._blocks.drop_reader(node.number)

    def base_reader(self, file: WrittenFile) -> ReadBase:
        """Return what reads the base of *file*, through the cache and with read-ahead."""

        async def read_base(start: int, stop: int) -> Sequence[memoryview]:
            while True:
                stored, base = file.stored, file.base
                try:
                    if stored is not None:
                        under = self._bucket.publisher.base_reader(stored.draft.generation.base)
                        return await stored.draft.collect(start, stop, under)
                    if base is None:
                        raise OSError(errno.ESTALE, f"{file.node.key!r} is not here any more")
                    reader = self._blocks.open_reader(file.node.number, base, file.base_size_bytes)
                    return await reader.finish_read(reader.begin_read(start, stop), start, stop)
                except (StoreError, OSError):
                    if file.stored is stored and file.base is base:
                        raise
                    # Published, renamed or rewritten meanwhile: it is somewhere else now.

        return read_base
