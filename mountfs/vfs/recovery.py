"""What a mount that died has left behind: uploads to abort, and a journal to publish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mountfs.data.journal import open_journal
from mountfs.data.publisher import Edition
from mountfs.data.replay import replay_journal
from mountfs.data.upload_record import abort_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.data.publisher import Publisher
    from mountfs.data.replay import ReplayReport
    from mountfs.data.staging_directory import StagingDirectory
    from mountfs.data.stored_draft import StoredDraft
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)


async def recover(
    staging: StagingDirectory,
    store: ObjectStore,
    publisher: Publisher,
    progress: Callable[[ReplayReport], None],
) -> None:
    """Deal with the folders of dead mounts of this source, before anybody sees the tree.

    What cannot be dealt with stays where it is, is logged, and is tried by the next mount again.

    Cancellation: likewise.
    """

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        generation = draft.generation
        edition = Edition(
            key=key,
            headers=generation.headers,
            base=generation.base,
            expected_etag=expected_etag,
        )
        return await publisher.publish(draft, edition)

    for folder in staging.dead_folders:
        try:
            aborted = await abort_leftovers(folder.path, store)
            if aborted:
                log.info("aborted %d uploads that a dead mount has left", aborted)
            async with open_journal(folder.path) as journal:
                if journal.entries:
                    report = await replay_journal(journal, store, publish, progress)
                    log.info(
                        "%s: %d of %d files that a dead mount has left are published",
                        folder.path, report.total - len(report.failed), report.total,
                    )  # fmt: skip
        except OSError as error:
            log.error("%s: what a dead mount has left there cannot be read: %s", folder.path, error)
