"""All entries of a source at once, small enough to keep for a million of them.

A list of a million strings takes 100 MB, and every forked worker that counts references copies it.
Here the paths are one string of bytes with the offset where each ends, which nobody touches one by
one.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, overload

from mountfs.datasets.entry import Entry


class Listing(Sequence[Entry]):
    """An immutable sequence of entries. Pickles in one piece.

    Labels are kept once each, so a million entries with a thousand labels cost four bytes each.

    Raises:
        TypeError: What is to be kept is no entry, or more than one.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        paths = bytearray()
        ends = array("Q")
        labels: list[Any] = []
        numbers: dict[Any, int] = {}
        label_numbers = array("I")
        for entry in entries:
            if type(entry) is not Entry:
                raise TypeError(
                    f"a listing keeps paths and labels of entries, and would lose the rest of "
                    f"{entry!r}: give the sequence of these to the dataset as it is"
                )
            paths += os.fsencode(entry.path)
            ends.append(len(paths))
            number = len(labels)
            if isinstance(entry.label, Hashable):
                # With the type: 1 and True are equal, but not the same label.
                number = numbers.setdefault((type(entry.label), entry.label), number)
            if number == len(labels):
                labels.append(entry.label)
            label_numbers.append(number)
        self._paths = bytes(paths)
        self._ends = ends
        self._labels = labels
        # Most sources have one label, which is None: nothing to keep for each entry.
        self._label_numbers = label_numbers if len(labels) > 1 else None

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self._entry(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"entry {index} of {len(self)}")
        return self._entry(number)

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, range(len(self)))

    def _entry(self, number: int) -> Entry:
        start = self._ends[number - 1] if number else 0
        path = os.fsdecode(self._paths[start : self._ends[number]])
        label_number = self._label_numbers[number] if self._label_numbers is not None else 0
        return Entry(path, self._labels[label_number])
