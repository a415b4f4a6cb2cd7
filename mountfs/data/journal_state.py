"""What the records of a journal add up to: the generations that are not published yet.

The same code applies a record that was just made durable and one that was read back after a crash,
so a replay finds what the mount knew. Synchronous, and without access to the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.data.journal_record import DirtyRecord, EndRecord, RenameRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.data.journal_record import Record
    from mountfs.data.journal_segment import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the data of a record is.

    Attributes:
        segment: the file.
        data_start: offset.
        data_bytes: length.
        data_checksum: CRC-32.
        record_bytes: length of the record, its data included.
    """

    segment: Segment
    data_start: int
    data_bytes: int
    data_checksum: int
    record_bytes: int


@dataclass(slots=True, kw_only=True, eq=False)
class JournalEntry:
    """A generation that is durable here and not published.

    Attributes:
        record: as it was committed; renames are in `key`.
        key: what it is to be published as.
        expected_etag: what that key holds as far as we know: "" nothing, None unknown.
        order: among the entries of its key, the youngest has the greatest. Where the record stands
            does not tell: it may have been written again, behind younger ones.
        place: where the record and the bytes of a small file are.
    """

    record: DirtyRecord
    key: str
    expected_etag: str | None
    order: int
    place: Place

    @property
    def number(self) -> int:
        """Its number."""
        return self.record.number


class JournalState:
    """The entries, and what a record does to them.

    Attributes:
        entries: by number; iterating gives the order in which they came to their keys.
        next_number: greater than any number or order that was used.
        live_bytes: what the records of the entries take in segments.
    """

    def __init__(self) -> None:
        self.entries: dict[int, JournalEntry] = {}
        self.next_number = 1
        self.live_bytes = 0
        self._by_key: dict[str, dict[int, JournalEntry]] = {}
        """By key and number. With 100,000 files waiting nobody looks through all of them."""

    def take_number(self) -> int:
        """Return a number that was never used, and is greater than all that were."""
        number = self.next_number
        self.next_number += 1
        return number

    def sort(self) -> None:
        """Let `entries` be in their order, after records were read back."""
        self.entries = dict(sorted(self.entries.items(), key=lambda item: item[1].order))

    def older_than(self, entry: JournalEntry) -> list[JournalEntry]:
        """Return the generations of the key of *entry* that it comes after."""
        others = self._by_key.get(entry.key, {}).values()
        return [other for other in others if other.order < entry.order]

    def apply(self, record: Record, place: Place) -> list[JournalEntry]:
        """Let *record*, which is durable at *place*, have its effect; return what it ended."""
        match record:
            case DirtyRecord():
                return self._begin(record, place)
            case RenameRecord():
                return self._rename(record)
            case EndRecord():
                return self._end(record)

    def _begin(self, record: DirtyRecord, place: Place) -> list[JournalEntry]:
        self._note_used(record.number, record.order)
        known = self.entries.get(record.number)
        self.live_bytes += place.record_bytes
        entry = JournalEntry(
            record=record,
            key=record.generation.key,
            expected_etag=record.generation.expected_etag,
            order=record.order,
            place=place,
        )
        if known is None:
            self.entries[record.number] = entry
            self._index(entry)
        else:
            # It was written again, to let an older segment go. Others refer to the entry; it stays
            # the same one.
            known.place.segment.live.discard(record.number)
            self.live_bytes -= known.place.record_bytes
            known.record, known.place = record, place
            self._move(known, entry.key, entry.expected_etag, entry.order)
        place.segment.live.add(record.number)
        return self._forget(record.replaces)

    def _rename(self, record: RenameRecord) -> list[JournalEntry]:
        order = record.order or self.next_number
        self._note_used(record.number, order)
        entry = self.entries.pop(record.number, None)
        if entry is not None:
            self.entries[record.number] = entry  # the last one again
            self._move(entry, record.key, record.expected_etag, order)
        return self._forget(record.replaces)

    def _end(self, record: EndRecord) -> list[JournalEntry]:
        self._note_used(record.number, record.order)
        entry = self.entries.get(record.number)
        key, order = record.key, record.order
        if entry is not None:
            key, order = entry.key, entry.order
        ended = [record.number]
        if record.etag:
            for other in self._by_key.get(key, {}).values():
                if other.order > order:
                    other.expected_etag = record.etag
                elif other.order < order:
                    # A key is published in order. Only the note of its end is missing.
                    ended.append(other.number)
        return self._forget(ended)

    def _note_used(self, *numbers: int) -> None:
        self.next_number = max(self.next_number, max(numbers) + 1)

    def _move(self, entry: JournalEntry, key: str, expected_etag: str | None, order: int) -> None:
        self._unindex(entry)
        entry.key, entry.expected_etag, entry.order = key, expected_etag, order
        self._index(entry)

    def _index(self, entry: JournalEntry) -> None:
        self._by_key.setdefault(entry.key, {})[entry.number] = entry

    def _unindex(self, entry: JournalEntry) -> None:
        of_key = self._by_key[entry.key]
        del of_key[entry.number]
        if not of_key:
            del self._by_key[entry.key]

    def _forget(self, numbers: Iterable[int]) -> list[JournalEntry]:
        ended = [self.entries.pop(number) for number in numbers if number in self.entries]
        for entry in ended:
            self._unindex(entry)
            entry.place.segment.live.discard(entry.number)
            self.live_bytes -= entry.place.record_bytes
        return ended
