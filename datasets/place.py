"""The pieces of which a source consists: a path, a prefix, a list of files."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.datasets.entry import Entry
from mountfs.datasets.paths import NotMountedError, local_path
from mountfs.datasets.pattern import expand_braces, has_braces, has_wildcard, match_files
from mountfs.datasets.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.datasets.listing import Listing


@dataclass(frozen=True, slots=True)
class Place:
    """What is usually meant by a path: see ``Source.of``."""

    spec: str

    def entries(self) -> Iterator[Entry]:
        """Yield what is there now.

        What exists under exactly this name is meant, whatever characters it consists of.

        Raises:
            FileNotFoundError: Nothing matches.
        """
        try:
            path = local_path(self.spec)
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError, NotMountedError):
            yield from self._absent()
            return
        if stat.S_ISDIR(mode):
            yield from map(Entry, walk(path))
        else:
            yield Entry(path)

    def _absent(self) -> Iterator[Entry]:
        if has_braces(self.spec):
            for spec in expand_braces(self.spec):
                yield from Place(spec).entries()
            return
        path = local_path(self.spec)
        if not has_wildcard(path):
            yield from Prefix(self.spec).entries()
            return
        is_empty = True
        for matched in match_files(path):
            is_empty = False
            yield Entry(matched)
        if is_empty:
            raise FileNotFoundError(errno.ENOENT, "no file matches the pattern", self.spec)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Everything whose path starts with some characters."""

    prefix: str

    def entries(self) -> Iterator[Entry]:
        """Yield what is there now.

        Raises:
            FileNotFoundError: Nothing starts so.
        """
        path = local_path(self.prefix)
        scheme, _, rest = self.prefix.partition("://")
        is_whole_bucket = scheme == "s3" and "/" not in rest
        if (is_whole_bucket or self.prefix.endswith("/")) and not path.endswith("/"):
            path += "/"
        directory, stem = os.path.split(path)
        is_empty = True
        start = os.fsencode(stem)
        try:
            for found in walk(directory, lambda name: name.startswith(start)):
                is_empty = False
                yield Entry(found)
        except (FileNotFoundError, NotADirectoryError):
            if not is_empty:
                raise  # something was deleted while it was listed
        if is_empty and (stem or not os.path.isdir(directory or ".")):
            raise FileNotFoundError(errno.ENOENT, "no file starts with this prefix", self.prefix)


@dataclass(frozen=True, slots=True)
class Objects:
    """Exactly these files."""

    listing: Listing

    def entries(self) -> Iterator[Entry]:
        """Yield them, without asking whether they exist."""
        for entry in self.listing:
            yield Entry(local_path(entry.path), entry.label)
