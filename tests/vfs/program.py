"""A program that uses files, without a kernel: it does what the kernel would do for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from mountfs.attributes import AttributeChanges, Caller
from tests.vfs.opened import ROOT, look_up, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.errors import StoreError
    from mountfs.store.fake import FakeStore, Fault, Request
    from mountfs.vfs.assembly import Vfs
    from mountfs.vfs.changes import VfsChanges

CALLER = Caller(0, 0, 0)
WRITE_BYTES = 16 * 1024
"""What the kernel hands over at a time."""

READ_BYTES = 1 << 20
"""More than any file of these tests has."""


class Program:
    """Opens, writes, closes and reads files by their names.

    Args:
        vfs: the mount.
    """

    def __init__(self, vfs: Vfs) -> None:
        self.vfs = vfs

    @property
    def changes(self) -> VfsChanges:
        """What changes the mount."""
        assert self.vfs.changes is not None, "it is mounted read-write"
        return self.vfs.changes

    async def create(self, name: bytes, parent: int = ROOT, *, flags: int = os.O_WRONLY) -> int:
        """Make a file and return a handle."""
        _, handle = await self.changes.create(parent, name, flags, 0o644, 0o022, CALLER)
        return handle

    async def open_to_write(
        self, name: bytes, parent: int = ROOT, *, flags: int = os.O_WRONLY
    ) -> int:
        """Open an existing file and return a handle."""
        inode = await look_up(self.vfs, name, parent)
        return await self.changes.open_to_write(inode, flags, CALLER)

    async def open_to_read(self, name: bytes, parent: int = ROOT) -> int:
        """Open an existing file and return its inode number."""
        inode = await look_up(self.vfs, name, parent)
        reading = self.vfs.filesystem.reading
        if not reading.open_if_ready(inode, os.O_RDONLY):
            await reading.open(inode, os.O_RDONLY)
        return inode

    async def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write all of *data*."""
        for start in range(0, len(data), WRITE_BYTES):
            piece = data[start : start + WRITE_BYTES]
            if not self.changes.write_if_ready(handle, offset + start, memoryview(piece)):
                await self.changes.write(handle, offset + start, piece)

    async def close(self, handle: int) -> None:
        """Close the last copy of *handle*; raise what ``close`` would return."""
        try:
            if not self.changes.flush_if_ready(handle):
                await self.changes.flush(handle)
        finally:
            self.changes.release_writer(handle)

    async def save(self, name: bytes, content: bytes, parent: int = ROOT) -> None:
        """Create a file that has *content*."""
        handle = await self.create(name, parent)
        try:
            await self.write(handle, 0, content)
        finally:
            await self.close(handle)

    async def truncate(self, name: bytes, size_bytes: int) -> None:
        """Truncate a file by its name."""
        inode = await look_up(self.vfs, name)
        changes = AttributeChanges(size_bytes=size_bytes)
        await self.changes.set_attributes(inode, changes, None, CALLER)

    async def load(self, name: bytes, parent: int = ROOT) -> bytes:
        """Return what a file has."""
        inode = await self.open_to_read(name, parent)
        try:
            return await read(self.vfs, inode, 0, READ_BYTES)
        finally:
            self.vfs.filesystem.reading.release(inode)

    async def rename(
        self, name: bytes, new_name: bytes, parent: int = ROOT, new_parent: int = ROOT
    ) -> None:
        """Rename, as ``mv`` does: it looks first."""
        await look_up(self.vfs, name, parent)
        await self.changes.rename(parent, name, new_parent, new_name, 0)

    async def names(self, inode: int = ROOT) -> list[bytes]:
        """Return the names in a directory."""
        filesystem = self.vfs.filesystem
        handle = filesystem.open_directory(inode)
        found: list[bytes] = []
        index = 0
        try:
            while entries := await filesystem.entries(handle, index, 1000):
                found += [node.name for _, node in entries]
                index = entries[-1][0]
        finally:
            filesystem.release_directory(handle)
        return found

    async def unlink(self, name: bytes, parent: int = ROOT) -> None:
        """Remove a file."""
        await look_up(self.vfs, name, parent)
        await self.changes.unlink(parent, name)


def slow_down(
    store: FakeStore, is_slow: Callable[[Request], bool], *, seconds: float = 1.0
) -> trio.Event:
    """Let the answers to some requests travel for *seconds*, others not at all.

    Returns an event that the first slow request sets when it arrives.
    """
    seen = trio.Event()

    def watch(request: Request) -> Fault | None:
        store.latency_seconds = 0.0
        if is_slow(request):
            store.latency_seconds = seconds
            seen.set()
        return None

    store.fault_for = watch
    return seen


async def arrive(event: trio.Event) -> None:
    """Wait for what `slow_down` returned."""
    with trio.fail_after(100.0):
        await event.wait()


def refuse(store: FakeStore, error: StoreError, *kinds: str) -> None:
    """Let *store* answer requests of *kinds* with *error*, until `relent`."""
    store.fault_for = lambda request: error if request.kind in kinds else None


def relent(store: FakeStore) -> None:
    """Let *store* be fast and friendly again."""
    store.fault_for = None
    store.latency_seconds = 0.0


def contents(store: FakeStore) -> dict[str, bytes]:
    """Return everything that *store* has."""
    return {key: store.bucket.read(key) for key in store.bucket.keys}
