"""What the tests of publishing share: contents, and a publisher on a store that takes its time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from mountfs.data.budget import Budget
from mountfs.data.publisher import open_publisher
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.fake import FakeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.data.publisher import Publisher, ReadBase

KIB = 1024
PART = 64 * KIB
HEADERS = ObjectHeaders()


class DiskContent:
    """A content that is all on disk: each byte of a part takes memory while it is sent."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self.base_bytes = 0
        self._data = memoryview(data)

    def extents(self) -> list[tuple[int, int]]:
        """Return the one range that is everything."""
        return [(0, self.size_bytes)]

    def bytes_to_load(self, start: int, stop: int) -> int:
        """Return the size: nothing is in memory."""
        return stop - start

    async def collect(self, start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
        """Return what the disk would."""
        await trio.lowlevel.checkpoint()
        return [self._data[start:stop]]


class UploadNotes:
    """Remembers which uploads have begun and not ended."""

    def __init__(self) -> None:
        self.open: set[str] = set()

    def note_begun(self, key: str, upload_id: str) -> None:
        """Note that an upload has begun."""
        self.open.add(upload_id)

    def note_ended(self, upload_id: str) -> None:
        """Note that an upload was completed or aborted."""
        self.open.discard(upload_id)


class Setting:
    """What a test needs."""

    def __init__(self, store: FakeStore, limit_bytes: int) -> None:
        self.store = store
        self.budget = Budget(limit_bytes)
        self.uploads = UploadNotes()
        self.publisher: Publisher

    async def read(self, key: str) -> bytes:
        """Return what the bucket holds under *key*."""
        info = await self.store.head(key)
        step = self.store.part_size_bytes
        pieces = [
            await self.store.get(
                ObjectId(key, info.etag), start, min(start + step, info.size_bytes)
            )
            for start in range(0, info.size_bytes, step)
        ]
        return b"".join(pieces)


@asynccontextmanager
async def publishing(
    *, limit_bytes: int = 1024 * KIB, latency_seconds: float = 0.5, max_parts: int = 10_000
) -> AsyncIterator[Setting]:
    """Provide a publisher with parts of `PART`; at the end all memory has been given back."""
    store = FakeStore(
        part_size_bytes=PART,
        min_part_bytes=PART // 2,
        max_part_bytes=16 * PART,
        max_parts=max_parts,
        latency_seconds=latency_seconds,
    )
    setting = Setting(store, limit_bytes)
    async with open_publisher(store, setting.budget, setting.uploads) as publisher:
        setting.publisher = publisher
        yield setting
    assert setting.budget.draft_bytes == setting.budget.used_bytes
