"""Changes of the tree that are made here: what was created, removed, renamed and published.

A change shows at once. So that an answer of the store that knows nothing of it yet does not take it
back, the caller *pins* the entry key for as long as the store may say something else (a draft that
is not published, a request in flight). A change of a key that is not pinned holds against all LISTs
that are in flight, and no longer.

Nothing here awaits or sends a request: what the caller checked before still holds.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import trio

from mountfs.meta.answer import MARKER, add_subdirectory
from mountfs.meta.coverage import END, Stretch
from mountfs.meta.node import NEVER, Directory, File
from mountfs.meta.override import Override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.node import Node
    from mountfs.meta.sent_lists import SentLists

_SLASH = ord("/")


class LocalChanges:
    """Changes the tree; the same node keeps its number through all of them.

    Entry keys are ``name`` for a file, ``name/`` for a directory and empty for the marker of the
    directory itself. Whoever pins a file's key pins the whole name: no directory appears above it.

    Args:
        numbers: for new nodes.
        sent: which LISTs are in flight.

    Attributes:
        added_count: names that were added anywhere so far.
    """

    def __init__(self, numbers: Iterator[int], sent: SentLists) -> None:
        self.added_count = 0
        self._numbers = numbers
        self._sent = sent

    # -- pins

    def pin(self, directory: Directory, entry_key: bytes) -> None:
        """Let no answer change *entry_key*, nor the time pass for it, until as many `unpin`."""
        for key in _keys_of_name(entry_key):
            self._override(directory, key).pins += 1

    def unpin(self, directory: Directory, entry_key: bytes) -> None:
        """Take back one `pin`. After the last, LISTs that are sent from now on are believed again.

        What was created, moved or published meanwhile counts as confirmed by the store just now.
        """
        for key in _keys_of_name(entry_key):
            override = (directory.overrides or {}).get(key)
            assert override is not None, f"{key!r} was not pinned in {directory!r}"
            assert override.pins > 0, f"{key!r} was not pinned in {directory!r}"
            override.pins -= 1
            if override.pins:
                continue
            node = _node_at(directory, key)
            if override.is_changed and node is not None and node.fetched_at != NEVER:
                is_published = isinstance(node, Directory) or node.etag != ""
                node.fetched_at = trio.current_time() if is_published else NEVER
            override.is_changed = False
            self._sent.settle(directory, key, override)

    # -- changes

    def create_file(self, parent: Directory, name: bytes, *, mtime_ns: int) -> File:
        """Make an empty file that the store does not know: its ETag is empty.

        Raises:
            FileExistsError: *name* shows something.
            FileNotFoundError: *parent* is gone.
        """
        _check_free(parent, name)
        now = trio.current_time()
        file = File(next(self._numbers), parent, name, 0, mtime_ns, "", now)
        parent.files[name] = file
        self._note_added(parent, name, mtime_ns)
        return file

    def create_directory(self, parent: Directory, name: bytes, *, mtime_ns: int) -> Directory:
        """Make a directory of which is known that there is nothing in it, not even a marker.

        Raises:
            FileExistsError: *name* shows something.
            FileNotFoundError: *parent* is gone.
        """
        _check_free(parent, name)
        now = trio.current_time()
        directory = add_subdirectory(parent, name, now, next(self._numbers))
        sequence = self._sent.next_number()
        directory.coverage.put(Stretch(b"", END, now, sequence, []))
        directory.has_marker = False
        directory.subtree_keys = 0
        directory.mtime_ns = mtime_ns
        self._note_added(parent, directory.entry_key, mtime_ns)
        return directory

    def remove(self, node: Node, *, mtime_ns: int | None = None) -> None:
        """Take *node* out of the tree; whoever holds it may go on to use it.

        Args:
            node: a file, or a directory in which nothing is shown.
            mtime_ns: when; now by default.

        Raises:
            FileNotFoundError: it is gone already.
            OSError: ENOTEMPTY.
        """
        _check_attached(node)
        if isinstance(node, Directory) and not node.is_empty:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        self._take_out(node, mtime_ns)
        if isinstance(node, Directory):
            node.clear()

    def move(
        self, node: Node, new_parent: Directory, new_name: bytes, *, mtime_ns: int | None = None
    ) -> Node | None:
        """Let *node* be *new_name* in *new_parent*, with its number and everything below it.

        What is known of a directory goes with it: the caller has seen to it that the store holds
        under the new prefix what it held under the old one. Answers that were asked for before are
        refused, in every directory that moves.

        Returns:
            What was there before, now detached: a file, or a directory that showed nothing.

        Raises:
            FileNotFoundError: *node* or *new_parent* is gone.
            OSError: EINVAL for a directory into itself; EISDIR, ENOTDIR, ENOTEMPTY as `rename(2)`.
        """
        _check_attached(node)
        _check_attached(new_parent)
        replaced = new_parent.child(new_name)
        if replaced is node:
            return None
        _check_replaceable(node, new_parent, replaced)
        if replaced is not None:
            self.remove(replaced, mtime_ns=mtime_ns)
        self._take_out(node, mtime_ns)
        node.parent, node.name = new_parent, new_name
        if isinstance(node, Directory):
            new_parent.subdirectories[new_name] = node
            _rewrite_prefixes(node, self._sent.next_number())
        else:
            new_parent.files[new_name] = node
        if node.fetched_at != NEVER:
            node.fetched_at = trio.current_time()
        self._note_added(new_parent, node.entry_key, mtime_ns)
        return replaced

    def advance(self, file: File, *, etag: str, size_bytes: int, mtime_ns: int) -> None:
        """Let *file* be the version that was just published; also when it was removed since."""
        file.etag = etag
        file.size_bytes = size_bytes
        file.mtime_ns = mtime_ns
        file.fetched_at = trio.current_time()
        if file.parent.files.get(file.name) is file:
            self._note_changed(file.parent, file.name)

    def note_marker(self, directory: Directory, *, is_there: bool) -> None:
        """Note that the marker of *directory* was put or deleted here."""
        directory.has_marker = is_there
        self._note_changed(directory, MARKER)

    def note_stale(self, node: Node) -> None:
        """Note that the store denied *node*: only a LIST that is sent later makes it fresh.

        It may be denied again, by requests that were under way: a LIST that was sent in between
        knows better, and is not held up.
        """
        if node.fetched_at == NEVER:
            return
        node.fetched_at = NEVER
        if not node.is_detached:
            self._note_changed(node.parent, node.entry_key)

    # -----------------------------------------------------------------------------------------

    def _note_added(self, parent: Directory, key: bytes, mtime_ns: int | None) -> None:
        self.added_count += 1
        parent.coverage.add(key)
        parent.mtime_ns = time.time_ns() if mtime_ns is None else mtime_ns
        parent.listing = None  # may have passed this key; who opens the directory now must see it
        self._note_changed(parent, key)

    def _take_out(self, node: Node, mtime_ns: int | None) -> None:
        parent, key = node.parent, node.entry_key
        if isinstance(node, Directory):
            del parent.subdirectories[node.name]
        else:
            del parent.files[node.name]
        parent.coverage.remove(key)
        parent.mtime_ns = time.time_ns() if mtime_ns is None else mtime_ns
        self._note_changed(parent, key)

    def _note_changed(self, directory: Directory, key: bytes) -> None:
        """Let the LISTs in flight not take back the change that was just made at *key*."""
        override = (directory.overrides or {}).get(key)
        if override is not None and override.pins:
            override.is_changed = True
        elif self._sent.is_any_in_flight:
            self._sent.settle(directory, key, self._override(directory, key))

    def _override(self, directory: Directory, key: bytes) -> Override:
        if directory.overrides is None:
            directory.overrides = {}
        override = directory.overrides.get(key)
        if override is None:
            override = directory.overrides[key] = Override()
        return override


def _keys_of_name(entry_key: bytes) -> tuple[bytes, ...]:
    """Return the entry keys to pin with *entry_key*."""
    if entry_key == MARKER or entry_key[-1] == _SLASH:
        return (entry_key,)
    return entry_key, entry_key + b"/"


def _node_at(directory: Directory, key: bytes) -> Node | None:
    if key[-1:] == b"/":
        return directory.subdirectories.get(key[:-1])
    return directory.files.get(key)


def _check_attached(node: Node) -> None:
    if node.is_detached:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _check_free(parent: Directory, name: bytes) -> None:
    _check_attached(parent)
    if parent.child(name) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _check_replaceable(node: Node, new_parent: Directory, replaced: Node | None) -> None:
    if isinstance(node, Directory) and (node is new_parent or node.is_above(new_parent)):
        raise OSError(errno.EINVAL, "a directory cannot be moved into itself")
    if replaced is None:
        return
    if isinstance(replaced, Directory):
        if not isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not replaced.is_empty:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    elif isinstance(node, Directory):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _rewrite_prefixes(moved: Directory, sequence: int) -> None:
    """Give *moved* and all directories below it the prefixes of their new place."""
    pending = [moved]
    while pending:
        directory = pending.pop()
        directory.take_prefix()
        directory.generation = sequence
        pending.extend(directory.subdirectories.values())
