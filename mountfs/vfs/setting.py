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

import trio

from mountfs.attributes import AttributeChanges
from mountfs.errors import ObjectNotFoundError, PreconditionFailedError
from mountfs.meta.node import Directory
from mountfs.vfs import extended_attributes, posix_rules
from mountfs.vfs.showing import extra_of, note_changes, saved_attributes
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
        committer: saves what was truncated by name, and knows the headers.
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
        if overlay is not None:
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
        # Nobody will close it: what this returned for must be where a close would have put it.
        temporary = await self._writing.open(node, os.O_WRONLY)
        try:
            await self._writing.truncate(self._writing.file_of(temporary), size_bytes)
            await self._committer.settle(self._writing.file_of(temporary))
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
        """Let the store know *overlay* if it is to be kept there, and *node* show it then.

        Raises:
            OSError: ESTALE, somebody else has replaced or deleted it; look up again.
            StoreError: the store could not be told; nothing has changed.
        """
        if isinstance(node, Directory):
            await self._lay_over_directory(node, overlay)
            return
        file = written_of(node)
        is_waiting = not node.etag if file is None else file.is_waiting
        if is_waiting or not self._bucket.is_posix:
            note_changes(node, overlay)
            if file is not None:
                file.is_attributed = True
            return
        versions = self._committer.versions
        try:
            await versions.learn_headers(node)
            await versions.rewrite_headers(node, overlay)
        except (PreconditionFailedError, ObjectNotFoundError) as error:
            raise OSError(errno.ESTALE, "the object was replaced") from error

    async def _lay_over_directory(self, directory: Directory, overlay: NodeAttributes) -> None:
        while True:
            # A bucket has no attributes, and a marker with an empty name cannot be.
            if not self._bucket.is_posix or directory.is_root or directory.is_detached:
                note_changes(directory, overlay)
                return
            prefix = directory.prefix
            async with self._bucket.locks.hold(prefix):
                if directory.prefix == prefix and not directory.is_detached:
                    await self._put_marker(directory, overlay)
                    return

    async def _put_marker(self, directory: Directory, overlay: NodeAttributes) -> None:
        """Store *overlay* with the marker of *directory*, whose lock the caller holds."""
        headers = headers_for_directory(saved_attributes(directory, overlay))
        # What a request that was given up has done nobody knows.
        with trio.CancelScope(shield=True):
            await self._bucket.store.put(directory.prefix, (), headers)
        note_changes(directory, replace(overlay, headers=headers))
        if not directory.is_detached:
            self._bucket.changes.note_marker(directory, is_there=True)

    def _require_posix(self) -> None:
        if not self._bucket.is_posix:
            raise OSError(errno.ENOTSUP, "extended attributes need --attributes=posix")
