"""rename: what may become what; the work is done for files and directories each in a place."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs.errors import StoreError
from mountfs.meta.node import Directory

if TYPE_CHECKING:
    from mountfs.meta.node import Node
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.directory_renaming import DirectoryRenaming
    from mountfs.vfs.file_renaming import FileRenaming

NOREPLACE = 1
"""``RENAME_NOREPLACE``."""


class Renaming:
    """Moves names.

    Args:
        bucket: where.
        files: moves files.
        directories: moves directories.
    """

    def __init__(self, bucket: Bucket, files: FileRenaming, directories: DirectoryRenaming) -> None:
        self._bucket = bucket
        self._files = files
        self._directories = directories

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
            await self._directories.rename(node, new_parent, new_name, target)
        else:
            if isinstance(target, Directory):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            await self._files.rename(node, new_parent, new_name, target)

    async def _find_target(self, parent: Directory, name: bytes) -> Node | None:
        """Return what is there; the kernel has just looked, so no store is asked."""
        node = parent.child(name)
        if node is not None and self._bucket.namespace.lookup_if_fresh(parent, name) is None:
            try:
                return await self._bucket.namespace.lookup(parent, name)
            except StoreError:
                return parent.child(name)
        return node
