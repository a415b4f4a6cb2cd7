"""Listings of S3 Express, put in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mountfs.store.express_listing import list_in_order
from mountfs.store.fake import FakeStore

if TYPE_CHECKING:
    from mountfs.objects import ListPage

NAMES = st.text("ab/é-", min_size=1, max_size=6)


class DirectoryBucket:
    """A store that lists as a directory bucket does: by whole directories, in no order."""

    def __init__(self, store: FakeStore, delimiter: str) -> None:
        self._store = store
        self._delimiter = delimiter
        self.prefixes: list[str] = []

    async def fetch(self, prefix: str, token: str) -> ListPage:
        """Send one LIST."""
        self.prefixes.append(prefix)
        page = await self._store.list_page(prefix, delimiter=self._delimiter, token=token)
        random.Random(0).shuffle(page.objects)
        random.Random(0).shuffle(page.prefixes)
        return page


@given(st.lists(NAMES, max_size=12), st.text("ab/", max_size=3), NAMES, st.sampled_from(["", "/"]))
async def test_it_looks_like_any_other_listing(
    keys: list[str], prefix: str, start_after: str, delimiter: str
) -> None:
    """Same entries, same order, for any prefix and starting point; only the paging is gone."""
    store = FakeStore(page_size=3)
    for key in keys:
        store.bucket.put(key, b"")
    bucket = DirectoryBucket(store, delimiter)
    page = await list_in_order(bucket.fetch, prefix=prefix, start_after=start_after)
    store.page_size = 1000
    expected = await store.list_page(prefix, delimiter=delimiter, start_after=start_after)
    assert expected == page
    assert all(asked == "" or asked.endswith("/") for asked in bucket.prefixes)
