"""rename of a directory: all of its keys are copied, many at a time, then all old ones deleted.

Nothing is deleted before every copy is there. So whatever fails, nothing is lost: the old name is
whole, and the rename can be repeated.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import trio

from mountfs.errors import StoreError
from mountfs.keys import KEY_MAX_BYTES, sort_key
from mountfs.meta.subtree import SubtreeTooLargeError
from mountfs.objects import ObjectId, ObjectInfo
from mountfs.vfs.written_file import note_stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mountfs.meta.node import Directory, File, Node
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.movable import Movable
    from mountfs.vfs.naming import Naming

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 10.0
"""For the copies of a rename that has failed; the store may be away."""

COPIES_IN_FLIGHT = 64
"""Of one directory; the store works on them, not we."""


class Copied(NamedTuple):
    """A copy that the store has made.

    Attributes:
        source: what was copied.
        info: the copy.
    """

    source: ObjectInfo
    info: ObjectInfo


class DirectoryRenaming:
    """Moves directories.

    Args:
        bucket: where.
        committer: knows versions.
        movable: ends what is under way below them.
        naming: keeps what becomes empty.
    """

    def __init__(
        self, bucket: Bucket, committer: Committer, movable: Movable, naming: Naming
    ) -> None:
        self._bucket = bucket
        self._committer = committer
        self._movable = movable
        self._naming = naming
        self._leftovers: dict[tuple[str, str], dict[str, set[str]]] = {}
        """What renames that have failed may have left, by the old and the new prefix: ETags by key.
        Those of what was to be copied, too: a copy whose answer is lost mostly has the same."""

    async def rename(
        self, node: Directory, new_parent: Directory, new_name: bytes, target: Directory | None
    ) -> None:
        """Let *node* be *new_name* in *new_parent*, in place of the empty *target*.

        Raises:
            OSError: ENOENT, ENOTEMPTY, ENAMETOOLONG; EXDEV for too many objects; as
                `Movable.prepare`.
            StoreError: the store could not do it.
        """
        while True:
            old_prefix = node.prefix
            new_prefix = self._bucket.check_name(new_parent, new_name, is_directory=True)
            await self._movable.prepare(self._movable.written_below(old_prefix))
            async with self._bucket.locks.hold(prefixes=(old_prefix, new_prefix)):
                if node.is_detached or new_parent.is_detached:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                now = self._bucket.check_name(new_parent, new_name, is_directory=True)
                below = self._movable.written_below(old_prefix)
                is_ready = all(self._movable.is_ready(file) for file in below)
                if node.prefix == old_prefix and now == new_prefix and is_ready:
                    await self._rename_locked(node, new_parent, new_name, target)
                    return

    async def _rename_locked(
        self, node: Directory, new_parent: Directory, new_name: bytes, target: Directory | None
    ) -> None:
        bucket = self._bucket
        old_prefix, old_parent = node.prefix, node.parent
        old_name, old_key = node.name, node.entry_key
        new_prefix = bucket.check_name(new_parent, new_name, is_directory=True)
        new_key = new_name + b"/"
        objects = None if target is None else await self._check_target(target, node)
        has_leftovers = objects is not None
        if objects is None:
            objects = await self._list(node)
        keys = [info.key for info in objects]
        keys += [file.key for file in self._movable.written_below(old_prefix)]
        _check_lengths(keys, old_prefix, new_prefix)
        bucket.changes.pin(old_parent, old_key)
        bucket.changes.pin(new_parent, new_key)
        try:
            copied = await self._copy_all(objects, old_prefix, new_prefix, target)
            if has_leftovers and self._movable.written_below(new_prefix):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            # From the first delete on there is no way back.
            with trio.CancelScope(shield=True):
                await self._move_in_journal(old_prefix, new_prefix, copied)
                # Before the deletes: who lists the old name meanwhile must empty nothing.
                for replaced in _bottom_up(target) if target is not None else ():
                    bucket.changes.remove(replaced)
                bucket.changes.move(node, new_parent, new_name, mtime_ns=time.time_ns())
                if target is not None and not node.has_marker:
                    node.has_marker = None  # that of the target has become its own
                self._note_copied(node, copied)
                failed = await bucket.store.delete_many([info.key for info in objects])
                if failed:
                    await self._move_back(node, old_parent, old_name, objects, failed)
                    raise next(iter(failed.values()))
                self._leftovers.pop((old_prefix, new_prefix), None)
                await self._naming.keep_directory(old_parent)
        finally:
            bucket.changes.unpin(old_parent, old_key)
            bucket.changes.unpin(new_parent, new_key)

    async def _check_target(self, target: Directory, source: Directory) -> list[ObjectInfo] | None:
        """Refuse a *target* that has anything but copies that we left; nothing changes there.

        Copies of *source*, as it is or was: of what was deleted there already the copy is the only
        one, and nothing else may take its place.

        Returns: what there is of *source*, if that had to be asked.

        Raises:
            OSError: ENOTEMPTY.
            StoreError: the store could not be asked.
        """
        if not await self._bucket.namespace.has_children(target) and target.is_empty:
            return None
        left = self._leftovers.get((source.prefix, target.prefix), {})
        found = await self._list(target) if left else []
        found = [info for info in found if info.key != target.prefix]  # its own marker
        is_ours = bool(found) and all(info.etag in left.get(info.key, ()) for info in found)
        found_keys = {info.key for info in found}
        objects = await self._list(source) if is_ours else []
        for info in objects:
            new_key = target.prefix + info.key[len(source.prefix) :]
            if new_key in found_keys and info.etag not in left.get(new_key, ()):
                is_ours = False
        if not is_ours or self._movable.written_below(target.prefix):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        return objects

    async def _list(self, node: Directory) -> list[ObjectInfo]:
        limit = self._bucket.config.rename_dir_limit
        try:
            return await self._bucket.namespace.list_subtree(node, limit=limit)
        except SubtreeTooLargeError as error:
            log.warning("rename of %r refused: %s; see --rename-dir-limit", node.prefix, error)
            raise OSError(errno.EXDEV, f"more than {limit} objects") from error

    async def _copy_all(
        self,
        objects: list[ObjectInfo],
        old_prefix: str,
        new_prefix: str,
        target: Directory | None,
    ) -> dict[str, Copied]:
        """Copy *objects*, several at a time; return the copies by their keys.

        Raises:
            StoreError: of the first that could not be copied. The copies are removed where there
                was no *target*, as far as the store lets us; those that stay a rename that is
                repeated replaces.
        """
        copied: dict[str, Copied] = {}
        is_first = (old_prefix, new_prefix) not in self._leftovers
        left = self._leftovers.setdefault((old_prefix, new_prefix), {})
        unanswered: set[str] = set()
        errors: list[StoreError] = []
        rest = iter(objects)

        async def copy_some() -> None:
            for source in rest:
                if errors:
                    return
                new_key = new_prefix + source.key[len(old_prefix) :]
                unanswered.add(new_key)
                try:
                    info = await self._copy(source, new_key, left.setdefault(new_key, set()))
                except StoreError as error:
                    errors.append(error)
                    if not error.leaves_doubt:
                        unanswered.discard(new_key)
                else:
                    unanswered.discard(new_key)
                    copied[new_key] = Copied(source, info)

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(min(COPIES_IN_FLIGHT, len(objects))):
                    nursery.start_soon(copy_some)
            if errors:
                raise errors[0]
        except BaseException:
            if target is None:
                # What stays does not stand in the way of the next attempt.
                with trio.move_on_after(CLEAN_UP_SECONDS, shield=True):
                    failed = await self._bucket.store.delete_many(copied)
                    if is_first and not failed and not unanswered:
                        del self._leftovers[old_prefix, new_prefix]
            raise
        return copied

    async def _copy(self, source: ObjectInfo, new_key: str, noted: set[str]) -> ObjectInfo:
        """Copy an object; add to *noted* the ETags of what may be at the new key then.

        Raises:
            StoreError: it could not be copied, or there was no answer.
        """
        version = ObjectId(source.key, source.etag)
        is_noted = source.etag in noted
        noted.add(source.etag)
        try:
            info = await self._bucket.publisher.copy(version, source.size_bytes, new_key, None)
        except StoreError as error:
            if not (is_noted or error.leaves_doubt):
                noted.discard(source.etag)
            raise
        noted.add(info.etag)
        return info

    async def _move_in_journal(
        self, old_prefix: str, new_prefix: str, copied: dict[str, Copied]
    ) -> None:
        """Let the journal have under the new keys what it has below the directory.

        Raises:
            OSError: it did not take it; what it had taken is as before.
        """
        moved: list[File] = []
        try:
            for node in self._movable.written_below(old_prefix):
                new_key = new_prefix + node.key[len(old_prefix) :]
                etag = copied[new_key].info.etag if new_key in copied else ""
                if await self._movable.move_in_journal(node, new_key, etag):
                    moved.append(node)
        except OSError:
            for node in moved:
                await self._movable.move_in_journal(node, node.key, node.etag)
            raise

    async def _move_back(
        self,
        node: Directory,
        old_parent: Directory,
        old_name: bytes,
        objects: list[ObjectInfo],
        failed: Collection[str],
    ) -> None:
        """Show *node* under its old name, where *failed* of *objects* are still.

        All of them are at the new place. Repeating the rename helps.
        """
        new_prefix = node.prefix
        self._bucket.changes.move(node, old_parent, old_name)
        log.warning(
            "%d objects below %r were copied to %r and could not be deleted",
            len(failed), node.prefix, new_prefix,
        )  # fmt: skip
        for file in _files_below(node):
            self._bucket.namespace.note_stale(file)
        left = {info.key: info.etag for info in objects if info.key in failed}
        for file in self._movable.written_below(node.prefix):
            etag = left.get(file.key, "")
            note_stored(file, etag)
            await self._movable.move_in_journal(file, file.key, etag)

    def _note_copied(self, top: Directory, copied: dict[str, Copied]) -> None:
        """Let all files below *top* be the versions that the copies are.

        A file of which somebody else's version was copied is looked up again; a draft on top of it
        keeps its base, which is gone.
        """
        for node in _files_below(top):
            copy = copied.get(node.key)
            if copy is None:
                continue
            if copy.source.etag == node.etag:
                self._committer.versions.note_version(node, copy.info)
            else:
                self._bucket.namespace.note_stale(node)


def _bottom_up(top: Directory) -> list[Node]:
    """Return everything below *top*, the content of each directory ahead of it."""
    found: list[Node] = []
    pending = [top]
    while pending:
        directory = pending.pop()
        found += [*directory.subdirectories.values(), *directory.files.values()]
        pending.extend(directory.subdirectories.values())
    return found[::-1]


def _files_below(top: Directory) -> Iterator[File]:
    pending = [top]
    while pending:
        directory = pending.pop()
        pending.extend(directory.subdirectories.values())
        yield from list(directory.files.values())


def _check_lengths(keys: Iterable[str], old_prefix: str, new_prefix: str) -> None:
    """Refuse before the first copy what the last one, or a later publish, would fail with."""
    more = len(sort_key(new_prefix)) - len(sort_key(old_prefix))
    for key in keys if more > 0 else ():
        if len(sort_key(key)) + more > KEY_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"{key!r} would have too long a key")
