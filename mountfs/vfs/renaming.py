"""rename: of a file, of a directory, over something else, while it is open.

A file that was never published only gets another name. Of one that was, the store makes a copy
under the new key before it deletes the old one (S3 Express renames). A directory is all of its
keys: they are copied, many at a time; when all copies are there, the old ones are deleted. So
whatever fails, nothing is lost: the old name is still whole, and the rename can be repeated.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING

import trio

from mountfs.errors import StoreError
from mountfs.keys import KEY_MAX_BYTES
from mountfs.meta.node import Directory, File
from mountfs.meta.subtree import SubtreeTooLargeError
from mountfs.objects import ObjectId
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.meta.node import Node
    from mountfs.objects import ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.naming import Naming
    from mountfs.vfs.preserving import Preserver

log = logging.getLogger(__name__)

NOREPLACE = 1
"""``RENAME_NOREPLACE``."""

COPIES_IN_FLIGHT = 64
"""Of one directory; the store works on them, not we."""


class Renaming:
    """Moves names.

    Args:
        bucket: where.
        committer: publishes what has to be in the store before.
        preserver: keeps what is open and gets replaced.
        naming: removes what is replaced, and keeps what becomes empty.
    """

    def __init__(
        self, bucket: Bucket, committer: Committer, preserver: Preserver, naming: Naming
    ) -> None:
        self._bucket = bucket
        self._committer = committer
        self._preserver = preserver
        self._naming = naming

    async def rename(
        self, parent_inode: int, name: bytes, new_parent_inode: int, new_name: bytes, flags: int
    ) -> None:
        """Let *name* be *new_name*.

        Raises:
            OSError: EEXIST with `NOREPLACE`; EISDIR, ENOTDIR, ENOTEMPTY, EINVAL, ENAMETOOLONG;
                EXDEV for a directory with more objects than ``--rename-dir-limit``.
            StoreError: the store could not do it; the old name is still there.
        """
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        new_parent = bucket.directory(new_parent_inode)
        node = bucket.child(parent, name)
        bucket.check_name(new_parent, new_name, is_directory=isinstance(node, Directory))
        target = await self._find_target(new_parent, new_name)
        if target is node:
            return
        if target is not None and flags & NOREPLACE:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if isinstance(node, Directory):
            if target is not None and not isinstance(target, Directory):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if node is new_parent or node.is_above(new_parent):
                raise OSError(errno.EINVAL, "a directory cannot be moved into itself")
            await self._rename_directory(node, new_parent, new_name, target)
        else:
            if isinstance(target, Directory):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            await self._rename_file(node, new_parent, new_name, target)

    async def _find_target(self, parent: Directory, name: bytes) -> Node | None:
        """Return what is there; the kernel has just looked, so no store is asked."""
        node = parent.child(name)
        if node is not None and self._bucket.namespace.lookup_if_fresh(parent, name) is None:
            try:
                return await self._bucket.namespace.lookup(parent, name)
            except StoreError:
                return parent.child(name)
        return node

    # -- files

    async def _rename_file(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        new_key = self._bucket.check_name(new_parent, new_name)
        while True:
            key = node.key
            await self._prepare([node])
            async with self._bucket.locks.hold(key, new_key):
                if node.is_detached:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                if node.key == key and not _has_stream(node) and self._is_movable(node):
                    await self._rename_locked(node, new_parent, new_name, target)
                    return

    async def _rename_locked(
        self, node: File, new_parent: Directory, new_name: bytes, target: File | None
    ) -> None:
        changes = self._bucket.changes
        new_key = self._bucket.check_name(new_parent, new_name)
        old_parent, old_name = node.parent, node.name
        changes.pin(old_parent, old_name)
        changes.pin(new_parent, new_name)
        try:
            if target is not None and not target.is_detached:
                await self._preserver.preserve(target)
            # What a request that was given up has done nobody knows.
            with trio.CancelScope(shield=True):
                expected_etag = _etag_at(target)
                if await self._move_in_journal(node, new_key, expected_etag):
                    if node.etag:
                        await self._bucket.store.delete(node.key)
                    node.etag = expected_etag  # what the journal's will replace
                elif node.etag:
                    # With a draft that is dirty, too: its publish will replace the copy.
                    expected_etag = await self._move_object(node, new_key)
                # What was never published takes the place in the store when it is.
                await self._move_node(node, new_parent, new_name, expected_etag)
                await self._naming.keep_directory(old_parent)
        finally:
            changes.unpin(old_parent, old_name)
            changes.unpin(new_parent, new_name)

    async def _prepare(self, nodes: Iterable[File]) -> None:
        """Let nothing of *nodes* be on its way to the store under the old key."""
        journalling = self._committer.journalling
        for node in nodes:
            file = written_of(node)
            if file is not None:
                await self._committer.give_up_stream(file)
            if journalling is not None:
                await journalling.settle_outcome(node)

    def _is_movable(self, node: File) -> bool:
        journalling = self._committer.journalling
        return journalling is None or journalling.is_movable(node)

    async def _move_in_journal(self, node: File, new_key: str, expected_etag: str) -> bool:
        journalling = self._committer.journalling
        return journalling is not None and await journalling.move(node, new_key, expected_etag)

    async def _move_object(self, node: File, new_key: str) -> str:
        """Let the store have the object of *node* at *new_key*, and not at the old one.

        Returns its ETag there.
        """
        store = self._bucket.store
        source = node.object_id
        if store.can_rename:
            info = await store.rename(source, new_key, may_replace=True)
        else:
            info = await self._bucket.publisher.copy(source, node.size_bytes, new_key, None)
            # What is open here reads the new object from now on, whatever becomes of the old one.
            await store.delete(source.key)
        self._committer.versions.note_version(node, info)
        return info.etag

    async def _move_node(
        self, node: File, new_parent: Directory, new_name: bytes, expected_etag: str
    ) -> None:
        """Show *node* under its new name, and no more what was there.

        *expected_etag* is what its key holds now.
        """
        changes = self._bucket.changes
        file = written_of(node)
        is_pinned = file is not None and file.is_pinned
        if file is not None:
            self._committer.unpin(file)
            file.is_exclusive = False
            file.expected_etag = expected_etag
        replaced = new_parent.child(new_name)
        if isinstance(replaced, File):
            await self._preserver.withdraw(replaced)
            await self._preserver.detach(replaced)
        # No await from here on: the old name and the new one change together.
        changes.move(node, new_parent, new_name, mtime_ns=time.time_ns())
        if file is not None and is_pinned:
            self._committer.pin(file)

    # -- directories

    async def _rename_directory(
        self, node: Directory, new_parent: Directory, new_name: bytes, target: Directory | None
    ) -> None:
        bucket = self._bucket
        new_prefix = bucket.check_name(new_parent, new_name, is_directory=True)
        while True:
            old_prefix = node.prefix
            await self._prepare(self._written_below(old_prefix))
            async with bucket.locks.hold(prefixes=(old_prefix, new_prefix)):
                if node.is_detached:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                below = self._written_below(old_prefix)
                is_ready = all(self._is_movable(file) and not _has_stream(file) for file in below)
                if node.prefix == old_prefix and is_ready:
                    await self._rename_tree(node, new_parent, new_name, target)
                    return

    async def _rename_tree(
        self, node: Directory, new_parent: Directory, new_name: bytes, target: Directory | None
    ) -> None:
        changes = self._bucket.changes
        old_prefix, old_parent, old_key = node.prefix, node.parent, node.entry_key
        new_prefix = self._bucket.check_name(new_parent, new_name, is_directory=True)
        new_key = new_name + b"/"
        objects = await self._list(node)
        _check_lengths(objects, old_prefix, new_prefix)
        changes.pin(old_parent, old_key)
        changes.pin(new_parent, new_key)
        try:
            if target is not None and not target.is_detached:
                await self._naming.remove_if_empty(target)
            copied = await self._copy_all(objects, old_prefix, new_prefix)
            with trio.CancelScope(shield=True):
                await self._end_rename(node, new_parent, new_name, objects, copied)
        finally:
            changes.unpin(old_parent, old_key)
            changes.unpin(new_parent, new_key)

    async def _end_rename(
        self,
        node: Directory,
        new_parent: Directory,
        new_name: bytes,
        objects: list[ObjectInfo],
        copied: dict[str, ObjectInfo],
    ) -> None:
        """Delete what was copied, and show *node* under its new name."""
        old_prefix, old_parent = node.prefix, node.parent
        new_prefix = self._bucket.check_name(new_parent, new_name, is_directory=True)
        failed = await self._bucket.store.delete_many([info.key for info in objects])
        if failed:
            log.warning(
                "%d objects below %r were copied to %r and could not be deleted",
                len(failed), old_prefix, new_prefix,
            )  # fmt: skip
            raise next(iter(failed.values()))
        for written in self._written_below(old_prefix):
            moved_key = new_prefix + written.key[len(old_prefix) :]
            moved = copied.get(moved_key)
            await self._move_in_journal(written, moved_key, moved.etag if moved else "")
        self._bucket.changes.move(node, new_parent, new_name, mtime_ns=time.time_ns())
        self._note_copied(node, copied)
        await self._naming.keep_directory(old_parent)

    def _written_below(self, prefix: str) -> list[File]:
        return [
            file.node
            for file in self._committer.files.values()
            if not file.is_unlinked and file.node.key.startswith(prefix)
        ]

    async def _list(self, node: Directory) -> list[ObjectInfo]:
        limit = self._bucket.config.rename_dir_limit
        try:
            return await self._bucket.namespace.list_subtree(node, limit=limit)
        except SubtreeTooLargeError as error:
            log.warning("rename of %r refused: %s; see --rename-dir-limit", node.prefix, error)
            raise OSError(errno.EXDEV, f"more than {limit} objects") from error

    async def _copy_all(
        self, objects: list[ObjectInfo], old_prefix: str, new_prefix: str
    ) -> dict[str, ObjectInfo]:
        """Copy *objects*, several at a time; return the copies by their keys.

        Raises:
            StoreError: of the first that could not be copied. The copies stay: a rename that is
                repeated replaces them, and nothing was deleted.
        """
        copied: dict[str, ObjectInfo] = {}
        errors: list[StoreError] = []
        rest = iter(objects)

        async def copy_some() -> None:
            for info in rest:
                if errors:
                    return
                new_key = new_prefix + info.key[len(old_prefix) :]
                source = ObjectId(info.key, info.etag)
                try:
                    copied[new_key] = await self._bucket.publisher.copy(
                        source, info.size_bytes, new_key, None
                    )
                except StoreError as error:
                    errors.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(min(COPIES_IN_FLIGHT, len(objects))):
                nursery.start_soon(copy_some)
        if errors:
            raise errors[0]
        return copied

    def _note_copied(self, top: Directory, copied: dict[str, ObjectInfo]) -> None:
        """Let all files below *top* be the versions that the copies are."""
        pending = [top]
        while pending:
            directory = pending.pop()
            pending.extend(directory.subdirectories.values())
            for node in list(directory.files.values()):
                info = copied.get(node.key)
                if info is not None:
                    self._committer.versions.note_version(node, info)


def _check_lengths(objects: list[ObjectInfo], old_prefix: str, new_prefix: str) -> None:
    """Refuse before the first copy what the last one would fail with."""
    more = len(new_prefix.encode("utf-8", "surrogateescape")) - len(
        old_prefix.encode("utf-8", "surrogateescape")
    )
    for info in objects if more > 0 else ():
        if len(info.key.encode("utf-8", "surrogateescape")) + more > KEY_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"{info.key!r} would have too long a key")


def _has_stream(node: File) -> bool:
    file = written_of(node)
    return file is not None and file.stream is not None


def _etag_at(target: File | None) -> str:
    """Return the ETag of what the store has where *target* is shown; empty for nothing."""
    if target is None:
        return ""
    file = written_of(target)
    return target.etag if file is None else file.expected_etag
