"""chmod, chown, utimens, truncate by name, and extended attributes.

By default attributes are remembered while the inode is, and go with the next upload. With
``--attributes=posix`` they are kept in the object's metadata: with the next upload if there is
something to upload, else by letting the store copy the object onto itself.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from mountfs.attributes import AttributeChanges
from mountfs.meta.node import Directory, File
from mountfs.vfs import extended_attributes, posix_rules
from mountfs.vfs.showing import extra_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_directory
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from mountfs.meta.node import Node
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.node_attributes import NodeAttributes
    from mountfs.vfs.showing import Showing
    from mountfs.vfs.writing import Writing


_NOTHING = AttributeChanges()


class Setting:
    """Changes what nodes show.

    Args:
        bucket: where.
        showing: what they show now.
        writing: truncates.
        committer: publishes what was truncated by name, and knows the headers.
    """

    def __init__(
        self, bucket: Bucket, showing: Showing, writing: Writing, committer: Committer
    ) -> None:
        self._bucket = bucket
        self._showing = showing
        self._writing = writing
        self._committer = committer

    async def set_attributes(
        self, node: Node, changes: AttributeChanges, handle: int | None
    ) -> None:
        """Apply *changes*; *handle* is that of an ``ftruncate``.

        Raises:
            OSError: EISDIR, EINVAL; as `Writing.truncate` says.
            StoreError: the store could not be told.
        """
        if changes.size_bytes is not None:
            await self._truncate(node, changes.size_bytes, handle)
        overlay = self._overlay(node, changes)
        if overlay is None:
            return
        if overlay.mtime_ns is not None:
            node.mtime_ns = overlay.mtime_ns
            overlay = replace(overlay, mtime_ns=None)
        await self._lay_over(node, overlay)

    async def set_xattr(self, node: Node, name: bytes, value: bytes, flags: int) -> None:
        """Set ``user.…``.

        Raises:
            OSError: ENOTSUP without ``--attributes=posix``; as `extended_attributes.set_value`.
            StoreError: the store could not be told.
        """
        self._require_posix()
        now_ns = time.time_ns()
        overlay = extended_attributes.set_value(extra_of(node), name, value, flags, now_ns=now_ns)
        await self._lay_over(node, overlay)

    async def remove_xattr(self, node: Node, name: bytes) -> None:
        """Remove ``user.…``; raises as `set_xattr`."""
        self._require_posix()
        overlay = extended_attributes.remove_value(extra_of(node), name, now_ns=time.time_ns())
        await self._lay_over(node, overlay)

    async def _truncate(self, node: Node, size_bytes: int, handle: int | None) -> None:
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if handle is not None:
            await self._writing.truncate(self._writing.file_of(handle), size_bytes)
            return
        # Nobody will close it: what this returned for must be in the store.
        temporary = await self._writing.open(node, os.O_WRONLY)
        try:
            await self._writing.truncate(self._writing.file_of(temporary), size_bytes)
            await self._committer.commit(self._writing.file_of(temporary))
        finally:
            self._writing.release(temporary)

    def _overlay(self, node: Node, changes: AttributeChanges) -> NodeAttributes | None:
        if changes.size_bytes is not None:
            changes = changes._replace(size_bytes=None)
            if changes == _NOTHING:
                return None  # the truncation itself has set the times
        shown = self._showing.attributes_of(node)
        return posix_rules.set_attributes(shown, changes, now_ns=time.time_ns())

    async def _lay_over(self, node: Node, overlay: NodeAttributes) -> None:
        """Let *node* show *overlay*, and the store know it if it is to be kept there."""
        before, mtime_ns = node.extra, node.mtime_ns
        if isinstance(node, File):
            file = written_of(node)
            is_waiting = not node.etag or (file is not None and file.is_dirty)
            if self._bucket.is_posix and not is_waiting:
                await self._committer.versions.learn_headers(node)
            node.extra = extra_of(node).overlaid(overlay)
            if not self._bucket.is_posix or is_waiting:
                if file is not None:
                    file.is_attributed = True
                return
        else:
            node.extra = extra_of(node).overlaid(overlay)
            if not self._bucket.is_posix:
                return
        try:
            if isinstance(node, File):
                await self._committer.versions.rewrite_headers(node)
            else:
                await self._put_marker(node)
        except BaseException:
            node.extra, node.mtime_ns = before, mtime_ns
            raise

    async def _put_marker(self, directory: Directory) -> None:
        if directory.is_detached:
            return
        if directory.is_root:
            return  # a bucket has no attributes, and a marker with an empty name cannot be
        async with self._bucket.locks.hold(directory.prefix):
            headers = headers_for_directory(saved_attributes(directory))
            await self._bucket.store.put(directory.prefix, (), headers)
            if not directory.is_detached:
                self._bucket.changes.note_marker(directory, is_there=True)

    def _require_posix(self) -> None:
        if not self._bucket.is_posix:
            raise OSError(errno.ENOTSUP, "extended attributes need --attributes=posix")
