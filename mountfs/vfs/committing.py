"""From a written file to an object: who waits for a publish, what it does to the tree, what if not.

A publish is a task of its own. The application that waits for it may be killed; the next one that
asks waits for the same. A publish holds the lock of its key, so that nobody renames or deletes the
object under it, and freezes the draft, so that what it sends is one state of the file.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

import trio

from mountfs.data.conflict import publish_beside
from mountfs.data.publisher import Edition
from mountfs.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeError,
    StoreError,
    StoreUnavailableError,
    raise_again,
)
from mountfs.store.malloc import give_back_freed_memory
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content
from mountfs.vfs.written_file import Commit, WrittenFile

if TYPE_CHECKING:
    from mountfs.data.draft import Draft
    from mountfs.data.pending import Pending
    from mountfs.objects import ObjectHeaders, ObjectId, ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.journalling import Journalling
    from mountfs.vfs.versions import Versions

log = logging.getLogger(__name__)

GONE = (PreconditionFailedError, ObjectNotFoundError, RangeError)
"""What the store says of a version that it has not any more."""

LARGE_BYTES = 64 * 1024 * 1024
"""A file that leaves enough freed memory behind to be worth a thread's while."""


class Committer:
    """Publishes written files.

    Args:
        bucket: where to.
        versions: is told of each publish.
        nursery: owns the publishes.

    Attributes:
        files: all written files, by inode number.
        journalling: where a close puts files with ``--write-back``; else None.
        lost_count: files that could not be stored after their last close, which told nobody.
    """

    def __init__(self, bucket: Bucket, versions: Versions, nursery: trio.Nursery) -> None:
        self.files: dict[int, WrittenFile] = {}
        self.versions = versions
        self.journalling: Journalling | None = None
        self.lost_count = 0
        self._config = bucket.config
        self._changes = bucket.changes
        self._publisher = bucket.publisher
        self._locks = bucket.locks
        self._nursery = nursery
        self._is_posix = bucket.is_posix

    async def commit(self, file: WrittenFile) -> None:
        """Return when the store has everything that was written to *file* until now.

        Raises:
            StoreError, OSError: it has not; the same for all who ask until the last handle is gone.

        Cancellation: the publish goes on.
        """
        await self.settle(file)
        if self.journalling is not None and file.stored is not None:
            await self.journalling.write_back.wait_for(file.stored.number, is_patient=False)
            raise_again(file.error)

    async def settle(self, file: WrittenFile) -> None:
        """Return when what was written is where a close promises it to be; else as `commit`."""
        target = file.draft.generation if file.draft is not None else file.generation
        while file.error is None and file.is_dirty and file.generation < target:
            if file.is_unlinked:
                return
            if file.commit is None:
                file.commit = Commit()
                self._nursery.start_soon(self._run, file, file.commit)
            await file.commit.wait()
        raise_again(file.error)
        if file.commit is not None and not file.is_unlinked:
            await file.commit.wait()  # the content is there, the attributes follow

    async def end_stream(self, file: WrittenFile) -> None:
        """Let *file* have no upload under way; what only the store has becomes its base.

        Raises:
            StoreError: that could not be had; *file* has failed with it.

        Cancellation: it goes on.
        """
        file.is_in_order = False
        while file.stream is not None:
            if file.ending is None:
                file.ending = Commit()
                self._nursery.start_soon(self._run_end_stream, file, file.ending)
            await file.ending.wait()

    async def recover_dropped(self, file: WrittenFile) -> None:
        """Make what only the store has of *file* readable again.

        Raises:
            OSError: ESTALE, it is gone.
            StoreError: as `end_stream`.
        """
        if file.stream is None:
            raise OSError(errno.ESTALE, "what was written is gone")
        await self.end_stream(file)

    async def wait_for_source(
        self,
        file: WrittenFile,
        source: tuple[ObjectId | None, Pending | None],
        error: Exception,
    ) -> None:
        """Return when *file* has another base than *source*, which has gone: ours has replaced it.

        The answer to our own publish, or rename, may still be on its way. The caller holds no lock.

        Raises:
            OSError, StoreError: ESTALE, it was somebody else; or the store does not say.
        """
        async with self._locks.hold(file.node.key):
            pass
        if self.journalling is not None and (file.base, file.stored) == source:
            await self.journalling.settle_doubt(file)
        if file.has_content and (file.base, file.stored) == source:
            raise OSError(errno.ESTALE, "what it was changed on top of is gone") from error

    async def end_stream_locked(self, file: WrittenFile) -> None:
        """Do what `end_stream` does; the caller holds the lock of its key.

        Raises:
            StoreError: likewise.

        Cancellation: shielded; the store's deadlines bound it.
        """
        draft, stream = file.draft, file.stream
        file.is_in_order = False
        if stream is None:
            return
        assert draft is not None, "a stream has a draft"
        with trio.CancelScope(shield=True):
            if stream.error is not None or file.error is not None or not stream.has_dropped:
                file.error = file.error or stream.error
                file.stream = None
                await stream.abort()
                return
            log.info("%r is stored before it is closed: what was sent is needed", file.node.key)
            draft.freeze()
            try:
                expected_etag = self._expected_etag(file)
                info = await stream.complete_prefix(expected_etag)
                draft.rebase(stream.sent_to)
            except Exception as error:
                file.error = error
                file.stream = None
                raise
            finally:
                draft.thaw()
        self._note_published(file, info, file.generation, None)

    def pin(self, file: WrittenFile) -> None:
        """Keep the name of *file* from being told otherwise by the store."""
        if not file.is_pinned and not file.is_unlinked:
            file.is_pinned = True
            file.dirty_since = trio.current_time()
            self._changes.pin(file.node.parent, file.node.name)

    def unpin(self, file: WrittenFile) -> None:
        """Take `pin` back."""
        if file.is_pinned:
            file.is_pinned = False
            self._changes.unpin(file.node.parent, file.node.name)

    async def give_up(self, file: WrittenFile) -> None:
        """Do what `discard` does; the caller does not hold the lock of the key."""
        if self.journalling is not None:
            self.journalling.interrupt(file.node)
        while True:
            key = file.node.key
            async with self._locks.hold(key):
                if file.node.key == key:
                    self.discard(file)
                    return

    def discard(self, file: WrittenFile) -> None:
        """Let the name show again what was stored before; what was written since is given up.

        The caller holds the lock of the key.
        """
        node = file.node
        is_shown = not file.is_unlinked and not node.is_detached
        if is_shown:
            self._changes.remove(node)
        file.is_unlinked = True
        self.unpin(file)
        if is_shown and self.journalling is not None:
            self.journalling.hand_over(file)

    async def _run_end_stream(self, file: WrittenFile, ending: Commit) -> None:
        ending.error = StoreUnavailableError("the mount is being closed")
        try:
            while True:
                key = file.node.key
                async with self._locks.hold(key):
                    if file.node.key == key:
                        await self.end_stream_locked(file)
                        break
            ending.error = None
        except (StoreError, OSError) as error:
            ending.error = error
        except Exception as error:  # a bug must not end the mount
            log.exception("the upload of %r could not be ended", file.node.key)
            ending.error = file.error = OSError(errno.EIO, f"internal error: {error!r}")
        finally:
            file.ending = None
            ending.is_over.set()

    async def _run(self, file: WrittenFile, commit: Commit) -> None:
        commit.error = StoreUnavailableError("the mount is being closed")
        try:
            if self.journalling is not None:
                await self.journalling.save(file)
            else:
                await self._publish(file)
            commit.error = None
        except (StoreError, OSError) as error:
            commit.error = file.error = error
            log.error("%r could not be stored: %s", file.node.key, error)
        except Exception as error:  # a bug must not end the mount
            log.exception("%r could not be stored", file.node.key)
            commit.error = file.error = OSError(errno.EIO, f"internal error: {error!r}")
        finally:
            if file.error is not None and not file.handle_count:  # nobody else is told
                self.lost_count += 1
            file.commit = None
            commit.is_over.set()
        await self._give_back_space(file)

    async def _give_back_space(self, file: WrittenFile) -> None:
        """Let the disk have back what was published; nobody waits for it."""
        draft = file.draft
        if draft is not None and not file.is_dirty:
            try:
                await draft.give_back_space()
            except Exception as error:  # it is given back when the file is closed
                log.info("%r: the disk space cannot be given back: %s", file.node.key, error)
        if file.node.size_bytes >= LARGE_BYTES:
            await trio.to_thread.run_sync(give_back_freed_memory)

    async def _publish(self, file: WrittenFile) -> None:
        node = file.node
        await self.versions.learn_headers(node)
        while True:
            key = node.key
            async with self._locks.hold(key):
                if file.is_unlinked:
                    return
                if node.key != key:  # renamed while we waited
                    continue
                raise_again(file.error)  # of a stream that was ended meanwhile
                await self.publish_locked(file, key)
                return

    async def publish_locked(self, file: WrittenFile, key: str) -> None:
        """Make *file* the object *key*, whose lock the caller holds.

        Raises:
            PreconditionFailedError: somebody else has changed the object, and that is not to be
                overwritten; what was written here is under another name then, see the log.
            StoreError, OSError: it is not there.
        """
        draft = file.draft
        assert draft is not None, "what is dirty has a draft"
        assert file.stream is None or file.stream.key == key, "a stream ends under its own key"
        draft.freeze()
        try:
            generation = draft.generation
            headers = headers_for_content(file.node.name, saved_attributes(file.node))
            expected_etag = self._expected_etag(file)
            file.is_attributed = file.is_attributed and file.stream is not None
            if file.stream is not None:
                info = await self._publisher.finish(file.stream, expected_etag)
            else:
                edition = Edition(
                    key=key, headers=headers, base=file.base, expected_etag=expected_etag
                )
                info = await self._publisher.publish(draft, edition)
            draft.rebase(info.size_bytes)
        except ObjectNotFoundError as error:  # the bucket, by a store that does not say so
            raise OSError(errno.EIO, f"the store finds nothing to write to: {error}") from error
        except PreconditionFailedError:
            if expected_etag is not None and draft.is_local:
                await self._keep_beside(draft, key, headers)
            elif expected_etag is not None:
                log.error("%r was changed by somebody else, and the rest of ours with it", key)
            raise
        finally:
            draft.thaw()
        self._note_published(file, info, generation, headers)
        if file.is_attributed and self._is_posix:
            # The headers of a stream went with its beginning.
            await self.versions.rewrite_locked(file.node)
        self.unpin(file)

    async def _keep_beside(self, draft: Draft, key: str, headers: ObjectHeaders) -> None:
        """Store what must not replace *key* beside it."""

        async def publish(beside: str) -> ObjectInfo:
            edition = Edition(key=beside, headers=headers, expected_etag="")
            return await self._publisher.publish(draft, edition)

        info = await publish_beside(key, publish)
        log.error("%r was changed by somebody else; what was written here is %r", key, info.key)

    def _note_published(
        self, file: WrittenFile, info: ObjectInfo, generation: int, headers: ObjectHeaders | None
    ) -> None:
        """Let the tree show *info*; nothing is awaited between the answer and this."""
        node = file.node
        file.note_published(info, generation)
        if headers is not None:
            node.extra = extra_of(node).overlaid(NodeAttributes(headers=headers))
            file.headers_to_keep = None
        self.versions.note_version(node, info)
        node.is_served = True

    def _expected_etag(self, file: WrittenFile) -> str | None:
        if file.is_exclusive:
            return ""
        return file.expected_etag if self._config.conflict == "fail" else None
