"""What the handlers of changes need of the file system that carries them out.

Inodes are numbers that the kernel knows; a handle is the number, from 1 on, of one open file that
may be written. Errors are `OSError` with an errno, or of `mountfs.errors`. A method that may answer
at once or later returns its result or an awaitable of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mountfs.attributes import AttributeChanges, Caller, Entry


class Details(Protocol):
    """What an inode has beside its attributes; wanted on read-only mounts too."""

    def read_link(self, inode: int) -> bytes | Awaitable[bytes]:
        """Return the target of a symbolic link."""
        ...

    def get_xattr(self, inode: int, name: bytes) -> bytes | Awaitable[bytes]:
        """Return the value of ``user.…``; ENODATA when there is none of this name."""
        ...

    def list_xattrs(self, inode: int) -> list[bytes] | Awaitable[list[bytes]]:
        """Return the names that `get_xattr` knows."""
        ...


class Contents(Protocol):
    """Changes of the contents of files, through handles."""

    def getattr(self, inode: int) -> Entry:
        """Return the attributes of *inode*."""
        ...

    def open_to_write(self, inode: int, flags: int, caller: Caller) -> int | Awaitable[int]:
        """Return a handle; with ``O_TRUNC`` in *flags* the file is empty then."""
        ...

    def create_if_ready(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> tuple[Entry, int] | None:
        """Make a file if that needs no waiting; else do nothing and return None."""
        ...

    def create(
        self, parent: int, name: bytes, flags: int, mode: int, umask: int, caller: Caller
    ) -> Awaitable[tuple[Entry, int]]:
        """Make a file and return its entry, counted as one look-up, and a handle.

        *mode* has been masked. With ``O_EXCL`` in *flags*, EEXIST when the name is taken.
        """
        ...

    def is_alone(self, handle: int) -> bool:
        """Tell whether *handle* can only write, and nobody else has its file open."""
        ...

    def write_if_ready(self, handle: int, offset: int, data: memoryview) -> bool:
        """Write all of *data* if that needs no waiting, else nothing; tell which.

        *data* is used again by somebody else after the return.
        """
        ...

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write all of *data*, or raise and write nothing."""
        ...

    def flush_if_ready(self, handle: int) -> bool:
        """Tell whether the last close of *handle* has nothing to wait for.

        Raises:
            OSError: what a failed publish left to be told.
        """
        ...

    async def flush(self, handle: int) -> None:
        """Return when what was written is where a close promises it to be.

        May come more than once for a handle, and writes may follow.
        """
        ...

    def release_writer(self, handle: int) -> None:
        """Forget *handle*: nobody has it any more. What is still dirty is published in time."""
        ...

    async def fsync(self, handle: int) -> None:
        """Return when what was written is where ``fsync`` promises it to be."""
        ...

    async def fsync_inode(self, inode: int) -> None:
        """Do the same for an inode: somebody who cannot write himself called ``fsync``."""
        ...

    async def allocate(self, handle: int, mode: int, offset: int, length_bytes: int) -> None:
        """Do what ``fallocate`` does with *mode*, or raise EOPNOTSUPP."""
        ...

    async def sync_all(self) -> None:
        """Return when nothing is dirty that was so at the call."""
        ...


class Names(Protocol):
    """Changes of names. A returned entry counts as one look-up."""

    async def make_directory(
        self, parent: int, name: bytes, mode: int, umask: int, caller: Caller
    ) -> Entry:
        """Make a directory; *mode* has been masked."""
        ...

    async def make_node(
        self, parent: int, name: bytes, mode: int, umask: int, rdev: int, caller: Caller
    ) -> Entry:
        """Make a file, FIFO, socket or device, as the file type in *mode* says; it is masked."""
        ...

    async def make_symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        """Make a symbolic link."""
        ...

    async def unlink(self, parent: int, name: bytes) -> None:
        """Remove a name that is no directory."""
        ...

    async def remove_directory(self, parent: int, name: bytes) -> None:
        """Remove an empty directory."""
        ...

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int
    ) -> None:
        """Rename, replacing what may be replaced; *flags* is 0 or `RenameFlag.NOREPLACE`."""
        ...

    async def fsync_directory(self, inode: int) -> None:
        """Return when the names in a directory are where ``fsync`` promises them to be."""
        ...


class Metadata(Protocol):
    """Changes of attributes."""

    async def set_attributes(
        self, inode: int, changes: AttributeChanges, handle: int | None, caller: Caller
    ) -> Entry:
        """Apply *changes*, all or nothing, and return the attributes; no look-up is counted.

        *handle* is that of an ``ftruncate``. Changes without any field are ``chown(-1, -1)``.
        """
        ...

    async def set_xattr(self, inode: int, name: bytes, value: bytes, flags: int) -> None:
        """Set ``user.…``; *flags* may be ``XATTR_CREATE`` or ``XATTR_REPLACE``."""
        ...

    async def remove_xattr(self, inode: int, name: bytes) -> None:
        """Remove ``user.…``; ENODATA when there is none of this name."""
        ...


class Changes(Contents, Names, Metadata, Protocol):
    """A file system that can be changed."""
