"""The records of the journal and their form on disk.

A record is a header of fixed length, a description in JSON, and, for small files, the bytes. The
header holds the lengths and the checksums of both, and a checksum of itself, so that nothing is
believed that is not whole. It also holds how much of the segment was durable when it was written: a
record that cannot be read is the torn end of a write that nobody was told of, unless a *later* one
says that it was durable. The disk may have later bytes and not earlier ones.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mountfs.data.generation import Generation
from mountfs.objects import ObjectHeaders, ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.objects import Body

MAGIC = b"mfj1"

SEGMENT_ID_BYTES = 8

_FIELDS = struct.Struct("<4s8sQIQII")
"""Magic, segment, bytes that were durable, length of the description, of the data; checksums."""

_HEADER_CHECKSUM = struct.Struct("<I")

HEADER_BYTES = _FIELDS.size + _HEADER_CHECKSUM.size

METADATA_PREFIX = "x-amz-meta-"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyRecord:
    """A file that is to be published.

    Attributes:
        number: of the generation; grows, and is never used twice in one journal.
        generation: what the object is to become.
        committed_ns: when, nanoseconds since the epoch.
        file_name: the staging file with the bytes, each at its own offset; empty when they follow
            the record: those of all extents, one after the other.
        replaces: older generations that need not be published any more.
        order: among the generations of its key, the youngest has the greatest; 0 for *number*. A
            record that is written again, behind younger ones, keeps it.
    """

    number: int
    generation: Generation
    committed_ns: int
    file_name: str = ""
    replaces: tuple[int, ...] = ()
    order: int = 0

    def __post_init__(self) -> None:
        if not self.order:
            object.__setattr__(self, "order", self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRecord:
    """A generation that is to be published under another key.

    Attributes:
        number: of the generation.
        key: the new one.
        expected_etag: as in `Generation`, of the new key.
        replaces: generations that had the new key.
        order: its order from now on, as in `DirtyRecord`; 0 for the youngest of all.
    """

    number: int
    key: str
    expected_etag: str | None = None
    replaces: tuple[int, ...] = ()
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRecord:
    """A generation that needs no publishing any more.

    Attributes:
        number: of the generation.
        etag: what the store gave it; empty when it was dropped.
        key: what it was published as. It tells the younger ones what is there, also when the
            record of this one went with its segment.
        order: of the generation at the end.
    """

    number: int
    etag: str = ""
    key: str = ""
    order: int = 0


Record = DirtyRecord | RenameRecord | EndRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecord:
    """A record that was read back.

    Attributes:
        record: what it says.
        synced_bytes: of the segment, what was durable when it was written.
        start: where it begins.
        data_start: offset of its data.
        data_bytes: length of its data.
        data_checksum: CRC-32 of its data.
    """

    record: Record
    start: int
    synced_bytes: int
    data_start: int
    data_bytes: int
    data_checksum: int

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.data_start + self.data_bytes


def describe_record(record: Record) -> bytes:
    """Return the description of *record*; spaces may be appended, to fill a block."""
    return json.dumps(_describe(record), separators=(",", ":")).encode("ascii")


def encode_record(
    description: bytes, body: Body, segment_id: bytes, synced_bytes: int
) -> tuple[bytes, int]:
    """Return what stands before the data on disk, and the data's checksum."""
    data_bytes = checksum = 0
    for piece in body:
        data_bytes += memoryview(piece).nbytes
        checksum = zlib.crc32(piece, checksum)
    fields = _FIELDS.pack(
        MAGIC,
        segment_id,
        synced_bytes,
        len(description),
        data_bytes,
        zlib.crc32(description),
        checksum,
    )
    return fields + _HEADER_CHECKSUM.pack(zlib.crc32(fields)) + description, checksum


def read_record(content: memoryview, offset: int, segment_id: bytes) -> FoundRecord | None:
    """Return the record at *offset* of a segment; None if there is no whole one."""
    fields = content[offset : offset + _FIELDS.size]
    description_start = offset + HEADER_BYTES
    if description_start > len(content):
        return None
    (header_checksum,) = _HEADER_CHECKSUM.unpack_from(content, offset + _FIELDS.size)
    magic, owner, synced_bytes, length, data_bytes, checksum, data_checksum = _FIELDS.unpack(fields)
    if (magic, owner) != (MAGIC, segment_id) or zlib.crc32(fields) != header_checksum:
        return None
    data_start = description_start + length
    if data_start + data_bytes > len(content):
        return None
    description = content[description_start:data_start]
    data = content[data_start : data_start + data_bytes]
    if zlib.crc32(description) != checksum or zlib.crc32(data) != data_checksum:
        return None
    return FoundRecord(
        record=_understand(json.loads(bytes(description))),
        synced_bytes=synced_bytes,
        start=offset,
        data_start=data_start,
        data_bytes=data_bytes,
        data_checksum=data_checksum,
    )


def find_records(content: memoryview, offset: int, segment_id: bytes) -> Iterator[FoundRecord]:
    """Yield the whole records behind *offset*, whatever stands between them."""
    mark = MAGIC + segment_id
    raw = bytes(content)
    while (offset := raw.find(mark, offset)) >= 0:
        found = read_record(content, offset, segment_id)
        if found is None:
            offset += 1
        else:
            yield found
            offset = found.stop


def encode_headers(headers: ObjectHeaders) -> dict[str, str]:
    """Return *headers* by the names that they have in a request."""
    fields = {
        "content-type": headers.content_type,
        "cache-control": headers.cache_control,
        "content-encoding": headers.content_encoding,
        "content-disposition": headers.content_disposition,
        "content-language": headers.content_language,
    }
    metadata = {METADATA_PREFIX + name: value for name, value in headers.metadata.items()}
    return {name: value for name, value in (fields | metadata).items() if value or name in metadata}


def decode_headers(fields: dict[str, str]) -> ObjectHeaders:
    """Return what `encode_headers` was given."""
    return ObjectHeaders(
        content_type=fields.get("content-type", ""),
        cache_control=fields.get("cache-control", ""),
        content_encoding=fields.get("content-encoding", ""),
        content_disposition=fields.get("content-disposition", ""),
        content_language=fields.get("content-language", ""),
        metadata={
            name.removeprefix(METADATA_PREFIX): value
            for name, value in fields.items()
            if name.startswith(METADATA_PREFIX)
        },
    )


def _describe(record: Record) -> dict[str, Any]:
    match record:
        case DirtyRecord(generation=generation):
            base = generation.base
            return {
                "type": "dirty",
                "number": record.number,
                "key": generation.key,
                "size": generation.size_bytes,
                "headers": encode_headers(generation.headers),
                "extents": generation.extents,
                "expected": generation.expected_etag,
                "base": None if base is None else [base.key, base.etag, generation.base_bytes],
                "committed": record.committed_ns,
                "file": record.file_name,
                "replaces": record.replaces,
                "order": record.order,
            }
        case RenameRecord():
            return {
                "type": "rename",
                "number": record.number,
                "key": record.key,
                "expected": record.expected_etag,
                "replaces": record.replaces,
                "order": record.order,
            }
        case EndRecord():
            return {
                "type": "end",
                "number": record.number,
                "etag": record.etag,
                "key": record.key,
                "order": record.order,
            }


def _understand(fields: dict[str, Any]) -> Record:
    match fields["type"]:
        case "dirty":
            base = fields["base"]
            generation = Generation(
                key=fields["key"],
                size_bytes=fields["size"],
                headers=decode_headers(fields["headers"]),
                extents=tuple((start, stop) for start, stop in fields["extents"]),
                expected_etag=fields["expected"],
                base=None if base is None else ObjectId(base[0], base[1]),
                base_bytes=0 if base is None else base[2],
            )
            return DirtyRecord(
                number=fields["number"],
                generation=generation,
                committed_ns=fields["committed"],
                file_name=fields["file"],
                replaces=tuple(fields["replaces"]),
                order=fields.get("order", 0),  # absent in journals of earlier versions
            )
        case "rename":
            return RenameRecord(
                number=fields["number"],
                key=fields["key"],
                expected_etag=fields["expected"],
                replaces=tuple(fields["replaces"]),
                order=fields.get("order", 0),
            )
        case "end":
            return EndRecord(
                number=fields["number"],
                etag=fields["etag"],
                key=fields.get("key", ""),
                order=fields.get("order", 0),
            )
        case unknown:
            raise ValueError(f"a record of the unknown type {unknown!r}: a later version's journal")
