"""What all operations that change the bucket share: the tree, the store, the locks, the rules."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs import control_directory
from mountfs.keys import KEY_MAX_BYTES, NAME_MAX_BYTES, decode_name
from mountfs.meta.node import Directory, File

if TYPE_CHECKING:
    from mountfs.data.config import WriteConfig
    from mountfs.data.publisher import Publisher
    from mountfs.meta.local_changes import LocalChanges
    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node
    from mountfs.store.protocol import ObjectStore
    from mountfs.vfs.key_locks import KeyLocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The bucket as those see it who change it.

    Attributes:
        namespace: the tree.
        store: where requests go.
        publisher: copies objects of any size.
        locks: by key; held around everything that changes what the store has.
        config: how data is written.
        is_posix: attributes are kept with the objects.
    """

    namespace: Namespace
    store: ObjectStore
    publisher: Publisher
    locks: KeyLocks
    config: WriteConfig
    is_posix: bool

    @property
    def changes(self) -> LocalChanges:
        """The tree, to be changed."""
        return self.namespace.changes

    def directory(self, inode: int) -> Directory:
        """Return the directory *inode*, in which something is to be changed.

        Raises:
            OSError: ESTALE, ENOTDIR; ENOENT when it was removed; EPERM for the control directory.
        """
        if inode >= control_directory.FIRST_INODE:
            raise OSError(errno.EPERM, "the control directory has a fixed content")
        node = self.namespace.table.get(inode)
        if not isinstance(node, Directory):
            raise OSError(errno.ESTALE if node is None else errno.ENOTDIR, "not a directory")
        if node.is_detached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node

    def file(self, inode: int) -> File:
        """Return the file *inode*, which is to be changed.

        Raises:
            OSError: ESTALE, EISDIR; EPERM for a control file.
        """
        if inode >= control_directory.FIRST_INODE:
            raise OSError(errno.EPERM, "the control files are read-only")
        node = self.namespace.table.get(inode)
        if isinstance(node, File):
            return node
        raise OSError(errno.ESTALE if node is None else errno.EISDIR, "not a file")

    def child(self, parent: Directory, name: bytes) -> Node:
        """Return what *name* shows, as the kernel has just seen it.

        Raises:
            FileNotFoundError: nothing; it has gone since.
            OSError: EPERM for the control directory.
        """
        if parent is self.namespace.root and name == control_directory.NAME:
            raise OSError(errno.EPERM, "the control directory cannot be changed")
        node = parent.child(name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node

    def check_name(self, parent: Directory, name: bytes, *, is_directory: bool = False) -> str:
        """Return the key that *name* in *parent* will have.

        Raises:
            OSError: ENAMETOOLONG; EILSEQ, not UTF-8; EEXIST for the control directory.
        """
        if parent is self.namespace.root and name == control_directory.NAME:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if len(name) > NAME_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            name.decode("utf-8")
        except UnicodeDecodeError as error:
            raise OSError(errno.EILSEQ, "S3 takes only names in UTF-8") from error
        key = parent.prefix + decode_name(name) + ("/" if is_directory else "")
        if len(key.encode("utf-8", "surrogateescape")) > KEY_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"S3 takes keys of up to {KEY_MAX_BYTES} bytes")
        return key
