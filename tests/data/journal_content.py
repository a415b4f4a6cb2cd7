"""What the tests of the journal and the write-back share: generations, publishing, reading back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.data.generation import Generation
from mountfs.data.stored_draft import StoredDraft
from mountfs.objects import ObjectHeaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.data.journal import Journal
    from mountfs.data.journal_state import JournalEntry
    from mountfs.data.pending import Pending
    from mountfs.objects import ObjectInfo
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
