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
    """

    segment: Segment
    data_start: int
    data_bytes: int
    data_checksum: int


@dataclass(slots=True, kw_only=True, eq=False)
class JournalEntry:
    """A generation that is durable here and not published.

    Attributes:
        record: as it was committed; renames are in `key`.
        key: what it is to be published as.
        expected_etag: what that key holds as far as we know: "" nothing, None unknown.
        place: where the record and the bytes of a small file are.
    """

    record: DirtyRecord
    key: str
    expected_etag: str | None
    place: Place

    @property
    def number(self) -> int:
        """Its number."""
        return self.record.number


class JournalState:
    """The entries, and what a record does to them.

    Attributes:
        entries: by number; iterating gives the order in which they came to their keys.
        next_number: greater than any that was used.
    """

    def __init__(self) -> None:
        self.entries: dict[int, JournalEntry] = {}
        self.next_number = 1

    def apply(self, record: Record, place: Place) -> list[JournalEntry]:
        """Let *record*, which is durable at *place*, have its effect; return what it ended."""
        match record:
            case DirtyRecord():
                return self._begin(record, place)
            case RenameRecord():
                return self._rename(record)
            case EndRecord():
                entry = self.entries.get(record.number)
                if entry is None:
                    return []
                if record.etag:
                    self._note_published(entry, record.etag)
                return self._forget([record.number])

    def _rename(self, record: RenameRecord) -> list[JournalEntry]:
        entry = self.entries.pop(record.number, None)
        if entry is not None:
            entry.key = record.key
            entry.expected_etag = record.expected_etag
            self.entries[record.number] = entry  # the youngest of its new key, whatever its number
        return self._forget(record.replaces)

    def _begin(self, record: DirtyRecord, place: Place) -> list[JournalEntry]:
        self.next_number = max(self.next_number, record.number + 1)
        known = self.entries.get(record.number)
        if known is not None:
            # It was written again, to let an older segment go.
            known.place.segment.live.discard(record.number)
        entry = JournalEntry(
            record=record,
            key=record.generation.key,
            expected_etag=record.generation.expected_etag,
            place=place,
        )
        if known is None:
            self.entries[record.number] = entry
        else:  # others refer to the entry; it stays the same one
            known.record, known.place = record, place
            known.key, known.expected_etag = entry.key, entry.expected_etag
        place.segment.live.add(record.number)
        return self._forget(record.replaces)

    def _note_published(self, published: JournalEntry, etag: str) -> None:
        """Note what the key of *published* holds now, for the younger ones of that key."""
        is_younger = False
        for entry in self.entries.values():
            if is_younger and entry.key == published.key:
                entry.expected_etag = etag
            is_younger = is_younger or entry is published

    def _forget(self, numbers: Iterable[int]) -> list[JournalEntry]:
        ended = [self.entries.pop(number) for number in numbers if number in self.entries]
        for entry in ended:
            entry.place.segment.live.discard(entry.number)
        return ended
