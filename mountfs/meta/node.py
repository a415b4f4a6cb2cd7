"""What the tree is made of: files and directories.

A node is one *version* of an object, or a directory. It stays the same object, with the same
number, for as long as the store says the same of it; another ETag makes another node, and the old
one is detached. There may be millions of nodes, so they hold nothing that can be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mountfs.keys import KEY_MAX_BYTES, decode_name, is_presentable
from mountfs.meta.coverage import Coverage
from mountfs.objects import ObjectId

if TYPE_CHECKING:
    from mountfs.meta.listing import Listing
    from mountfs.meta.override import Override

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
        etag: as the store sent it; empty as long as nothing was published.
        lookups: how often the kernel was told of it and has not forgotten it; `InodeTable` counts.
        fetched_at: when the LIST that last confirmed it was sent; one float object for a whole
        page.
        draft: what was changed here and is not published; set and understood by the layer above.
        extra: attributes that no listing knows, likewise; with any, a listing that confirms the
            version does not change `mtime_ns`.
    """

    __slots__ = (
        "draft",
        "etag",
        "extra",
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
        self.draft: object | None = None
        self.extra: object | None = None

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
        """Tell whether it is known that the store has this version no more.

        What is pinned is as it is here, whatever the store has.
        """
        if self.is_detached:
            return True
        return self.fetched_at == NEVER and not self.parent.is_pinned(self.name)


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
        generation: the number of the latest move. An answer whose number is lower was asked for
            before, with another prefix, and is not applied.
        overrides: the entry keys that answers must leave as they are; None when there are none.
        has_marker: whether the store holds a key that equals the prefix; None as long as no listing
            told, and as old as what is known of the first entry.
        extra: as for a file.
        subtree_keys: how many keys there are below it, subdirectories included; -1 when unknown.
    """

    __slots__ = (
        "coverage",
        "extra",
        "fetched_at",
        "files",
        "generation",
        "has_marker",
        "listing",
        "lookups",
        "mtime_ns",
        "name",
        "number",
        "overrides",
        "parent",
        "prefix",
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
        self.overrides: dict[bytes, Override] | None = None
        self.has_marker: bool | None = None
        self.extra: object | None = None
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

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is known to be in it; more may be unknown."""
        return not self.files and not self.subdirectories

    def may_hold(self, name: bytes) -> bool:
        """Tell whether *name* in this directory can be a key at all."""
        if not is_presentable(name, is_in_root=self.is_root) or self.is_detached:
            return False
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            return False  # keys are UTF-8; some stores answer to anything else with broken XML
        return len(self.prefix.encode("utf-8", "surrogateescape")) + len(name) <= KEY_MAX_BYTES

    @property
    def has_pinned_child(self) -> bool:
        """Tell whether something is in it that an operation under way has put there, or changes."""
        return any(
            override.pins and key and self.child(key.removesuffix(b"/")) is not None
            for key, override in (self.overrides or {}).items()
        )

    def is_pinned(self, entry_key: bytes) -> bool:
        """Tell whether an operation is under way here at *entry_key*: what the tree shows holds."""
        if self.overrides is None:
            return False
        override = self.overrides.get(entry_key)
        return override is not None and override.pins > 0

    def is_held(self, entry_key: bytes, sequence: int) -> bool:
        """Tell whether the answer to LIST *sequence* must leave *entry_key* as it is."""
        if self.overrides is None:
            return False
        override = self.overrides.get(entry_key)
        return override is not None and override.holds_against(sequence)

    def is_held_below(self, sequence: int) -> bool:
        """Tell whether the answer to LIST *sequence* must leave anything in it as it is.

        Then such an answer cannot tell that the directory does not exist, either.
        """
        pending = [self]
        while pending:
            directory = pending.pop()
            for override in (directory.overrides or {}).values():
                if override.holds_against(sequence):
                    return True
            pending.extend(directory.subdirectories.values())
        return False

    def drop_override(self, entry_key: bytes) -> None:
        """Let answers speak of *entry_key* again."""
        assert self.overrides is not None
        del self.overrides[entry_key]
        if not self.overrides:
            self.overrides = None

    def is_above(self, other: Directory) -> bool:
        """Tell whether *other* is below this directory, in any depth."""
        while not other.is_root:
            other = other.parent
            if other is self:
                return True
        return False

    def take_prefix(self) -> None:
        """Make the prefix of its place in the tree its own, after a move."""
        self.prefix = f"{self.parent.prefix}{decode_name(self.name)}/"

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
            directory.subtree_keys = -1


Node: TypeAlias = File | Directory
"""An entry of a directory."""
