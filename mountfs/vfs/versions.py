"""What the store has of a file: which version, with which headers, and how to read it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mountfs.errors import ObjectNotFoundError, StoreError
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of, saved_attributes
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

    async def learn_headers(self, node: File) -> ObjectHeaders:
        """Return what the store keeps with the version of *node*, asking it if that is not known.

        Raises:
            StoreError: the store could not be asked.
        """
        extra = extra_of(node)
        if extra.headers is not None:
            return extra.headers
        headers = ObjectHeaders()
        if node.etag:
            # Deleted by somebody else, there is nothing to keep.
            with contextlib.suppress(ObjectNotFoundError):
                headers = (await self._bucket.store.head_details(node.key)).headers
        node.extra = extra_of(node).overlaid(NodeAttributes(headers=headers))
        return headers

    async def rewrite_headers(self, node: File) -> None:
        """Let the store have the attributes of *node*, whose content it has already.

        Raises:
            StoreError, OSError: it has them not.
        """
        while True:
            key = node.key
            async with self._bucket.locks.hold(key):
                if node.key != key:
                    continue
                if not node.is_detached:
                    await self.rewrite_locked(node)
                return

    async def rewrite_locked(self, node: File) -> None:
        """Do the same; the caller holds the lock of its key."""
        headers = headers_for_copy(saved_attributes(node))
        parent, name = node.parent, node.name
        self._bucket.changes.pin(parent, name)
        try:
            info = await self._bucket.publisher.copy(
                node.object_id, node.size_bytes, node.key, headers
            )
            node.extra = extra_of(node).overlaid(NodeAttributes(headers=headers))
            self.note_version(node, info)
        finally:
            self._bucket.changes.unpin(parent, name)

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
                    assert base is not None, f"[{start}, {stop}) of {file!r} is nowhere"
                    reader = self._blocks.open_reader(file.node.number, base, file.base_size_bytes)
                    return await reader.finish_read(reader.begin_read(start, stop), start, stop)
                except (StoreError, OSError):
                    if file.stored is stored and file.base is base:
                        raise
                    # Published, renamed or rewritten meanwhile: it is somewhere else now.

        return read_base
