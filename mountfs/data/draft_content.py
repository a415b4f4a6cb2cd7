"""What a draft consists of: which bytes of it are where, and those that are in memory.

Synchronous throughout: every method leaves the map, the pieces and the budget in agreement. Knows
nothing of tasks, files and stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.data.draft_piece import DraftPiece, has_views
from mountfs.data.range_map import RangeMap, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mountfs.data.budget import Budget

PIECE_BYTES = 1024 * 1024
"""A piece is at most so long: what the kernel writes at once, so that in-order writes never move
what is there already, and little enough to copy when somebody holds a view of it."""

Spillable = list[tuple[int, DraftPiece, bytearray]]
"""Pieces to be spilled: their index, the piece, and the data that it had then."""


class Watch:
    """Tells whether a range was changed while somebody fetched its bytes.

    Attributes:
        is_stale: it was.
    """

    __slots__ = ("is_stale", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.is_stale = False


class DraftContent:
    """The map of a draft and its memory.

    Attributes:
        size_bytes: of the file.
        base_bytes: how much of the base object is visible, from 0 on, where nothing was written.
        generation: grows with each change of what a reader of the file would see.
        held_bytes: memory, all of it reserved in the budget.
        junk: places in the staging file that hold something which is not part of the draft.
    """

    __slots__ = (
        "_budget",
        "_map",
        "_piece_bytes",
        "_pieces",
        "_watches",
        "base_bytes",
        "generation",
        "held_bytes",
        "junk",
        "size_bytes",
    )

    def __init__(self, base_bytes: int, piece_bytes: int, budget: Budget) -> None:
        self.size_bytes = base_bytes
        self.base_bytes = base_bytes
        self.generation = 0
        self.held_bytes = 0
        self.junk = RangeMap()
        self._budget = budget
        self._piece_bytes = piece_bytes
        self._map = RangeMap()
        self._pieces: dict[int, DraftPiece] = {}
        """By offset divided by the piece size; the one that was made first is the first."""
        self._watches: set[Watch] = set()

    def segments(self, start: int, stop: int) -> Iterator[tuple[int, int, Source]]:
        """Yield all of ``[start, stop)`` in order; nothing may be changed meanwhile."""
        for begin, end, source in self._map.overlapping(start, stop):
            if start < begin:
                yield from self._unwritten(start, begin)
            yield begin, end, source
            start = end
        if start < stop:
            yield from self._unwritten(start, stop)

    def has(self, start: int, stop: int, source: Source) -> bool:
        """Tell whether any of ``[start, stop)`` was written and has *source*."""
        return self._map.has(start, stop, source)

    def extents(self) -> list[tuple[int, int]]:
        """Return the ranges that were written, dropped ones among them, merged and in order."""
        merged: list[tuple[int, int]] = []
        for start, stop, _ in self._map:
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], stop)
            else:
                merged.append((start, stop))
        return merged

    def bytes_to_load(self, start: int, stop: int) -> int:
        """Return how much of ``[start, stop)`` is in a file or in the base."""
        absent = (Source.BASE, Source.STAGED, Source.SEALED)
        return sum(
            end - begin for begin, end, source in self.segments(start, stop) if source in absent
        )

    def growth_bytes(self, start: int, stop: int) -> int:
        """Return how much memory a write to ``[start, stop)`` takes."""
        growth = 0
        for index, begin, end in self._cut(start, stop):
            piece = self._pieces.get(index)
            growth += end - begin if piece is None else piece.growth_bytes(begin, end)
        return growth

    def write(self, start: int, data: memoryview) -> None:
        """Put *data* to *start*; its `growth_bytes` have been reserved."""
        stop = start + len(data)
        self._put(start, data)
        self._set(start, stop, Source.MEMORY)
        self.size_bytes = max(self.size_bytes, stop)
        self._note_change(start, stop)

    def fill(self, start: int, data: memoryview) -> None:
        """Put *data*, which are the bytes of the base at *start*, to where they still are its.

        Their `growth_bytes` have been reserved.
        """
        stop = start + len(data)
        if any(source is not Source.BASE for _, _, source in self.segments(start, stop)):
            raise AssertionError("nothing is changed while the base is fetched")
        self._put(start, data)
        self._set(start, stop, Source.MEMORY)

    def zero(self, start: int, stop: int) -> None:
        """Let ``[start, stop)`` be zeros; does not make the file longer."""
        stop = min(stop, self.size_bytes)
        if start < stop:
            self._forget(start, stop, Source.ZEROS)
            # Beyond the base that is what a place is to which nothing was written.
            self._map.clear(max(start, self.base_bytes), max(stop, self.base_bytes))
            self._note_change(start, stop)

    def resize(self, size_bytes: int) -> None:
        """Cut the file, or let it grow by a hole."""
        if size_bytes == self.size_bytes:
            return
        first, last = sorted((size_bytes, self.size_bytes))
        if size_bytes < self.size_bytes:
            self._forget(size_bytes, self.size_bytes, None)
            self.base_bytes = min(self.base_bytes, size_bytes)
        self.size_bytes = size_bytes
        self._note_change(first, last)

    def drop(self, start: int, stop: int) -> None:
        """Forget the bytes of ``[start, stop)`` and remember that they are gone."""
        self._forget(start, min(stop, self.size_bytes), Source.DROPPED)
        self._void_watches(start, stop)

    def rebase(self, base_bytes: int) -> None:
        """Let ``[0, base_bytes)`` be the base's."""
        self._forget(0, base_bytes, None)
        self.base_bytes = base_bytes
        self._void_watches(0, base_bytes)

    def append_views(self, start: int, stop: int, views: list[memoryview]) -> None:
        """Append the bytes of ``[start, stop)``, which is in memory; they will never change."""
        for index, begin, end in self._cut(start, stop):
            views.append(self._pieces[index].view(begin, end))

    def in_memory(self) -> Spillable:
        """Return all pieces, those that were made first in front."""
        return [(index, piece, piece.data) for index, piece in self._pieces.items()]

    def spillable(self, size_bytes: int) -> Spillable:
        """Return pieces of at least *size_bytes* in all, if there are so many that nobody reads."""
        batch: Spillable = []
        for index, piece in self._pieces.items():
            if size_bytes <= 0:
                break
            if not has_views(piece.data):
                batch.append((index, piece, piece.data))
                size_bytes -= len(piece.data)
        return batch

    def written_parts(self, batch: Spillable) -> list[tuple[int, memoryview]]:
        """Return what of a batch is part of the draft, with its place in the file.

        As long as these views exist, a change of the data makes another object of it.
        """
        return [
            (start, piece.view(start, stop))
            for _, piece, _ in batch
            for start, stop, source in self._map.overlapping(piece.start, piece.stop)
            if source is Source.MEMORY
        ]

    def note_junk(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Note that these places of the staging file hold, or are about to get, something else."""
        for start, stop in ranges:
            self.junk.set(start, stop, Source.STAGED)

    def settle(self, batch: Spillable) -> int:
        """Free the pieces of a batch that are in the staging file now; return how many bytes.

        Those that were changed meanwhile stay as they are.
        """
        freed = 0
        for index, piece, data in batch:
            if self._pieces.get(index) is not piece or piece.data is not data:
                continue
            in_file = [
                (start, stop)
                for start, stop, found in self._map.overlapping(piece.start, piece.stop)
                if found is Source.MEMORY
            ]
            for start, stop in in_file:
                self._map.set(start, stop, Source.STAGED)
                self.junk.clear(start, stop)
            freed += len(data)
            self._free(index)
        return freed

    def seal(self) -> None:
        """Let all that is in a file be in the sealed one, which has all of the draft now."""
        assert not self._pieces, "what is in memory is in no file"
        staged = [(start, stop) for start, stop, found in self._map if found is Source.STAGED]
        for start, stop in staged:
            self._map.set(start, stop, Source.SEALED)
        self.junk.clear(0)

    def watch(self, start: int, stop: int) -> Watch:
        """Begin to look for changes of ``[start, stop)``."""
        watch = Watch(start, stop)
        self._watches.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Stop looking."""
        self._watches.remove(watch)

    def free_all(self) -> None:
        """Give back all memory; the draft is not used any more."""
        for index in list(self._pieces):
            self._free(index)
        self._map.clear(0)

    def _put(self, start: int, data: memoryview) -> None:
        before = start
        for index, begin, end in self._cut(start, start + len(data)):
            chunk = data[begin - before : end - before]
            piece = self._pieces.get(index)
            if piece is None:
                self._pieces[index] = DraftPiece(begin, chunk)
                self.held_bytes += end - begin
            else:
                self.held_bytes += piece.growth_bytes(begin, end)
                piece.write(begin, chunk)

    def _cut(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield ``[start, stop)`` by pieces: index, start, stop."""
        size = self._piece_bytes
        while start < stop:
            index = start // size
            end = min(stop, (index + 1) * size)
            yield index, start, end
            start = end

    def _unwritten(self, start: int, stop: int) -> Iterator[tuple[int, int, Source]]:
        edge = min(max(start, self.base_bytes), stop)
        if start < edge:
            yield start, edge, Source.BASE
        if edge < stop:
            yield edge, stop, Source.HOLE

    def _set(self, start: int, stop: int, source: Source | None) -> None:
        """Change the map; what was in the staging file there becomes junk."""
        staged = [
            (begin, end)
            for begin, end, found in self._map.overlapping(start, stop)
            if found is Source.STAGED
        ]
        self.note_junk(staged)
        if source is None:
            self._map.clear(start, stop)
        else:
            self._map.set(start, stop, source)

    def _forget(self, start: int, stop: int, source: Source | None) -> None:
        """Give ``[start, stop)`` another source than memory, and free the pieces without use."""
        if start >= stop:
            return
        self._set(start, stop, source)
        size = self._piece_bytes
        first, last = start // size, (stop - 1) // size
        indices = range(first, last + 1)
        if len(indices) > len(self._pieces):
            touched = [index for index in self._pieces if first <= index <= last]
        else:
            touched = [index for index in indices if index in self._pieces]
        for index in touched:
            piece = self._pieces[index]
            if not self._map.has(piece.start, piece.stop, Source.MEMORY):
                self._free(index)

    def _free(self, index: int) -> None:
        size = len(self._pieces.pop(index).data)
        self.held_bytes -= size
        self._budget.release_draft(size)

    def _note_change(self, start: int, stop: int) -> None:
        self.generation += 1
        self._void_watches(start, stop)

    def _void_watches(self, start: int, stop: int) -> None:
        for watch in self._watches:
            if watch.start < stop and start < watch.stop:
                watch.is_stale = True
