"""What a mount needs to write, and what a dead mount has left there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.command.remains import Remains
from mountfs.data.publisher import open_publisher
from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.data.upload_record import open_upload_record
from mountfs.vfs.recovery import recover

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from mountfs.command.config import MountConfig
    from mountfs.command.daemonize import Reporter
    from mountfs.data.block_cache import BlockCache
    from mountfs.data.publisher import Publisher
    from mountfs.data.staging_directory import StagingDirectory
    from mountfs.store.protocol import ObjectStore


async def open_recovered_staging(
    config: MountConfig,
    stack: AsyncExitStack,
    store: ObjectStore,
    blocks: BlockCache,
    reporter: Reporter,
) -> tuple[StagingDirectory | None, Publisher | None]:
    """Open what writing needs on *stack*, and publish first what a dead mount has left.

    Returns None and None for a read-only mount.

    Raises:
        UsageError: the staging directory cannot be used.
    """
    if config.read_only:
        return None, None
    identity = f"{config.store.endpoint_url or 'aws'} {config.source}"
    staging = await stack.enter_async_context(
        open_staging(StagingConfig(directory=config.write.cache_dir), identity)
    )
    uploads = stack.enter_context(open_upload_record(staging.path))
    publisher = await stack.enter_async_context(open_publisher(store, blocks.budget, uploads))
    await recover(
        staging, store, publisher, lambda report: reporter.progress(Remains.of_replay(report))
    )
    return staging, publisher
