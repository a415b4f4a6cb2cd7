"""From the journal to the store: what ``--write-back`` does after a close."""

from __future__ import annotations

import errno
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mountfs.data.conflict import publish_beside
from mountfs.data.own_content import is_own_content
from mountfs.data.pending import SupersededError
from mountfs.data.publisher import Edition
from mountfs.errors import ObjectNotFoundError, PreconditionFailedError, StoreError
from mountfs.objects import ObjectId
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.pending import Pending
    from mountfs.objects import ObjectHeaders, ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.retiring import Retiring
    from mountfs.vfs.written_file import WrittenFile

log = logging.getLogger(__name__)


class JournalUploads:
    """Publishes what the journal has.

    Args:
        bucket: where to.
        committer: knows what a publish does to the tree.
        retiring: gives back what is not needed any more.

    Attributes:
        files: what waits for its upload, by the number of the generation; only the youngest of each
            file.
    """

    def __init__(self, bucket: Bucket, committer: Committer, retiring: Retiring) -> None:
        self.files: dict[int, WrittenFile] = {}
        self._bucket = bucket
        self._committer = committer
        self._retiring = retiring

    async def publish(
        self, pending: Pending, note: Callable[[ObjectInfo], Awaitable[None]]
    ) -> None:
        """Make the object of *pending*; `WriteBack` calls this, and again if it fails.

        Args:
            pending: what to publish.
            note: called with the object before the lock of the key is given back: whoever removes
                or renames the file next must not meet a journal that would publish it again.

        Raises:
            SupersededError: it is not to be published any more.
            StoreError, OSError: it is not there, or that is not known.
        """
        # While it waits for the lock, whoever has it may stop it.
        pending.set_interruptible(True)
        while True:
            key = pending.key
            async with self._bucket.locks.hold(key):
                if pending.key != key:
                    continue
                if pending.number not in self.files:
                    raise SupersededError(f"{key!r} has a younger generation, or was removed")
                await note(await self._publish_locked(pending, key))
                return

    async def _publish_locked(self, pending: Pending, key: str) -> ObjectInfo:
        generation = pending.draft.generation
        file = self.files[pending.number]
        # Attributes may have been set since the close.
        await self._committer.versions.learn_headers(file.node)
        headers = headers_for_content(file.node.name, saved_attributes(file.node))
        file.is_attributed = False
        expected_etag = None
        if self._bucket.config.conflict == "fail" or file.is_exclusive:
            expected_etag = file.expected_etag
        edition = Edition(
            key=key, headers=headers, base=generation.base, expected_etag=expected_etag
        )
        try:
            info = await self._bucket.publisher.publish(
                pending.draft, edition, pending.set_interruptible
            )
        except PreconditionFailedError:
            landed = await self._find_landed(pending, key)
            if landed is None:
                if expected_etag is None:
                    raise
                return await self._keep_both(pending, edition, file)
            found, info = landed
            if found is not pending:  # an older one: now this one takes its place
                info = await self._bucket.publisher.publish(
                    pending.draft,
                    replace(edition, expected_etag=info.etag),
                    pending.set_interruptible,
                )
        self._note_published(file, pending, info, headers)
        return await self._save_late_attributes(file, info)

    async def _find_landed(self, pending: Pending, key: str) -> tuple[Pending, ObjectInfo] | None:
        """Return the object that an earlier attempt has made, whose answer was lost.

        And the generation that it is: *pending*, or an older one.
        """
        if not pending.may_have_landed:
            return None
        try:
            found = await self._bucket.store.head(key)
        except ObjectNotFoundError:
            return None
        for generation in (pending, *reversed(pending.doubtful)):
            if await is_own_content(self._bucket.store, generation.draft, found):
                return generation, found
        return None

    async def _save_late_attributes(self, file: WrittenFile, info: ObjectInfo) -> ObjectInfo:
        """Let the store have what was set during the upload of *info*; return what it has then."""
        if not (file.is_attributed and self._bucket.is_posix) or file.is_waiting:
            return info
        try:
            return await self._committer.versions.rewrite_locked(file.node)
        except StoreError as error:  # the content is there, and is not to be sent again
            log.error("the attributes of %r are not in the store: %s", info.key, error)
            return info

    async def _keep_both(self, pending: Pending, edition: Edition, file: WrittenFile) -> ObjectInfo:
        """Publish ours beside what somebody else has put there; the name shows theirs."""

        async def publish(beside: str) -> ObjectInfo:
            return await self._bucket.publisher.publish(
                pending.draft,
                replace(edition, key=beside, expected_etag=""),
                pending.set_interruptible,
            )

        info = await publish_beside(edition.key, publish)
        log.error("%r was changed by somebody else; ours is %r now", edition.key, info.key)
        del self.files[pending.number]
        if file.stored is pending:
            file.stored = None
            # Who has it open can go on to read what was written.
            file.base, file.base_size_bytes = ObjectId(info.key, info.etag), info.size_bytes
            file.error = OSError(errno.ESTALE, "the object was changed by somebody else")
            if not file.handle_count:
                self._committer.discard(file)
                self._retiring.retire_soon(file)
        return info

    def _note_published(
        self, file: WrittenFile, pending: Pending, info: ObjectInfo, headers: ObjectHeaders
    ) -> None:
        del self.files[pending.number]
        node = file.node
        file.expected_etag = info.etag
        file.is_exclusive = False
        if file.stored is pending:
            file.stored = None
            file.headers_to_keep = None
            node.extra = extra_of(node).overlaid(NodeAttributes(headers=headers))
            file.base = ObjectId(info.key, info.etag)
            file.base_size_bytes = info.size_bytes
        self._committer.versions.note_version(node, info)
        node.is_served = True
        if file.stored is None and not file.is_dirty:
            self._committer.unpin(file)
            if not file.handle_count:
                self._retiring.retire_soon(file)
