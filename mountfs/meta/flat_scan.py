"""Turning flat pages (keys without a delimiter) into what directories hold.

A flat LIST passes through a tree depth first, in the order of the keys. The scan keeps the chain of
directories that the last key lies in, its *levels*. A directory is complete when a key behind it
was seen; the ones on the chain are known up to the last key.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from mountfs.keys import encode_name, is_presentable
from mountfs.meta.answer import Answer, add_subdirectory, apply_answer
from mountfs.meta.coverage import END
from mountfs.meta.position import after_directory, after_file, start_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.fetch import SentPage
    from mountfs.meta.hidden_keys import HiddenKeys
    from mountfs.meta.node import Directory
    from mountfs.objects import ObjectInfo


class _Level:
    """One directory of the chain: what was found in it and not yet applied."""

    __slots__ = (
        "count", "directory", "has_marker", "hides", "infos", "is_root", "keys", "prefix", "start"
    )  # fmt: skip

    def __init__(self, directory: Directory, start: bytes) -> None:
        self.directory = directory
        self.is_root = directory.is_root
        self.prefix = directory.prefix  # as long as the scan is in it; the directory may be moved
        self.start = start
        self.has_marker: bool | None = None if start else False
        self.keys: list[bytes] = []
        self.infos: list[ObjectInfo | None] = []
        self.hides = False
        self.count = 0


class CompletedDirectory(NamedTuple):
    """A directory that a page has completed.

    Attributes:
        directory: all of it is known.
        keys: how many keys there are below it, in all depths.
    """

    directory: Directory
    keys: int


class FlatScan:
    """Reads flat pages below *base*, beginning at its subdirectory *first*.

    Attributes:
        base: the directory whose prefix is listed.
        last_key: where the next page begins (exclusive).
        child: the subdirectory of *base* that the last key lies in; empty at the beginning, and END
            when everything below *base* was seen.
        child_keys: how many keys of it were seen.
        is_deep: a subdirectory of *child* was seen.
    """

    def __init__(
        self, base: Directory, first: bytes, *, numbers: Iterator[int], hidden: HiddenKeys
    ) -> None:
        self.base = base
        position = first + b"/"
        self.last_key = base.prefix + start_after(position)
        self.child = first
        self.is_deep = False
        self._numbers = numbers
        self._hidden = hidden
        self._levels = [_Level(base, position)]

    @property
    def child_keys(self) -> int:
        """How many keys of *child* were seen."""
        return sum(level.count for level in self._levels[1:])

    def is_void(self) -> bool:
        """Tell whether the base was moved: its keys are not those that were asked for."""
        return self._levels[0].prefix != self.base.prefix

    @property
    def depth(self) -> int:
        """How many directories the chain has, the base included."""
        return len(self._levels)

    @property
    def deepest(self) -> Directory:
        """The directory that the last key lies in."""
        return self._levels[-1].directory

    def goes_through(self, directory: Directory) -> bool:
        """Tell whether the last key lies in *directory*, in any depth below the base."""
        return any(level.directory is directory for level in self._levels[1:])

    def rebase(self, base: Directory) -> None:
        """Go on below *base* only, which must be on the chain and not its end."""
        index = next(i for i, level in enumerate(self._levels) if level.directory is base)
        del self._levels[:index]
        self.base = base
        self.child = self._levels[1].directory.name
        self.is_deep = self.depth > 2

    def read(self, sent: SentPage, stop: bytes) -> list[CompletedDirectory]:
        """Apply a page to all directories that it touches; return the completed ones.

        The base must not have been moved since the page was asked for (`is_void`).

        Args:
            sent: the page behind `last_key`.
            stop: an entry key of the base (exclusive): what is behind belongs to another scan.
        """
        completed: list[CompletedDirectory] = []
        self._leave_moved()
        level = self._levels[-1]
        prefix = level.prefix
        skip = len(prefix)
        for info in sent.page.objects:
            key = info.key
            if key.startswith(prefix) and "/" not in (part := key[skip:]):
                name = part.encode("utf-8", "surrogateescape")
                if is_presentable(name, is_in_root=level.is_root):
                    level.keys.append(name)
                    level.infos.append(info)
                elif part:
                    self._hide(level, key)
                else:
                    level.has_marker = True
                level.count += 1
                continue
            self._leave_until(key, sent, completed)
            if len(self._levels) == 1:
                relative = encode_name(key[len(self.base.prefix) :])
                if relative < self._levels[0].start:
                    continue  # listed from a little too early on
                if relative >= stop:
                    self._end(sent, stop, completed)
                    return completed
            self._enter(key, info, sent)
            level = self._levels[-1]
            prefix = level.prefix
            skip = len(prefix)
        if not sent.page.next_token:
            self._end(sent, END, completed)
        else:
            self.last_key = sent.page.objects[-1].key
            self._flush(sent)
        return completed

    def _leave_moved(self) -> None:
        """Give up the directories of the chain that are somewhere else by now: they were told so.

        The keys that are still found under the old prefix are of nobody's interest.
        """
        for index, level in enumerate(self._levels):
            if level.prefix != level.directory.prefix:
                assert index, "a scan whose base was moved is void"
                del self._levels[index:]
                return

    def _leave_until(self, key: str, sent: SentPage, completed: list[CompletedDirectory]) -> None:
        """Complete the directories of the chain that *key* does not lie in; the base stays."""
        levels = self._levels
        while len(levels) > 1 and not key.startswith(levels[-1].prefix):
            level = levels.pop()
            self._apply(level, END, sent)
            levels[-1].count += level.count
            completed.append(CompletedDirectory(level.directory, level.count))

    def _enter(self, key: str, info: ObjectInfo, sent: SentPage) -> None:
        """Add the object at *key*, and to the chain the directories that lead to it."""
        level = self._levels[-1]
        *parts, last = key[len(level.prefix) :].split("/")
        for part in parts:
            name = encode_name(part)
            if not is_presentable(name, is_in_root=level.is_root):
                self._hide(level, key)
                return
            child = self._subdirectory(level, name, sent)
            if child is None:
                return
            level.keys.append(name + b"/")
            level.infos.append(None)
            if len(self._levels) == 1:
                self.child = name
                self.is_deep = False
            else:
                self.is_deep = True
            level = _Level(child, b"")
            self._levels.append(level)
        level.count += 1
        name = encode_name(last)
        if is_presentable(name, is_in_root=level.is_root):
            level.keys.append(name)
            level.infos.append(info)
        elif name:
            self._hide(level, key)
        else:
            level.has_marker = True

    def _hide(self, level: _Level, key: str) -> None:
        level.hides = True
        self._hidden.add(key)

    def _subdirectory(self, level: _Level, name: bytes, sent: SentPage) -> Directory | None:
        """Return the node of a subdirectory; None if it is known to have gone since."""
        parent, key = level.directory, name + b"/"
        if key < level.start:  # an earlier page was not believed, and has said so of all of it
            return None
        child = parent.subdirectories.get(name)
        if child is None:
            known = parent.coverage.find(key)
            if known is not None and known.sequence > sent.sequence:
                return None
            if parent.generation > sent.sequence or parent.is_detached:
                return None
            if parent.is_held(key, sent.sequence):
                return None
            child = add_subdirectory(parent, name, sent.sent_at, next(self._numbers))
        return child

    def _flush(self, sent: SentPage) -> None:
        """Apply what is known of the directories on the chain, up to `last_key`."""
        levels = self._levels
        for level, below in itertools.pairwise(levels):
            self._apply(level, after_directory(below.directory.name), sent)
        deepest = levels[-1]
        relative = self.last_key[len(deepest.prefix) :]
        name, slash, _ = relative.partition("/")  # a slash: below what is hidden, or is gone
        place = after_directory if slash else after_file
        self._apply(deepest, place(encode_name(name)), sent)

    def _end(self, sent: SentPage, stop: bytes, completed: list[CompletedDirectory]) -> None:
        """Apply everything: no key before *stop* is left."""
        self._leave_until(self._levels[0].prefix, sent, completed)
        self._apply(self._levels[0], stop, sent)
        self.child = END

    def _apply(self, level: _Level, stop: bytes, sent: SentPage) -> None:
        if level.start < stop:
            answer = Answer(
                start=level.start,
                stop=stop,
                sent_at=sent.sent_at,
                sequence=sent.sequence,
                keys=level.keys,
                infos=level.infos,
                has_marker=level.has_marker,
                hides=level.hides,
            )
            apply_answer(level.directory, answer, self._numbers)
            level.start = stop
            level.has_marker = None
            level.hides = False
            level.keys, level.infos = [], []
