"""Link targets and extended attributes: what is asked for one file at a time.

``user.mountfs.*`` tells what the store knows of an object. They are not listed, or ``cp -a`` would
try to set them on the copy.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs import control_directory
from mountfs.meta.node import File
from mountfs.vfs import extended_attributes
from mountfs.vfs.showing import extra_of
from mountfs.vfs.symlink import TARGET_MAX_BYTES, decode_target

if TYPE_CHECKING:
    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node
    from mountfs.store.protocol import ObjectStore
    from mountfs.vfs.learning import Learner


class VfsDetails:
    """Answers by inode number.

    Args:
        namespace: knows the nodes.
        store: knows what no listing says.
        learner: learns what is kept with an object.
        is_posix: attributes are kept with the objects.
    """

    def __init__(
        self, namespace: Namespace, store: ObjectStore, learner: Learner, *, is_posix: bool
    ) -> None:
        self._namespace = namespace
        self._store = store
        self._learner = learner
        self._is_posix = is_posix

    async def read_link(self, inode: int) -> bytes:
        """Return the target of a symbolic link.

        Raises:
            OSError: EINVAL, it is none; EIO, it has no target that can be.
            StoreError: it could not be fetched.
        """
        node = self._namespace.table.get(inode)
        if not isinstance(node, File):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not 0 < node.size_bytes <= TARGET_MAX_BYTES:
            raise OSError(errno.EIO, "no link has such a target")
        return decode_target(await self._store.get(node.object_id, 0, node.size_bytes))

    async def get_xattr(self, inode: int, name: bytes) -> bytes:
        """Return the value of an extended attribute.

        Raises:
            OSError: ENODATA, there is none of this name.
            StoreError: the store could not be asked.
        """
        node = self._namespace.table.get(inode)
        if node is None or inode >= control_directory.FIRST_INODE:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        if name.startswith(extended_attributes.RESERVED):
            return await self._get_virtual(node, name[len(extended_attributes.RESERVED) :])
        if not self._is_posix:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        await self._learner.learn(node)
        return extended_attributes.get_value(extra_of(node), name)

    async def list_xattrs(self, inode: int) -> list[bytes]:
        """Return the names that users have set.

        Raises:
            StoreError: the store could not be asked.
        """
        node = self._namespace.table.get(inode)
        if node is None or not self._is_posix:
            return []
        await self._learner.learn(node)
        return extended_attributes.list_names(extra_of(node))

    async def _get_virtual(self, node: Node, name: bytes) -> bytes:
        text = ""
        if name == b"key":
            text = node.key if isinstance(node, File) else node.prefix
        elif isinstance(node, File) and node.etag:
            if name == b"etag":
                text = node.etag
            elif name == b"version-id":
                text = (await self._store.head_details(node.key)).version_id
            elif name == b"storage-class":
                text = (await self._store.head_details(node.key)).storage_class
        if not text:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return text.encode("utf-8", "surrogateescape")
