"""``--write-back``: a close is over when the journal has the file; the store gets it later.

What the journal has is read from there until it is in the store. Whoever removes or renames such a
file holds the lock of its key, and so does an upload from before its first request to after its
last: under the lock, nothing of it is on its way.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from typing import TYPE_CHECKING

import trio

from mountfs.data.generation import Generation
from mountfs.data.journal import INLINE_BYTES
from mountfs.errors import StoreError
from mountfs.vfs.committing import GONE
from mountfs.vfs.showing import headers_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content

if TYPE_CHECKING:
    from mountfs.data.write_back import WriteBack
    from mountfs.meta.node import File
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.journal_uploads import JournalUploads
    from mountfs.vfs.writing import Writing
    from mountfs.vfs.written_file import WrittenFile

log = logging.getLogger(__name__)

HEADERS_SECONDS = 1.0
"""How long a close waits for what the store keeps with the object that it overwrites. After a crash
only what was known by then is kept."""

OUTCOME_SECONDS = 10.0
"""The kernel holds the directory meanwhile, so nobody else can do anything in it."""


class Journalling:
    """Puts written files into the journal, and moves and removes what it has of them.

    Args:
        bucket: whose keys they are.
        committer: knows what is written.
        writing: fetches what a draft lacks.
        uploads: publishes them later.
        write_back: the journal, and when what is published.
    """

    def __init__(
        self,
        bucket: Bucket,
        committer: Committer,
        writing: Writing,
        uploads: JournalUploads,
        write_back: WriteBack,
    ) -> None:
        self.write_back = write_back
        self._bucket = bucket
        self._committer = committer
        self._writing = writing
        self._uploads = uploads

    async def save(self, file: WrittenFile) -> None:
        """Make durable here what *file* holds; `Committer` calls this, one at a time for a file.

        A draft that lacks much of its base is published instead: the store can put it together
        without moving what is there already.

        Raises:
            OSError: the staging directory is full or broken.
            StoreError: what is needed of the base could not be fetched.
        """
        node = file.node
        if headers_of(node) is None:
            # The publish asks again. A close needs the disk only: the store may be away.
            with trio.move_on_after(HEADERS_SECONDS), contextlib.suppress(StoreError):
                await self._committer.versions.learn_headers(node)
        if self._is_small_change(file):
            # Whole in the journal it can be published whatever becomes of its base. Of a large one
            # the store copies the rest; a small one is fetched for the upload anyway.
            with trio.move_on_after(HEADERS_SECONDS), contextlib.suppress(StoreError, OSError):
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
            self._uploads.files.pop(file.stored.number, None)
        file.stored = pending
        file.base = None
        file.generation = number_before
        file.is_in_order = False
        self._uploads.files[pending.number] = file
        return True

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

    async def settle_doubt(self, file: WrittenFile) -> None:
        """If an upload of *file* was not answered, try now again, and see whether it was done.

        The caller holds no lock.

        Raises:
            StoreError: it cannot be found out.
        """
        stored = file.stored
        if stored is not None and stored.may_have_landed:
            await self.write_back.wait_for(stored.number, is_patient=False)

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
        self._uploads.files[stored.number] = successor

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
        self._uploads.files.pop(stored.number, None)
        if file.stored is stored:
            file.stored = None
