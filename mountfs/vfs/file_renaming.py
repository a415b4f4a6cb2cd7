"""rename of a file: one copy by the store and one delete, or none at all if it was not published.

Whatever fails before the delete, the old name is as it was. If the delete fails, both names show
it: what was replaced is gone by then, and the rename can be repeated.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import trio

from mountfs.errors import ObjectNotFoundError, PreconditionFailedError
from mountfs.meta.node import File
from mountfs.vfs.movable import etag_at, may_be_stored
from mountfs.vfs.written_file import note_stored, written_of

if TYPE_CHECKING:
    from mountfs.meta.node import Directory
    from mountfs.objects import ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.movable import Movable
    from mountfs.vfs.naming import Naming
    from mountfs.vfs.preserving import Preserver


class FileRenaming:
    """Moves files.

    Args:
        bucket: where.
        committer: pins names, and knows versions.
        movable: ends what is under way.
        preserver: keeps what is open and gets replaced.
        naming: keeps what becomes empty.
    """

    def __init__(
        self,
        bucket: Bucket,
        committer: Committer,
        movable: Movable,
        preserver: Preserver,
        naming: Naming,
    ) -> None:
        self._bucket = bucket
        self._committer = committer
        self._movable = movable
        self._preserver = preserver
        self._naming = naming

    async def rename(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        """Let *node* be *new_name* in *new_parent*, in place of *target*.

        Raises:
            OSError: ENOENT; ESTALE, somebody else has replaced it; as `Movable.prepare`.
            StoreError: the store could not do it.
        """
        while True:
            key = node.key
            new_key = self._bucket.check_name(new_parent, new_name)
            await self._movable.prepare([node])
            self._preserver.interrupt(node)  # it is uploaded under the new name instead
            async with self._bucket.locks.hold(key, new_key):
                if node.is_detached or new_parent.is_detached:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                is_same = self._bucket.check_name(new_parent, new_name) == new_key
                if is_same and node.key == key and self._movable.is_ready(node):
                    there = new_parent.child(new_name)
                    if target is not None and target.is_detached and isinstance(there, File):
                        target = there  # it was given up meanwhile; this has what the journal has
                    await self._rename_locked(node, new_parent, new_name, target)
                    return

    async def _rename_locked(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        changes = self._bucket.changes
        old_parent, old_name = node.parent, node.name
        changes.pin(old_parent, old_name)
        changes.pin(new_parent, new_name)
        try:
            if target is not None and not target.is_detached:
                await self._preserver.preserve(target)
            if self._movable.is_journalled(node) or not node.etag:
                await self._move_unpublished(node, new_parent, new_name, target)
            else:
                await self._move_published(node, new_parent, new_name, target)
        finally:
            changes.unpin(old_parent, old_name)
            changes.unpin(new_parent, new_name)
            if target is not None:
                await self._preserver.abandon(target)

    async def _move_unpublished(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        """Move what takes its place in the store later; what is there stays until then."""
        new_key = self._bucket.check_name(new_parent, new_name)
        expected_etag = etag_at(target)
        # What a request that was given up has done nobody knows.
        with trio.CancelScope(shield=True):
            if may_be_stored(node):  # an older version, or what it has replaced
                await self._bucket.store.delete(node.key)
                note_stored(node, "")
            await self._movable.move_in_journal(node, new_key, expected_etag)
            await self._move_node(node, new_parent, new_name, expected_etag, None)

    async def _move_published(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        """Move an object. A draft that is dirty will replace the copy when it is published."""
        store = self._bucket.store
        source = node.object_id
        new_key = self._bucket.check_name(new_parent, new_name)
        try:
            # What waits for its upload would replace what is renamed to its key, if that could not
            # be withdrawn afterwards: then there would be neither.
            if store.can_rename and (target is None or not self._movable.is_journalled(target)):
                with trio.CancelScope(shield=True):
                    info = await store.rename(source, new_key, may_replace=True)
                    await self._move_node(node, new_parent, new_name, info.etag, info)
                    return
            info = await self._bucket.publisher.copy(source, node.size_bytes, new_key, None)
            with trio.CancelScope(shield=True):
                # Before the old name goes: what waits for its upload would replace the copy.
                if target is not None and not target.is_detached:
                    try:
                        await self._preserver.withdraw(target)
                    except OSError:
                        note_stored(target, info.etag)  # what it replaces now is our copy
                        raise
                await store.delete(source.key)
                await self._move_node(node, new_parent, new_name, info.etag, info)
        except (PreconditionFailedError, ObjectNotFoundError) as error:
            self._bucket.namespace.note_stale(node)
            raise OSError(errno.ESTALE, "the object was replaced") from error
        finally:
            if target is not None and not target.is_detached:
                self._bucket.namespace.note_stale(target)  # the copy may have replaced it

    async def _move_node(
        self,
        node: File,
        new_parent: Directory,
        new_name: bytes,
        expected_etag: str,
        info: ObjectInfo | None,
    ) -> None:
        """Show *node* under its new name, and no more what was there.

        Args:
            node: what moves.
            new_parent: where to.
            new_name: likewise.
            expected_etag: what its key holds now.
            info: what it is there; None if it is not yet.
        """
        changes = self._bucket.changes
        old_parent = node.parent
        replaced = new_parent.child(new_name)
        if isinstance(replaced, File):
            await self._preserver.withdraw(replaced)
            await self._preserver.detach(replaced)
        # No await from here on: the old name and the new one change together.
        file = written_of(node)
        is_pinned = file is not None and file.is_pinned
        if file is not None:
            self._committer.unpin(file)
        changes.move(node, new_parent, new_name, mtime_ns=time.time_ns())
        if info is not None:
            self._committer.versions.note_version(node, info)
        elif node.etag:
            node.etag = expected_etag  # what the journal's will replace
        if file is not None:
            file.is_exclusive = False
            file.expected_etag = expected_etag
            if is_pinned:
                self._committer.pin(file)
        await self._naming.keep_directory(old_parent)
