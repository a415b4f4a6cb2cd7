from __future__ import annotations

import errno
import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.journal import open_journal
from mountfs.data.pending import PendingState
from mountfs.data.write_back import WriteBackConfig, open_write_back
from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.objects import ObjectId, ObjectInfo
from mountfs.store.fake import FakeStore
from tests.data.journal_content import SinglePuts, make_generation, read_all
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mountfs.data.journal import Journal
    from mountfs.data.pending import Pending
    from mountfs.data.write_back import WriteBack
    from mountfs.store.fake import Request

# Disk calls run in threads, which the autojump clock does not wait for: it may jump while one runs.
# So a test that must see a file before it is uploaded gives it a settle time that never passes.
NEVER = 1e9


class Publisher(SinglePuts):
    """Publishes with one PUT; notes what it was asked for; can be told to wait or to fail.

    Attributes:
        started: keys, in the order in which uploads began.
        gate: uploads wait for it before they send anything.
        errors: raised by the next attempts.
        is_interruptible: what `Pending` is told while an upload waits at the gate.
    """

    def __init__(self, store: FakeStore) -> None:
        super().__init__(store)
        self.started: list[str] = []
        self.gate = trio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.is_interruptible = False
        self.at_gate = trio.Event()

    async def publish(
        self, pending: Pending, note: Callable[[ObjectInfo], Awaitable[None]]
    ) -> None:
        """Make one attempt."""
        self.started.append(pending.key)
        pending.set_interruptible(self.is_interruptible)
        self.at_gate.set()
        await self.gate.wait()
        pending.set_interruptible(False)
        if self.errors:
            raise self.errors.pop(0)
        await note(await self.publish_pending(pending))


class Setting:
    """What a test needs."""

    def __init__(self, store: FakeStore, journal: Journal, publisher: Publisher) -> None:
        self.store = store
        self.journal = journal
        self.publisher = publisher
        self.write_back: WriteBack

    async def commit(self, key: str, body: bytes) -> Pending:
        """Commit a small file."""
        return await self.write_back.commit(make_generation(key, body), body=[body])

    async def read(self, key: str) -> bytes:
        """Return what the bucket holds under *key*."""
        info = await self.store.head(key)
        if not info.size_bytes:
            return b""
        return await self.store.get(ObjectId(key, info.etag), 0, info.size_bytes)


@asynccontextmanager
async def opened(path: Path, **config: float) -> AsyncIterator[Setting]:
    """Provide a write-back on an empty bucket."""
    store = FakeStore()
    publisher = Publisher(store)
    settings = WriteBackConfig(
        concurrency=int(config.pop("concurrency", 4)),
        settle_seconds=config.pop("settle_seconds", 0.0),
        **config,
    )
    async with open_journal(path) as journal:
        setting = Setting(store, journal, publisher)
        async with open_write_back(settings, journal, publisher.publish) as write_back:
            setting.write_back = write_back
            yield setting


async def test_a_committed_file_is_published_with_one_put(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing is left on disk then, and the figures say so."""
    async with opened(tmp_path) as s:
        pending = await s.commit("key", b"content")
        info = await s.write_back.wait_for(pending.number)
        assert info == pending.info
        assert b"content" == await s.read("key")
        assert 1 == s.store.requests["PUT"]
        files = s.write_back.files
        assert (0, 0, 1, 7) == (
            len(files),
            files.size_bytes,
            files.published_count,
            files.published_bytes,
        )
    assert [] == os.listdir(tmp_path)


async def test_a_younger_generation_takes_the_place_of_one_that_was_not_started(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """One PUT for all; who waits for an old one gets the new one."""
    async with opened(tmp_path, settle_seconds=NEVER) as s:
        pending = [await s.commit("key", bytes([65 + n])) for n in range(5)]
        assert 1 == len(s.write_back.files)
        assert await s.write_back.drain() == []
        assert b"E" == await s.read("key")
        assert 1 == s.store.requests["PUT"]
        assert PendingState.REPLACED is pending[0].state
        assert 4 == s.write_back.files.replaced_count


async def test_uploads_of_one_key_are_in_order(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """One that is under way is completed before the next one begins; other keys do not wait."""
    async with opened(tmp_path) as s:
        s.publisher.gate = trio.Event()
        first = await s.commit("key", b"first")
        await s.publisher.at_gate.wait()
        second = await s.commit("key", b"second")
        other = await s.commit("other", b"other")
        while other.state is not PendingState.UPLOADING:
            await other.changed.wait()
        await settled()
        assert ["key", "other"] == s.publisher.started
        s.publisher.gate.set()
        await s.write_back.drain()
        assert ["key", "other", "key"] == s.publisher.started
        states = [pending.state for pending in (first, second, other)]
        assert [PendingState.PUBLISHED] * 3 == states
        assert b"second" == await s.read("key")


async def test_a_rename_before_the_upload_costs_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """One PUT under the final name, instead of what was to be published there."""
    async with opened(tmp_path, settle_seconds=NEVER) as s:
        target = await s.commit("final", b"old")
        pending = await s.commit("tmp", b"new")
        assert await s.write_back.rename(pending.number, "final")
        assert {"final": b"new"} == await read_all(s.journal)
        assert PendingState.REPLACED is target.state
        again = await s.commit("tmp", b"another")
        await s.write_back.drain()
        assert PendingState.PUBLISHED is again.state
        assert (b"new", b"another") == (await s.read("final"), await s.read("tmp"))
        assert 2 == s.store.requests["PUT"]


async def test_a_rename_during_the_request_waits_and_says_that_it_was_published(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The object has the old name then, and is to be renamed in the store."""
    async with opened(tmp_path) as s:
        s.store.latency_seconds = 5
        pending = await s.commit("tmp", b"x")
        await s.publisher.at_gate.wait()
        assert not await s.write_back.rename(pending.number, "final")
        assert b"x" == await s.read("tmp")
        assert not await s.write_back.rename(pending.number, "final")


async def test_a_rename_while_only_parts_are_sent_starts_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The attempt is cancelled, and nothing appears under the old name."""
    async with opened(tmp_path) as s:
        s.publisher.gate = trio.Event()
        s.publisher.is_interruptible = True
        pending = await s.commit("tmp", b"x")
        await s.publisher.at_gate.wait()
        assert await s.write_back.rename(pending.number, "final")
        s.publisher.gate.set()
        await s.write_back.drain()
        assert ["tmp", "final"] == s.publisher.started
        assert 1 == s.store.requests["PUT"]
        assert b"x" == await s.read("final")


async def test_a_rename_while_it_is_not_known_whether_the_store_has_it_is_refused(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The object may be there under the old name, where it is published again."""
    async with opened(tmp_path) as s:
        s.publisher.errors = [StoreUnavailableError("no answer")]
        pending = await s.commit("tmp", b"x")
        while not pending.may_have_landed:
            await pending.changed.wait()
        with pytest.raises(OSError, match="does not tell") as caught:
            await s.write_back.rename(pending.number, "final")
        assert errno.EBUSY == caught.value.errno
        await s.write_back.drain()
        assert b"x" == await s.read("tmp")


async def test_a_dropped_file_is_not_published(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Not by this mount, nor by the next one; the store has nothing of it."""
    async with opened(tmp_path, settle_seconds=NEVER) as s:
        pending = await s.commit("key", b"x")
        assert not await s.write_back.drop(pending.number)
        assert await s.write_back.wait_for(pending.number) is None
        await s.write_back.drain()
        assert {} == s.store.requests
    assert [] == os.listdir(tmp_path)


async def test_dropping_waits_for_a_request_that_is_under_way(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """It may still land; the caller is told to delete the key."""
    async with opened(tmp_path) as s:
        s.store.latency_seconds = 5
        pending = await s.commit("key", b"x")
        await s.publisher.at_gate.wait()
        assert await s.write_back.drop(pending.number)
        assert b"x" == await s.read("key")


async def test_an_interrupted_upload_is_made_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """While only parts are sent it ends at once, which is no failure; later it does not end."""
    async with opened(tmp_path) as s:
        s.publisher.gate = trio.Event()
        s.publisher.is_interruptible = True
        pending = await s.commit("key", b"x")
        await s.publisher.at_gate.wait()
        changed = pending.changed
        s.publisher.at_gate = trio.Event()
        pending.interrupt()
        s.publisher.is_interruptible = False
        await changed.wait()
        assert (PendingState.WAITING, False) == (pending.state, pending.may_have_landed)
        await s.publisher.at_gate.wait()
        pending.interrupt()
        s.publisher.gate.set()
        await s.write_back.drain()
        assert ["key", "key"] == s.publisher.started
        assert (0, 1) == (s.write_back.files.failure_count, s.store.requests["PUT"])


async def test_what_fails_is_tried_until_it_succeeds(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever the error: an outage, a bug, a permission that comes later."""
    async with opened(tmp_path) as s:
        s.publisher.errors = [
            StoreUnavailableError("down"),
            AccessDeniedError("not yet"),
            ZeroDivisionError("a bug"),
            OSError("a disk"),
        ] * 5
        pending = await s.commit("key", b"x")
        while not pending.has_ended:
            await pending.changed.wait()
        assert b"x" == await s.read("key")
        assert 20 == s.write_back.files.failure_count
        assert 21 == pending.attempts


async def test_who_waits_is_told_of_a_refusal(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """`wait_for` raises, `drain` returns it; neither gives the file up."""

    def deny(request: Request) -> AccessDeniedError | None:
        return AccessDeniedError("no") if request.key == "denied" else None

    async with opened(tmp_path) as s:
        s.store.fault_for = deny
        denied, other = await s.commit("denied", b"x"), await s.commit("other", b"y")
        with pytest.raises(AccessDeniedError):
            await s.write_back.wait_for(denied.number)
        assert [denied] == await s.write_back.drain()
        assert PendingState.PUBLISHED is other.state
        s.store.fault_for = None
        assert [] == await s.write_back.drain()
        assert b"x" == await s.read("denied")


async def test_concurrency_is_bounded(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Never more uploads at once than configured, and always as many while there are."""
    async with opened(tmp_path, concurrency=3, settle_seconds=NEVER) as s:
        most = 0

        def watch(request: Request) -> None:
            nonlocal most
            states = [pending.state for pending in s.write_back.files.all()]
            most = max(most, states.count(PendingState.UPLOADING))

        s.store.fault_for = watch
        s.store.latency_seconds = 0.1
        for number in range(20):
            await s.commit(str(number), b"x")
        await s.write_back.drain()
        assert 3 == most
        assert 20 == s.store.requests["PUT"]


async def test_what_does_not_get_through_is_said_loudly_once_an_hour(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An ERROR names the file and the reason, and the figures count it."""
    caplog.set_level(logging.ERROR)
    async with opened(tmp_path, warn_after_seconds=60.0) as s:
        # Fails before anything is read: the clock would run on while a thread reads.
        s.publisher.errors = [AccessDeniedError("no permission")] * 1000
        await s.commit("key", b"x")
        await trio.sleep(30)
        assert (0, []) == (s.write_back.files.overdue_count, caplog.messages)
        await trio.sleep(3600 + 100)
        assert 1 == s.write_back.files.overdue_count
        assert s.write_back.files.oldest_age_seconds > 3600
        assert 2 == len(caplog.messages)
        assert "'key'" in caplog.messages[0]
        assert "no permission" in caplog.messages[0]


async def test_what_is_not_published_at_the_end_is_in_the_journal(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Uploads are cancelled; the next mount finds everything."""
    async with opened(tmp_path) as s:
        s.publisher.gate = trio.Event()
        await s.commit("a", b"1")
        await s.publisher.at_gate.wait()
        await s.commit("b", b"2")
    async with open_journal(tmp_path) as journal:
        assert {"a": b"1", "b": b"2"} == await read_all(journal)


async def test_a_close_that_fails_leaves_the_older_generation_as_it_was(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is published as if nothing had happened."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "broken")

    async with opened(tmp_path, settle_seconds=NEVER) as s:
        await s.commit("key", b"old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="broken"):
                await s.commit("key", b"new")
        await s.write_back.drain()
        assert b"old" == await s.read("key")


async def test_an_older_generation_that_fails_is_replaced_by_a_younger_one(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """It is not tried again: nobody needs it."""
    async with opened(tmp_path) as s:
        s.publisher.gate = trio.Event()
        s.publisher.errors = [AccessDeniedError("no")]
        old = await s.commit("key", b"old")
        await s.publisher.at_gate.wait()
        await s.commit("key", b"new")
        s.publisher.gate.set()
        await s.write_back.wait_for(old.number)
        assert PendingState.REPLACED is old.state
        assert 1 == s.store.requests["PUT"]
        assert b"new" == await s.read("key")
