"""What the tree is made of: files and directories.

A node is one *version* of an object, or a directory. It stays the same object, with the same
number, for as long as the store says the same of it; another ETag makes another node, and the old
one is detached. There may be millions of nodes, so they hold nothing that can be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mountfs.keys import decode_name
from mountfs.meta.coverage import Coverage
from mountfs.objects import ObjectId

if TYPE_CHECKING:
    from mountfs.meta.listing import Listing

ROOT_NUMBER = 1
"""The kernel's number for the root (``FUSE_ROOT_ID``)."""

NEVER = float("-inf")
"""The time of an answer that must not be believed."""


class File:
    """One version of an object.

    Attributes:
        number: the inode number; never used again for anything else.
        parent: the directory that shows it, or showed it.
        name: one part of a path.
        size_bytes: the length of the object.
        mtime_ns: last modification, nanoseconds since the epoch.
        etag: as the store sent it.
        lookups: how often the kernel was told of it and has not forgotten it; `InodeTable` counts.
        fetched_at: when the LIST that last confirmed it was sent; one float object for a whole
        page.
    """

    __slots__ = (
        "etag",
        "fetched_at",
        "is_served",
        "lookups",
        "mtime_ns",
        "name",
        "number",
        "parent",
        "size_bytes",
    )

    def __init__(
        self,
        number: int,
        parent: Directory,
        name: bytes,
        size_bytes: int,
        mtime_ns: int,
        etag: str,
        fetched_at: float,
    ) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.size_bytes = size_bytes
        self.mtime_ns = mtime_ns
        self.etag = etag
        self.lookups = 0
        self.fetched_at = fetched_at
        self.is_served = False

    def __repr__(self) -> str:
        return f"<File {self.number} {self.key!r} {self.etag}>"

    @property
    def key(self) -> str:
        """The object's key."""
        return self.parent.prefix + decode_name(self.name)

    @property
    def entry_key(self) -> bytes:
        """Its place in the parent's order; see `mountfs.meta.coverage`."""
        return self.name

    @property
    def object_id(self) -> ObjectId:
        """What a GET of this version asks for."""
        return ObjectId(self.key, self.etag)

    @property
    def is_detached(self) -> bool:
        """Tell whether its name shows something else by now, or nothing."""
        parent = self.parent
        return parent.files.get(self.name) is not self or self.name in parent.subdirectories

    @property
    def is_stale(self) -> bool:
        """Tell whether it is known that the store has this version no more."""
        return self.fetched_at == NEVER or self.is_detached


class Directory:
    """All keys with one prefix.

    Files and subdirectories are kept apart because a store may hold both ``a`` and ``a/b``, far
    from each other in its order: each is a fact of its own, and `child` says which of them is seen.

    Attributes:
        number, parent, name, lookups: as for a file; the root is its own parent and has no name.
        prefix: of the keys below; ends with ``/``, or is empty at the root of a bucket.
        mtime_ns: the newest modification known below it.
        fetched_at: when the LIST that last confirmed its existence was sent.
        files, subdirectories: what is known of it, by name.
        coverage: which stretches of it are known, and since when.
        listing: the listing under way that `readdir` waits for, if any.
        generation: the number of the latest local change. An answer whose number is lower was asked
            for before the change and is not applied.
        stale_since: by entry key, for nodes that the store denied: the LISTs with a lower number
            were sent before that and do not confirm them.
        subtree_keys: how many keys there are below it, subdirectories included; -1 when unknown.
    """

    __slots__ = (
        "coverage",
        "fetched_at",
        "files",
        "generation",
        "listing",
        "lookups",
        "mtime_ns",
        "name",
        "number",
        "parent",
        "prefix",
        "stale_since",
        "subdirectories",
        "subtree_keys",
    )

    def __init__(
        self, number: int, parent: Directory | None, name: bytes, prefix: str, fetched_at: float
    ) -> None:
        self.number = number
        self.parent = self if parent is None else parent
        self.name = name
        self.prefix = prefix
        self.lookups = 0
        self.mtime_ns: int = 0 if parent is None else parent.mtime_ns
        self.fetched_at = fetched_at
        self.files: dict[bytes, File] = {}
        self.subdirectories: dict[bytes, Directory] = {}
        self.coverage = Coverage()
        self.listing: Listing | None = None
        self.generation = 0
        self.stale_since: dict[bytes, int] = {}
        self.subtree_keys = -1

    def __repr__(self) -> str:
        return f"<Directory {self.number} {self.prefix!r}>"

    @property
    def entry_key(self) -> bytes:
        """Its place in the parent's order; see `mountfs.meta.coverage`."""
        return self.name + b"/"

    @property
    def is_root(self) -> bool:
        """Tell whether this is the root of the mount."""
        return self.parent is self

    @property
    def is_detached(self) -> bool:
        """Tell whether its name shows something else by now, or nothing; never true of the root."""
        return self.parent.subdirectories.get(self.name) is not self and self.parent is not self

    def child(self, name: bytes) -> Node | None:
        """Return what *name* shows as far as is known: a directory shadows a file."""
        return self.subdirectories.get(name) or self.files.get(name)

    def clear(self) -> None:
        """Forget everything below, in all depths, which detaches it."""
        doomed = [self]
        while doomed:
            directory = doomed.pop()
            doomed.extend(directory.subdirectories.values())
            directory.files = {}
            directory.subdirectories = {}
            directory.coverage = Coverage()
            directory.stale_since = {}
            directory.subtree_keys = -1


Node: TypeAlias = File | Directory
"""An entry of a directory."""
