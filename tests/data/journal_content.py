"""What the tests of the journal and the write-back share: generations, publishing, reading back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.data.generation import Generation
from mountfs.data.journal import open_journal
from mountfs.data.replay import replay_journal
from mountfs.data.stored_draft import StoredDraft
from mountfs.objects import ObjectHeaders, ObjectId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mountfs.data.journal import Journal
    from mountfs.data.journal_state import JournalEntry
    from mountfs.data.pending import Pending
    from mountfs.data.replay import ReplayReport
    from mountfs.objects import ObjectInfo
    from mountfs.store.fake import FakeStore
    from mountfs.store.protocol import ObjectStore


def make_generation(key: str, body: bytes, *, expected_etag: str | None = "") -> Generation:
    """Return a generation whose whole content is *body*."""
    return Generation(
        key=key,
        size_bytes=len(body),
        headers=ObjectHeaders(content_type="text/plain", metadata={"colour": "grün"}),
        extents=((0, len(body)),) if body else (),
        expected_etag=expected_etag,
    )


async def commit(journal: Journal, key: str, body: bytes) -> int:
    """Commit a small file and return its number."""
    entry = await journal.append(make_generation(key, body), body=[body[:1], body[1:]])
    return entry.number


async def refuse_base(start: int, stop: int) -> Sequence[memoryview]:
    """Fail: the drafts here have no base."""
    raise AssertionError(f"[{start}, {stop}) is in no base")


async def read_back(journal: Journal, entry: JournalEntry) -> bytes:
    """Return the whole content of *entry*."""
    draft = StoredDraft(journal, entry)
    return b"".join(await draft.collect(0, draft.size_bytes, refuse_base))


async def read_all(journal: Journal) -> dict[str, bytes]:
    """Return what the journal holds, by key; of several generations the youngest."""
    return {entry.key: await read_back(journal, entry) for entry in journal.entries.values()}


class SinglePuts:
    """Publishes with one PUT, which is enough for the small files of the tests."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    async def publish_draft(
        self, draft: StoredDraft, key: str, expected_etag: str | None
    ) -> ObjectInfo:
        """Publish for a replay."""
        body = await draft.collect(0, draft.size_bytes, refuse_base)
        headers = draft.generation.headers
        return await self.store.put(key, body, headers, expected_etag=expected_etag)

    async def publish_pending(self, pending: Pending) -> ObjectInfo:
        """Publish for the write-back."""
        return await self.publish_draft(pending.draft, pending.key, None)


async def put(store: FakeStore, key: str, body: bytes) -> str:
    """Store an object as another client would; return its etag."""
    return (await store.put(key, [body], ObjectHeaders())).etag


async def leave(path: Path, *generations: tuple[str, bytes, str | None]) -> None:
    """Leave a journal as a mount does that dies: key, content and what the key held."""
    async with open_journal(path) as journal:
        for key, body, expected_etag in generations:
            generation = make_generation(key, body, expected_etag=expected_etag)
            await journal.append(generation, body=[body])


async def replay(path: Path, store: FakeStore) -> ReplayReport:
    """Replay what was left."""
    async with open_journal(path) as journal:
        return await replay_journal(journal, store, SinglePuts(store).publish_draft)


async def read_bucket(store: FakeStore) -> dict[str, bytes]:
    """Return all objects."""
    page = await store.list_page("")
    bucket: dict[str, bytes] = {}
    for info in page.objects:
        object_id = ObjectId(info.key, info.etag)
        step = store.part_size_bytes
        pieces = [
            await store.get(object_id, start, min(start + step, info.size_bytes))
            for start in range(0, info.size_bytes, step)
        ]
        bucket[info.key] = b"".join(pieces)
    return bucket
