"""The semantics on a fake store, without a kernel: for what a mount would hide or slow down."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from mountfs.data.block_cache import open_block_cache
from mountfs.data.config import ReadConfig, WriteConfig
from mountfs.data.publisher import open_publisher
from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.data.upload_record import open_upload_record
from mountfs.filesystem import FilesystemConfig
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.vfs.assembly import open_vfs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mountfs.store.fake import FakeStore
    from mountfs.vfs.assembly import Vfs

ROOT = 1


class NoKernel:
    """Takes notifications, and has no caches to empty."""

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Do nothing."""

    def names(self) -> list[bytes]:
        """Return no names: the control directory is empty."""
        return []

    def read(self, name: bytes) -> bytes | None:
        """Find nothing."""
        return None


@asynccontextmanager
async def opening_vfs(
    store: FakeStore,
    directory: Path,
    *,
    metadata: MetadataConfig | None = None,
    is_posix: bool = False,
    write: WriteConfig | None = None,
) -> AsyncIterator[Vfs]:
    """Provide the semantics of *store*; drafts go to *directory*; drain at the end."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        namespace = await enter(open_namespace(metadata or MetadataConfig(), store))
        blocks = await enter(open_block_cache(ReadConfig(memory_limit_bytes=256 << 20), store))
        staging = await enter(open_staging(StagingConfig(directory=str(directory)), "fake"))
        uploads = stack.enter_context(open_upload_record(staging.path))
        publisher = await enter(open_publisher(store, blocks.budget, uploads))
        config = FilesystemConfig(is_posix=is_posix)
        kernel = NoKernel()
        vfs = await enter(
            open_vfs(
                config,
                write or WriteConfig(),
                namespace,
                blocks,
                store,
                staging,
                publisher,
                kernel,
                kernel,
            )
        )
        yield vfs
        assert vfs.dirty is not None
        await vfs.dirty.drain()


async def look_up(vfs: Vfs, name: bytes, parent: int = ROOT) -> int:
    """Return the inode number of *name*, which the kernel knows from then on."""
    filesystem = vfs.filesystem
    entry = filesystem.lookup_if_ready(parent, name) or await filesystem.lookup(parent, name)
    return entry.attributes.inode


async def read(vfs: Vfs, inode: int, start: int, size_bytes: int) -> bytes:
    """Return what a READ of the kernel would be answered with."""
    reading = vfs.filesystem.reading
    pieces = reading.read_if_ready(inode, start, size_bytes)
    if pieces is None:
        pieces = await reading.read(inode, start, size_bytes)
    return pieces if isinstance(pieces, bytes) else b"".join(pieces)
