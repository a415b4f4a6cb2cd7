"""The content of a journal entry, in the form in which a publisher takes a draft.

Nothing of it is in memory: the draft that it was committed from may be given up, and after a crash
there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mountfs.data.generation import Generation
    from mountfs.data.journal import Journal
    from mountfs.data.journal_state import JournalEntry

    ReadBase = Callable[[int, int], Awaitable[Sequence[memoryview]]]


class StoredDraft:
    """The bytes of one generation, on the local disk. They never change.

    Attributes:
        generation: what the object is to become; `key` and `expected_etag` are as committed, before
            any rename.
    """

    __slots__ = ("_entry", "_journal", "generation")

    def __init__(self, journal: Journal, entry: JournalEntry) -> None:
        self.generation: Generation = entry.record.generation
        self._journal = journal
        self._entry = entry

    @property
    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self.generation.size_bytes

    @property
    def base_bytes(self) -> int:
        """Return how much of the base is visible, from 0 on, where nothing was written."""
        return self.generation.base_bytes

    def extents(self) -> list[tuple[int, int]]:
        """Return the ranges that are stored here; the rest is the base's, or zeros behind it."""
        return list(self.generation.extents)

    def bytes_to_load(self, start: int, stop: int) -> int:
        """Return how much memory the result of `collect` takes: all of it comes from elsewhere."""
        return stop - start

    async def collect(self, start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
        """Return the bytes ``[start, stop)``.

        Raises:
            OSError: the disk failed, or these are not the bytes that were written.
            StoreError: whatever *read_base* raises.
        """
        is_file = bool(self._entry.record.file_name)
        pieces: list[memoryview] = []
        position = start
        stored = 0
        for begin, end in self.generation.extents:
            first, last = max(begin, position), min(end, stop)
            if first < last:
                pieces += await self._collect_hole(position, first, read_base)
                offset = 0 if is_file else stored - begin
                data = await self._journal.read(self._entry, first + offset, last + offset)
                pieces.append(memoryview(data))
                position = last
            stored += end - begin
        pieces += await self._collect_hole(position, stop, read_base)
        return pieces

    async def _collect_hole(self, start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
        pieces: list[memoryview] = []
        visible = min(stop, self.base_bytes)
        if start < visible:
            pieces += await read_base(start, visible)
            start = visible
        if start < stop:
            pieces.append(memoryview(bytes(stop - start)))
        return pieces
