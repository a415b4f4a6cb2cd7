"""``--write-back``: a close is over when the journal has the file; the store gets it later.

What the journal has is read from there until it is in the store. Whoever removes or renames such a
file holds the lock of its key, and so does an upload from before its first request to after its
last: under the lock, nothing of it is on its way.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from mountfs.data.conflict import publish_beside
from mountfs.data.generation import Generation
from mountfs.data.journal import INLINE_BYTES
from mountfs.data.own_content import is_own_content
from mountfs.data.pending import SupersededError
from mountfs.data.publisher import Edition
from mountfs.errors import ObjectNotFoundError, PreconditionFailedError, StoreError
from mountfs.objects import ObjectId
from mountfs.vfs.committing import GONE
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.showing import extra_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.pending import Pending
    from mountfs.data.write_back import WriteBack
    from mountfs.meta.node import File
    from mountfs.objects import ObjectHeaders, ObjectInfo
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.retiring import Retiring
    from mountfs.vfs.writing import Writing
    from mountfs.vfs.written_file import WrittenFile

log = logging.getLogger(__name__)

HEADERS_SECONDS = 1.0
"""How long a close waits for what the store keeps with the object that it overwrites. After a crash
only what was known by then is kept."""

OUTCOME_SECONDS = 10.0
"""The kernel holds the directory meanwhile, so nobody else can do anything in it."""


class Journalling:
    """Puts written files into the journal, and into the store from there.

    `attach` follows the construction: the write-back calls `publish`, and is called by the rest.

    Args:
        bucket: where to publish.
        committer: knows what a publish does to the tree.
        writing: fetches what a draft lacks.
        retiring: gives back what is not needed any more.
    """

    def __init__(
        self, bucket: Bucket, committer: Committer, writing: Writing, retiring: Retiring
    ) -> None:
        self._bucket = bucket
        self._committer = committer
        self._writing = writing
        self._retiring = retiring
        self._write_back: WriteBack | None = None
        self._files: dict[int, WrittenFile] = {}

    def attach(self, write_back: WriteBack) -> None:
        """Use *write_back* from now on."""
        self._write_back = write_back

    @property
    def write_back(self) -> WriteBack:
        """What uploads in the background."""
        assert self._write_back is not None, "attach() comes first"
        return self._write_back

    async def save(self, file: WrittenFile) -> None:
        """Make durable here what *file* holds; `Committer` calls this, one at a time for a file.

        A draft that lacks much of its base is published instead: the store can put it together
        without moving what is there already.

        Raises:
            OSError: the staging directory is full or broken.
            StoreError: what is needed of the base could not be fetched.
        """
        node = file.node
        # The publish asks again. A close needs the disk only: the store may be away.
        with trio.move_on_after(HEADERS_SECONDS), contextlib.suppress(StoreError):
            await self._committer.versions.learn_headers(node)
        with trio.move_on_after(HEADERS_SECONDS), contextlib.suppress(StoreError, OSError):
            # Whole in the journal it can be published whatever becomes of its base. Of a large one
            # the store copies the rest; a small one is fetched for the upload anyway.
            if self._is_small_change(file):
                await self._writing.localize(file)
        while True:
            key = node.key
            if file.draft is not None and file.stored is not None and not file.draft.is_local:
                source = file.base, file.stored
                try:
                    await self._writing.localize(file)
                except GONE as error:
                    await self._committer.wait_for_source(file, source, error)
                    continue
            async with self._bucket.locks.hold(key):
                if file.is_unlinked:
                    return
                if node.key != key:
                    continue
                if await self._save_locked(file, key):
                    return

    def _is_small_change(self, file: WrittenFile) -> bool:
        return (
            file.draft is not None
            and file.base is not None
            and 0 < file.draft.base_bytes < self._bucket.store.min_part_bytes
            and not file.draft.is_local
        )

    async def _save_locked(self, file: WrittenFile, key: str) -> bool:
        draft = file.draft
        assert draft is not None, "what is dirty has a draft"
        extents = tuple(draft.extents())
        extent_bytes = sum(stop - start for start, stop in extents)
        if not draft.is_local:
            if file.stored is not None:
                return False  # written to since it was made local
            if extent_bytes > INLINE_BYTES or file.base is None:
                await self._committer.publish_locked(file, key)
                return True
        draft.freeze()
        try:
            number_before = draft.generation
            is_based = not draft.is_local
            generation = Generation(
                key=key,
                size_bytes=draft.size_bytes,
                headers=headers_for_content(file.node.name, saved_attributes(file.node)),
                extents=extents,
                expected_etag=file.expected_etag,
                base=file.base if is_based else None,
                base_bytes=draft.base_bytes if is_based else 0,
            )
            if extent_bytes <= INLINE_BYTES:
                read_base = self._committer.versions.base_reader(file)
                body = [
                    piece
                    for start, stop in extents
                    for piece in await draft.collect(start, stop, read_base)
                ]
                pending = await self.write_back.commit(generation, body=body)
            else:
                staged = await draft.persist()
                pending = await self.write_back.commit(generation, file=staged)
            draft.rebase(generation.size_bytes)
        finally:
            draft.thaw()
        # No await from here on: reads find it in the journal from now on.
        if file.stored is not None:
            self._files.pop(file.stored.number, None)
        file.stored = pending
        file.base = None
        file.generation = number_before
        file.is_in_order = False
        self._files[pending.number] = file
        return True

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
                if pending.number not in self._files:
                    raise SupersededError(f"{key!r} has a younger generation, or was removed")
                await note(await self._publish_locked(pending, key))
                return

    async def _publish_locked(self, pending: Pending, key: str) -> ObjectInfo:
        generation = pending.draft.generation
        file = self._files[pending.number]
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
            found = await self._find_landed(pending, key)
            if found is None:
                if expected_etag is None:
                    raise
                return await self._keep_both(pending, edition, file)
            info = found
        self._note_published(file, pending, info, headers)
        return await self._save_late_attributes(file, info)

    async def _find_landed(self, pending: Pending, key: str) -> ObjectInfo | None:
        """Return the object that an earlier attempt has made, whose answer was lost."""
        if not pending.may_have_landed:
            return None
        try:
            found = await self._bucket.store.head(key)
        except ObjectNotFoundError:
            return None
        is_own = await is_own_content(self._bucket.store, pending.draft, found)
        return found if is_own else None

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
        del self._files[pending.number]
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
        del self._files[pending.number]
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

    # -- names

    def interrupt(self, node: File) -> None:
        """Let an upload of *node* give up the lock of its key, if it only sends parts yet.

        For who is about to wait for that lock: the upload is made again after a while.
        """
        file = self._committer.files.get(node.number)
        if file is not None and file.stored is not None:
            file.stored.interrupt()

    async def settle_outcome(self, node: File) -> None:
        """Wait until it is known what of *node* the store has; the caller holds no lock.

        Raises:
            OSError: EBUSY, that takes longer than a name should be held up by it.
            StoreError: the store refuses it, so that it is not known.
        """
        file = self._committer.files.get(node.number)
        with trio.move_on_after(OUTCOME_SECONDS):
            while file is not None and not self.is_movable(node):
                assert file.stored is not None, "only what is stored may have to be waited for"
                await self.write_back.wait_for(file.stored.number)
        if not self.is_movable(node):
            raise OSError(errno.EBUSY, "the store does not tell whether it has it")

    def is_movable(self, node: File) -> bool:
        """Tell whether what the journal has of *node* can get another key without an upload."""
        file = self._committer.files.get(node.number)
        if file is None or file.stored is None:
            return True
        stored = file.stored
        return not stored.may_have_landed and stored.draft.generation.base is None

    async def move(self, node: File, new_key: str, expected_etag: str) -> bool:
        """Let the journal have *node* under *new_key*; tell whether it has it at all.

        The caller holds the locks of both keys, and `is_movable`.

        Raises:
            OSError: the journal did not take it.
        """
        file = self._committer.files.get(node.number)
        if file is None or file.stored is None:
            return False
        return await self.write_back.rename(file.stored.number, new_key, expected_etag)

    async def hold(self, file: WrittenFile) -> bool:
        """Let nothing of *file* go up until `release` or `withdraw`; tell whether anything has.

        The caller holds the lock of its key.
        """
        return file.stored is not None and await self.write_back.hold(file.stored.number)

    def release(self, file: WrittenFile) -> None:
        """Take `hold` back."""
        if file.stored is not None:
            self.write_back.release(file.stored.number)

    def hand_over(self, file: WrittenFile) -> None:
        """Let the name of *file*, which has failed, show the generation that the journal has.

        *file* has lost the name by now; another inode gets it.
        """
        stored = file.stored
        if stored is None:
            return
        node = self._bucket.changes.create_file(
            file.node.parent, file.node.name, mtime_ns=stored.entry.record.committed_ns
        )
        node.size_bytes = stored.size_bytes
        node.extra = file.node.extra
        successor = self._writing.written(node)
        successor.stored, file.stored = stored, None
        successor.expected_etag = file.expected_etag
        successor.is_exclusive = file.is_exclusive
        self._committer.pin(successor)
        self._files[stored.number] = successor

    async def withdraw(self, file: WrittenFile) -> None:
        """Forget what the journal has of *file*.

        The caller holds the lock of its key.

        Raises:
            OSError: the journal did not take it.
        """
        stored = file.stored
        if stored is None:
            return
        await self.write_back.drop(stored.number)
        self._files.pop(stored.number, None)
        if file.stored is stored:
            file.stored = None
