"""A replay that dies, and the next one: nothing is published twice, nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from mountfs.data.generation import Generation
from mountfs.data.journal import Journal, open_journal
from mountfs.data.replay import replay_journal
from mountfs.errors import PreconditionFailedError
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.fake import FakeStore
from tests.data.journal_content import (
    SinglePuts,
    leave,
    put,
    read_bucket,
    replay,
)

if TYPE_CHECKING:
    from pathlib import Path

    import trio.testing

    from mountfs.data.stored_draft import StoredDraft
    from mountfs.objects import ObjectInfo


async def replay_and_die(path: Path, store: FakeStore, puts: int) -> None:
    """Replay what is left in *path*; let it be as it was on disk after so many objects."""
    publisher = SinglePuts(store)
    after = path.parent / "after"
    state: dict[str, bytes] = {}
    remaining = puts

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        nonlocal remaining, state
        info = await publisher.publish_draft(draft, key, expected_etag)
        remaining -= 1
        if not remaining:
            shutil.copytree(path, after)
            state = await read_bucket(store)
        return info

    async with open_journal(path) as journal:
        await replay_journal(journal, store, publish)
    assert remaining <= 0
    shutil.rmtree(path)
    after.rename(path)
    for key in set(await read_bucket(store)) - set(state):
        await store.delete(key)


@pytest.mark.parametrize("expected_etag", ["", None])
async def test_what_was_published_before_it_died_is_not_published_again(
    tmp_path: Path, expected_etag: str | None
) -> None:
    """Its end was not noted; the object in the bucket tells."""
    store = FakeStore()
    path = tmp_path / "journal"
    path.mkdir()
    await leave(path, ("key", b"ours", expected_etag))
    await replay_and_die(path, store, 1)
    store.requests.clear()
    report = await replay(path, store)
    assert (1, []) == (report.published, report.conflicts)
    assert {"HEAD": 1} == store.requests
    assert [] == os.listdir(path)


async def test_ours_is_kept_beside_theirs_once(tmp_path: Path) -> None:
    """Its name is in the journal before it is in the bucket."""
    store = FakeStore()
    path = tmp_path / "journal"
    path.mkdir()
    await leave(path, ("key", b"older", ""), ("key", b"ours", ""))
    await put(store, "key", b"theirs")
    await replay_and_die(path, store, 1)
    before = await read_bucket(store)
    assert sorted([b"ours", b"theirs"]) == sorted(before.values())
    report = await replay(path, store)
    assert [] == report.failed
    assert before == await read_bucket(store)
    assert [] == os.listdir(path)


async def test_a_name_beside_theirs_that_is_taken_is_not_used(tmp_path: Path) -> None:
    """Two generations of different mounts may come to one name in the same second."""
    store = FakeStore()
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.mkdir()
        await leave(path, ("key", path.name.encode(), ""))
    await put(store, "key", b"theirs")
    for path in paths:
        assert 1 == len((await replay(path, store)).conflicts)
    assert [b"a", b"b", b"c", b"theirs"] == sorted((await read_bucket(store)).values())


async def test_a_journal_that_takes_no_notes_makes_no_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is broken: each key is published all the same, and once, however often it runs."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"first", ""), ("key", b"second", ""), ("other", b"x", ""))

    async def fail(journal: Journal, number: int, etag: str) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "end", fail)
        for _ in range(2):
            report = await replay(tmp_path, store)
            assert ([], []) == (report.conflicts, report.failed)
    assert {"key": b"second", "other": b"x"} == await read_bucket(store)
    await replay(tmp_path, store)
    assert {"key": b"second", "other": b"x"} == await read_bucket(store)
    assert [] == os.listdir(tmp_path)


async def test_an_older_one_of_ours_that_landed_unnoticed_is_no_conflict(tmp_path: Path) -> None:
    """Its answer was lost with the mount; the younger one replaces it."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"first", '"gone"'), ("key", b"second", '"gone"'))
    await put(store, "key", b"first")
    report = await replay(tmp_path, store)
    assert (1, []) == (report.published, report.conflicts)
    assert {"key": b"second"} == await read_bucket(store)


@pytest.mark.parametrize("takes_notes", [True, False])
async def test_what_builds_on_an_older_one_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_notes: bool
) -> None:
    """It has only what was changed: what it is based on has to be in the bucket first."""

    async def fail(journal: Journal, number: int, etag: str) -> None:
        raise OSError(errno.EIO, "broken")

    if not takes_notes:
        monkeypatch.setattr(Journal, "end", fail)
    store = FakeStore()
    published = (await FakeStore().put("key", [b"0123456789"], ObjectHeaders())).etag
    await leave(tmp_path, ("key", b"replaced", ""), ("key", b"0123456789", ""))
    based = Generation(
        key="key",
        size_bytes=12,
        headers=ObjectHeaders(),
        extents=((10, 12),),
        expected_etag="",
        base=ObjectId("key", published),
        base_bytes=10,
    )
    async with open_journal(tmp_path) as journal:
        await journal.append(based, body=[b"ab"])
    puts = SinglePuts(store)

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        async def read_base(start: int, stop: int) -> list[memoryview]:
            return [memoryview(await store.get(ObjectId("key", published), start, stop))]

        body = await draft.collect(0, draft.size_bytes, read_base)
        return await puts.store.put(key, body, ObjectHeaders(), expected_etag=expected_etag)

    async with open_journal(tmp_path) as journal:
        report = await replay_journal(journal, store, publish)
    assert (2, 1, [], []) == (report.published, report.replaced, report.conflicts, report.failed)
    assert {"key": b"0123456789ab"} == await read_bucket(store)


async def test_a_shortened_object_that_landed_is_known_again(tmp_path: Path) -> None:
    """Nothing of it is stored here, and what it was made of is gone: it could never be repeated."""
    store = FakeStore()
    old = await put(store, "key", b"0123456789")
    generation = Generation(
        key="key",
        size_bytes=4,
        headers=ObjectHeaders(),
        extents=(),
        expected_etag=old,
        base=ObjectId("key", old),
        base_bytes=4,
    )
    async with open_journal(tmp_path) as journal:
        await journal.append(generation)
    await put(store, "key", b"0123")
    report = await replay(tmp_path, store)
    assert (1, [], []) == (report.published, report.conflicts, report.failed)


async def test_zeros_behind_a_base_are_ours(tmp_path: Path) -> None:
    """An object of the same length that has something else there is somebody else's."""
    store = FakeStore()
    old = await put(store, "key", b"0123")
    generation = Generation(
        key="key",
        size_bytes=8,
        headers=ObjectHeaders(),
        extents=(),
        expected_etag=old,
        base=ObjectId("other", '"other"'),
        base_bytes=4,
    )
    async with open_journal(tmp_path) as journal:
        await journal.append(generation)
    await put(store, "key", b"01234567")

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        return await store.put(key, [b"copy"], ObjectHeaders(), expected_etag=expected_etag)

    async with open_journal(tmp_path) as journal:
        assert 1 == len((await replay_journal(journal, store, publish)).conflicts)


async def test_a_store_that_denies_what_it_said_does_not_hold_up_the_mount(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Its conditions never hold: the file is reported, and stays."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"ours", ""))

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        raise PreconditionFailedError("no")

    async with open_journal(tmp_path) as journal:
        assert 1 == len((await replay_journal(journal, store, publish)).failed)
    assert 1 == (await replay(tmp_path, store)).published
