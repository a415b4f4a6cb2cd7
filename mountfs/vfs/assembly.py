"""Puts the semantics together: what answers the kernel, above the tree, the cache and the store."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from mountfs.attributes import AttributesSource
from mountfs.control_directory import ControlDirectory
from mountfs.data.journal import open_journal
from mountfs.data.write_back import WriteBackConfig, open_write_back
from mountfs.filesystem import CONTROL_ATTRIBUTES, Filesystem
from mountfs.vfs.bucket import Bucket
from mountfs.vfs.changes import VfsChanges
from mountfs.vfs.committing import Committer
from mountfs.vfs.details import VfsDetails
from mountfs.vfs.directory_renaming import DirectoryRenaming
from mountfs.vfs.dirty_figures import DirtyFigures
from mountfs.vfs.draft_reading import DraftReading
from mountfs.vfs.file_renaming import FileRenaming
from mountfs.vfs.handle_counts import HandleCounts
from mountfs.vfs.journal_uploads import JournalUploads
from mountfs.vfs.journalling import Journalling
from mountfs.vfs.key_locks import KeyLocks
from mountfs.vfs.learning import Learner
from mountfs.vfs.movable import Movable
from mountfs.vfs.naming import Naming
from mountfs.vfs.preserving import Preserver
from mountfs.vfs.reading import Reading
from mountfs.vfs.renaming import Renaming
from mountfs.vfs.retiring import Retiring
from mountfs.vfs.setting import Setting
from mountfs.vfs.showing import Showing
from mountfs.vfs.versions import Versions
from mountfs.vfs.writing import Writing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.control_directory import ControlTexts
    from mountfs.data.block_cache import BlockCache
    from mountfs.data.config import WriteConfig
    from mountfs.data.publisher import Publisher
    from mountfs.data.staging_directory import StagingDirectory
    from mountfs.filesystem import FilesystemConfig
    from mountfs.meta.namespace import Namespace
    from mountfs.store.protocol import ObjectStore
    from mountfs.vfs.reading import EntryInvalidator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vfs:
    """The parts that the kernel's requests and the command talk to.

    Attributes:
        filesystem: names, directories, and `Filesystem.reading`.
        details: link targets and extended attributes.
        changes: everything that changes something; None on a read-only mount.
        dirty: what is not in the store yet; None on a read-only mount.
    """

    filesystem: Filesystem
    details: VfsDetails
    changes: VfsChanges | None = None
    dirty: DirtyFigures | None = None


@asynccontextmanager
async def open_vfs(
    config: FilesystemConfig,
    write: WriteConfig,
    namespace: Namespace,
    blocks: BlockCache,
    store: ObjectStore,
    staging: StagingDirectory | None,
    publisher: Publisher | None,
    texts: ControlTexts,
    kernel: EntryInvalidator,
) -> AsyncIterator[Vfs]:
    """Provide the file system; *staging* and *publisher* are None on a read-only mount.

    When the block is left, publishes under way are cancelled: drain before.

    Raises:
        OSError: the staging directory cannot be used.
    """
    handles = HandleCounts()
    learner = Learner(namespace, store, is_posix=config.is_posix)
    showing = Showing(
        AttributesSource(config.attributes), config.attributes.file_mode, is_posix=config.is_posix
    )
    control = ControlDirectory(texts, AttributesSource(CONTROL_ATTRIBUTES), namespace.root.mtime_ns)
    details = VfsDetails(namespace, store, learner, is_posix=config.is_posix)
    async with AsyncExitStack() as stack:
        writing = drafts = retiring = None
        if staging is not None and publisher is not None:
            nursery = await stack.enter_async_context(trio.open_nursery())
            stack.callback(nursery.cancel_scope.cancel)
            bucket = Bucket(
                namespace=namespace,
                store=store,
                publisher=publisher,
                locks=KeyLocks(),
                config=write,
                is_posix=config.is_posix,
            )
            committer = Committer(bucket, Versions(bucket, blocks), nursery)
            retiring = Retiring(namespace, committer, kernel, nursery)
            drafts = DraftReading(committer, bucket.locks)
            writing = Writing(
                bucket, committer, blocks.budget, staging.create_file, retiring, handles, nursery
            )
        reading = Reading(namespace, blocks, control, kernel, drafts, handles)
        filesystem = Filesystem(
            config, namespace, blocks, control, reading, showing, learner, handles, retiring,
            trusts_listings=write.conflict != "fail",
        )  # fmt: skip
        if staging is None or publisher is None or writing is None or retiring is None:
            yield Vfs(filesystem=filesystem, details=details)
            return
        preserver = Preserver(bucket, committer, writing, retiring, handles)
        naming = Naming(bucket, showing, writing, preserver)
        movable = Movable(committer)
        changes = VfsChanges(
            filesystem,
            bucket,
            writing,
            committer,
            naming,
            Renaming(
                bucket,
                FileRenaming(bucket, committer, movable, preserver, naming),
                DirectoryRenaming(bucket, committer, movable, naming),
            ),
            Setting(bucket, showing, writing, committer),
        )
        write_back = None
        if write.write_back:
            journal = await stack.enter_async_context(open_journal(staging.path))
            uploads = JournalUploads(bucket, committer, retiring)
            write_back = await stack.enter_async_context(
                open_write_back(
                    WriteBackConfig(warn_after_seconds=write.warn_after_seconds),
                    journal,
                    uploads.publish,
                )
            )
            committer.journalling = Journalling(bucket, committer, writing, uploads, write_back)
        dirty = DirtyFigures(
            committer, publisher, write_back, namespace.root.prefix, str(staging.path)
        )
        yield Vfs(filesystem=filesystem, details=details, changes=changes, dirty=dirty)
