"""Names that come and go: create, mkdir, mknod, symlink, unlink, rmdir.

The kernel holds the lock of the parent directory meanwhile, so no two of them on this mount meet in
one directory. What the store is asked to do, is done when they return.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from mountfs.errors import PreconditionFailedError, StoreError
from mountfs.meta.node import Directory, File
from mountfs.vfs import posix_rules
from mountfs.vfs.new_attributes import NewAttributes
from mountfs.vfs.showing import saved_attributes
from mountfs.vfs.symlink import encode_target
from mountfs.vfs.upload_headers import headers_for_content, headers_for_directory
from mountfs.vfs.written_file import note_stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mountfs.attributes import Caller
    from mountfs.objects import Body, ObjectHeaders, ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.preserving import Preserver
    from mountfs.vfs.showing import Showing
    from mountfs.vfs.writing import Writing

log = logging.getLogger(__name__)


class Naming:
    """Makes and removes names.

    Args:
        bucket: where.
        showing: what parents show, whose group new files may get.
        writing: opens what was created.
        preserver: keeps what is open and about to be deleted.
    """

    def __init__(
        self, bucket: Bucket, showing: Showing, writing: Writing, preserver: Preserver
    ) -> None:
        self._bucket = bucket
        self._new_attributes = NewAttributes(showing, is_posix=bucket.is_posix).of
        self._writing = writing
        self._preserver = preserver

    def create_if_absent(
        self, parent_inode: int, name: bytes, flags: int, mode: int, caller: Caller
    ) -> tuple[File, int] | None:
        """Make a file and open it; return it and the handle. The store learns of it at the close.

        Returns: None if it has appeared since the kernel looked.

        Raises:
            OSError: EEXIST with ``O_EXCL``; EISDIR; as `Bucket.check_name` says.
        """
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        bucket.check_name(parent, name)
        known = parent.child(name)
        if isinstance(known, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if known is not None:
            if flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            return None
        now_ns = time.time_ns()
        node = bucket.changes.create_file(parent, name, mtime_ns=now_ns)
        node.extra = self._new_attributes(parent, stat.S_IFREG | mode, caller, now_ns)
        return node, self._writing.open_created(node, flags)

    async def create(
        self, parent_inode: int, name: bytes, flags: int, mode: int, caller: Caller
    ) -> tuple[File, int]:
        """Do the same, and open what has appeared.

        Raises:
            OSError: as `create_if_absent`; as `Writing.open`.
            StoreError: it has appeared, and could not be opened.
        """
        made = self.create_if_absent(parent_inode, name, flags, mode, caller)
        if made is not None:
            return made
        node = self._bucket.child(self._bucket.directory(parent_inode), name)
        assert isinstance(node, File), "no await since it was seen"
        return node, await self._writing.open(node, flags)

    async def make_directory(
        self, parent_inode: int, name: bytes, mode: int, caller: Caller
    ) -> Directory:
        """Make a directory, which other hosts see by its marker.

        Raises:
            OSError: EEXIST; as `Bucket.check_name` says.
            StoreError: the marker could not be stored.
        """
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        now_ns = time.time_ns()
        extra = None
        if bucket.is_posix:
            extra = self._new_attributes(parent, stat.S_IFDIR | mode, caller, now_ns)
        async with self._hold_free(parent, name, is_directory=True) as key:
            saved = None if extra is None else replace(extra, mtime_ns=now_ns)
            with trio.CancelScope(shield=True):
                await self._put_new(key, (), headers_for_directory(saved))
            directory = bucket.changes.create_directory(parent, name, mtime_ns=now_ns)
            bucket.changes.note_marker(directory, is_there=True)
            directory.extra = extra
        return directory

    async def make_node(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, caller: Caller
    ) -> File:
        """Make an empty file of any type, at once in the store.

        Raises:
            OSError: EPERM for what only ``--attributes=posix`` can keep; EEXIST.
            StoreError: it could not be stored.
        """
        if not stat.S_ISREG(mode) and not self._bucket.is_posix:
            raise OSError(errno.EPERM, "special files need --attributes=posix")
        return await self._make_object(parent_inode, name, mode, rdev, b"", caller)

    async def make_symlink(
        self, parent_inode: int, name: bytes, target: bytes, caller: Caller
    ) -> File:
        """Make a symbolic link, at once in the store.

        Raises:
            OSError: EPERM without ``--attributes=posix``; EEXIST; ENAMETOOLONG, ENOENT for the
                target.
            StoreError: it could not be stored.
        """
        if not self._bucket.is_posix:
            raise OSError(errno.EPERM, "symbolic links need --attributes=posix")
        content = encode_target(target)
        mode = posix_rules.SYMLINK_MODE
        return await self._make_object(parent_inode, name, mode, 0, content, caller)

    async def unlink(self, parent_inode: int, name: bytes) -> None:
        """Remove a file; whoever has it open keeps it.

        Raises:
            OSError: ENOENT, EISDIR.
            StoreError: the store has not deleted it; it is still there.
        """
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        node = bucket.child(parent, name)
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._preserver.interrupt(node)
        async with self._hold(lambda: node.key):
            if node.is_detached:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            bucket.changes.pin(parent, name)
            try:
                await self._preserver.preserve(node)
                # What a request that was given up has done nobody knows.
                with trio.CancelScope(shield=True):
                    if await self._preserver.hold(node):
                        await bucket.store.delete(node.key)
                        note_stored(node, "")
                    # Not before: what was refused must still be published.
                    await self._preserver.withdraw(node)
                    await self._preserver.detach(node)
                    await self.keep_directory(parent)
            finally:
                bucket.changes.unpin(parent, name)
                self._preserver.release(node)
                await self._preserver.abandon(node)

    async def remove_directory(self, parent_inode: int, name: bytes) -> None:
        """Remove an empty directory.

        Raises:
            OSError: ENOTEMPTY, ENOENT, ENOTDIR.
            StoreError: the store could not be asked, or has not deleted the marker.
        """
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        node = bucket.child(parent, name)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        while True:
            prefix = node.prefix
            async with bucket.locks.hold(prefixes=(prefix,)):
                if node.prefix == prefix:
                    await self.remove_if_empty(node)
                    return

    async def remove_if_empty(self, node: Directory) -> None:
        """Remove *node* here and in the store; the caller holds the lock of its prefix.

        Raises:
            OSError: ENOTEMPTY.
            StoreError: as `remove_directory`.
        """
        changes = self._bucket.changes
        if await self._bucket.namespace.has_children(node) or not node.is_empty:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        parent, key = node.parent, node.entry_key
        changes.pin(parent, key)
        try:
            with trio.CancelScope(shield=True):
                if node.has_marker is not False:
                    await self._bucket.store.delete(node.prefix)
                if not node.is_detached:
                    changes.remove(node)
                await self.keep_directory(parent)
        finally:
            changes.unpin(parent, key)

    async def keep_directory(self, directory: Directory) -> None:
        """Let *directory*, from which something was removed, go on to exist when it was the last.

        To the store a directory is there as long as something is in it. To a program it is until it
        is removed.
        """
        while _lacks_marker(directory):
            prefix = directory.prefix
            async with self._bucket.locks.hold(prefix):
                if directory.prefix == prefix and _lacks_marker(directory):
                    await self._put_missing_marker(directory)
                    return

    async def _put_missing_marker(self, directory: Directory) -> None:
        """Put the marker of *directory*, whose lock the caller holds; leave one that is there."""
        saved = saved_attributes(directory) if self._bucket.is_posix else None
        # Whether there is one no listing may have told, and somebody's metadata may be with it.
        expected_etag = "" if directory.has_marker is None else None
        try:
            with trio.CancelScope(shield=True):
                await self._bucket.store.put(
                    directory.prefix, (), headers_for_directory(saved), expected_etag=expected_etag
                )
        except PreconditionFailedError:
            pass  # it is there
        except StoreError as error:  # what was asked for has been done
            log.warning("the empty directory %r has no marker: %s", directory.prefix, error)
            return
        if not directory.is_detached:
            self._bucket.changes.note_marker(directory, is_there=True)

    # -------------------------------------------------------------------------------------------

    async def _make_object(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, content: bytes, caller: Caller
    ) -> File:
        bucket = self._bucket
        parent = bucket.directory(parent_inode)
        now_ns = time.time_ns()
        extra = self._new_attributes(parent, mode, caller, now_ns, rdev)
        async with self._hold_free(parent, name) as key:
            headers = headers_for_content(name, replace(extra, mtime_ns=now_ns))
            with trio.CancelScope(shield=True):
                info = await self._put_new(key, (content,) if content else (), headers)
            node = bucket.changes.create_file(parent, name, mtime_ns=now_ns)
            node.extra = replace(extra, headers=headers)
            bucket.changes.advance(node, etag=info.etag, size_bytes=len(content), mtime_ns=now_ns)
        return node

    async def _put_new(self, key: str, body: Body, headers: ObjectHeaders) -> ObjectInfo:
        """Store an object where none is, so that of two hosts one makes it.

        Raises:
            FileExistsError: somebody else has made it since it was looked for.
            StoreError: it could not be stored.
        """
        try:
            return await self._bucket.store.put(key, body, headers, expected_etag="")
        except PreconditionFailedError as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error

    @asynccontextmanager
    async def _hold(self, key_of: Callable[[], str]) -> AsyncIterator[str]:
        """Hold the lock of a key that may become another one while it is waited for."""
        while True:
            key = key_of()
            async with self._bucket.locks.hold(key):
                if key_of() == key:
                    yield key
                    return

    @asynccontextmanager
    async def _hold_free(
        self, parent: Directory, name: bytes, *, is_directory: bool = False
    ) -> AsyncIterator[str]:
        """Hold the lock of a new key, and keep its name from appearing by what a LIST says.

        Raises:
            FileExistsError: the name is there already.
            OSError: as `Bucket.check_name`.
        """
        bucket = self._bucket
        entry_key = name + b"/" if is_directory else name
        async with self._hold(
            lambda: bucket.check_name(parent, name, is_directory=is_directory)
        ) as key:
            self._check_free(parent, name)
            bucket.changes.pin(parent, entry_key)
            try:
                yield key
            finally:
                bucket.changes.unpin(parent, entry_key)

    @staticmethod
    def _check_free(parent: Directory, name: bytes) -> None:
        if parent.is_detached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if parent.child(name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _lacks_marker(directory: Directory) -> bool:
    """Tell whether *directory* would be gone if the store were asked."""
    if directory.is_root or directory.is_detached:
        return False
    return directory.is_empty and not directory.has_marker
