"""The entries of a directory in the order in which `readdir` hands them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mountfs.meta.coverage import END

if TYPE_CHECKING:
    from mountfs.errors import StoreError
    from mountfs.meta.node import Directory
    from mountfs.ttl import Ttl

_SLASH = ord("/")


class Listing:
    """A snapshot of a directory that grows while its pages arrive.

    Several readers share it. Names are only ever appended, so an index means the same one for as
    long as the listing lives. They are names and not nodes, because what a name shows may change
    meanwhile, and a node may move to another one.

    Attributes:
        directory: what is listed.
        names: the entries so far.
        frontier: the position up to which the directory has been listed.
        created_at: when the listing began; later readers join it while that is fresh.
        sequence: a LIST with a higher number was sent after the listing began.
        error: why it ended early.
        reader_count: streams that are open; without any the listing stops.
        is_driven: a task is fetching pages for it.
    """

    __slots__ = (
        "_changed",
        "_unsettled",
        "created_at",
        "directory",
        "error",
        "frontier",
        "is_driven",
        "names",
        "reader_count",
        "sequence",
    )

    def __init__(self, directory: Directory, created_at: float, sequence: int) -> None:
        self.directory = directory
        self.created_at = created_at
        self.sequence = sequence
        self.names: list[bytes] = []
        self.frontier = b""
        self.error: StoreError | None = None
        self.reader_count = 0
        self.is_driven = False
        self._unsettled: list[bytes] = []
        self._changed: trio.Event | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether all entries are there."""
        return self.frontier == END

    def extend(self, stop: bytes) -> None:
        """Append what the directory knows between the frontier and *stop*.

        A file is held back until the position of a directory of the same name has been passed: the
        directory would shadow it. Between ``a`` and ``a/`` there may be any number of keys
        (``a-1``).
        """
        directory = self.directory
        keys = self._unsettled + directory.coverage.keys_between(self.frontier, stop)
        self._unsettled = []
        files, subdirectories = directory.files, directory.subdirectories
        append = self.names.append
        for key in keys:
            if key[-1] == _SLASH:
                append(subdirectories[key[:-1]].name)
            elif stop.startswith(key) and key + b"/" >= stop:
                self._unsettled.append(key)
            elif key in files and key not in subdirectories:  # may be gone since it was held back
                append(key)
        self.frontier = stop
        self._notify()

    def catch_up(self, ttl: Ttl, now: float) -> bool:
        """Append the stretch behind the frontier if it is known and fresh; tell whether it was."""
        if self.is_complete:
            return False
        stretch = self.directory.coverage.find(self.frontier)
        if stretch is None or not ttl.is_fresh(stretch.sent_at, now):
            return False
        self.extend(stretch.stop)
        return True

    def finish(self) -> None:
        """End the listing with what it holds: the directory is gone."""
        self.frontier = END
        self._notify()

    def fail(self, error: StoreError) -> None:
        """End the listing: all readers that want more get *error*."""
        self.error = error
        self._notify()

    async def wait_for_change(self) -> None:
        """Wait until there are more entries, or the end of the listing, or its failure."""
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
