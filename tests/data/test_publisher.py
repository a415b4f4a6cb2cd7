from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data import sending_room
from mountfs.data.publisher import Edition
from mountfs.errors import AccessDeniedError, ObjectTooLargeError, PreconditionFailedError
from mountfs.objects import ObjectId
from tests.data.drafts import Disk, draft_on
from tests.data.sending import HEADERS, KIB, PART, DiskContent, publishing

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.store.fake import Request


@pytest.fixture(autouse=True)
def _sending_may_take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the limit be the only one, so that it is what the tests meet; the share has its own."""
    monkeypatch.setattr(sending_room, "SENDING_SHARE", 1)


def edition(key: str) -> Edition:
    """Return one for *key*, unconditional."""
    return Edition(key=key, headers=HEADERS)


async def test_a_large_file_takes_no_more_memory_than_the_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """However many parts it has: each is read and copied only when there is room for it."""
    data = random.Random(1).randbytes(100 * PART + 1)
    async with publishing(limit_bytes=16 * PART) as s:
        await s.publisher.publish(DiskContent(data), edition("key"))
        assert 16 * PART == s.budget.peak_bytes
        assert data == await s.read("key")


async def test_many_files_at_once_take_no_more_memory_than_the_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Small ones, which go by one PUT, and those of several parts, under one limit."""
    sizes = [PART * 3 // 4, 3 * PART]
    async with publishing(limit_bytes=16 * PART) as s:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                content = DiskContent(bytes([number]) * sizes[number % 2])
                nursery.start_soon(s.publisher.publish, content, edition(str(number)))
        assert 12 * PART < s.budget.peak_bytes <= 16 * PART
        for number in range(60):
            assert bytes([number]) * sizes[number % 2] == await s.read(str(number))


async def test_what_a_draft_has_in_memory_is_counted_once_more_while_it_is_sent(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """For the copy that CRT makes; what is on disk counts for the reading, too."""
    disk = Disk(tmp_path)
    async with publishing(limit_bytes=16 * PART) as s:
        draft = draft_on(disk, s.budget, block_bytes=PART)
        data = random.Random(2).randbytes(7 * PART)
        await draft.write(0, data)
        await s.publisher.publish(draft, edition("memory"))
        assert 14 * PART == s.budget.peak_bytes
        await draft.spill(7 * PART)
        s.budget.peak_bytes = 0
        await s.publisher.publish(draft, edition("disk"))
        assert 14 * PART == s.budget.peak_bytes
        assert data == await s.read("memory") == await s.read("disk")
        await draft.aclose()
    disk.stop()


async def test_a_file_that_is_larger_than_the_memory_goes_when_nothing_else_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The budget may even be full of what nobody gives back: the only one always goes."""
    async with publishing(limit_bytes=PART) as s:
        s.budget.reserve_for_draft(PART)
        data = random.Random(3).randbytes(5 * PART)
        async with trio.open_nursery() as nursery:
            for key in ("a", "b"):
                nursery.start_soon(s.publisher.publish, DiskContent(data), edition(key))
                nursery.start_soon(s.publisher.publish, DiskContent(b"x"), edition("small-" + key))
        assert s.budget.peak_bytes <= PART + 2 * PART
        assert data == await s.read("a") == await s.read("b")
        s.budget.release_draft(PART)


async def test_a_writer_that_waits_for_memory_and_a_publish_do_not_wait_for_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What is sent goes on one by one, and the writer is served when memory comes free."""
    async with publishing(limit_bytes=8 * PART) as s:
        data = random.Random(4).randbytes(20 * PART)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(s.publisher.publish, DiskContent(data), edition("key"))
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(1000):
                assert await s.budget.wait_for_draft_room(4 * PART, lambda: True)
        assert s.budget.peak_bytes <= 8 * PART
        s.budget.release_draft(4 * PART)
        assert data == await s.read("key")


async def test_sending_evicts_what_can_be_fetched_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A cache that has filled the memory does not slow uploads down to one part at a time."""
    async with publishing(limit_bytes=16 * PART) as s:
        s.budget.reserve(16 * PART)
        cached = 16 * PART

        def evict(size_bytes: int) -> bool:
            nonlocal cached
            while cached and not s.budget.has_room(size_bytes):
                cached -= PART
                s.budget.release(PART)
            return s.budget.has_room(size_bytes)

        s.budget.reclaim = evict
        start = trio.current_time()
        await s.publisher.publish(DiskContent(bytes(32 * PART)), edition("key"))
        # Begin, four rounds of eight parts, complete.
        assert 6 * s.store.latency_seconds == pytest.approx(trio.current_time() - start)
        assert 16 * PART == s.budget.peak_bytes


@pytest.mark.parametrize("size_bytes", [PART, 8 * PART])
async def test_a_cancelled_publish_gives_all_memory_back(
    size_bytes: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Whether it waits for room, was not begun, or is under way; and leaves no upload behind."""
    for seconds in (0.0, 0.25, 0.75, 1.25):
        async with publishing(limit_bytes=4 * PART) as s:
            with trio.move_on_after(seconds):
                async with trio.open_nursery() as nursery:
                    for key in "abc":
                        content = DiskContent(bytes(size_bytes))
                        nursery.start_soon(s.publisher.publish, content, edition(key))
            assert 0 == s.budget.used_bytes
            assert (set(), []) == (s.uploads.open, await s.store.list_uploads(""))


async def test_a_publish_that_waits_goes_on_when_another_one_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its memory comes back, also that of the parts that were not begun."""

    def deny(request: Request) -> AccessDeniedError | None:
        return AccessDeniedError("no") if request.key == "denied" else None

    async with publishing(limit_bytes=4 * PART) as s:
        s.store.fault_for = deny
        refused: list[Exception] = []

        async def publish_denied() -> None:
            try:
                await s.publisher.publish(DiskContent(bytes(8 * PART)), edition("denied"))
            except AccessDeniedError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for key in ("denied", "good", "better"):
                if key == "denied":
                    nursery.start_soon(publish_denied)
                else:
                    nursery.start_soon(
                        s.publisher.publish, DiskContent(bytes(8 * PART)), edition(key)
                    )
        assert 1 == len(refused)
        assert 0 == s.budget.used_bytes
        assert 8 * PART == (await s.store.head("good")).size_bytes


@pytest.mark.parametrize("size_bytes", [PART, 8 * PART])
async def test_a_publish_may_be_interrupted_until_the_request_that_makes_the_object(
    size_bytes: int, autojump_clock: trio.testing.MockClock
) -> None:
    """The last word before the PUT, or the completion, is False."""
    async with publishing() as s:
        events: list[bool | str] = []
        s.store.fault_for = lambda request: events.append(request.kind)
        await s.publisher.publish(DiskContent(bytes(size_bytes)), edition("key"), events.append)
        expected: list[bool | str] = [True, "CREATE_UPLOAD", *["UPLOAD_PART"] * 8, False]
        if size_bytes == PART:
            assert [True, False, "PUT"] == events
        else:
            assert [*expected, "COMPLETE_UPLOAD"] == events


async def test_an_interruption_in_the_last_moment_sends_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who cancels while it may be sure that no object comes of it."""
    async with publishing() as s:
        scope = trio.CancelScope()
        told: list[bool] = []

        class Cancelling(DiskContent):
            async def collect(self, *args: object) -> list[memoryview]:
                await trio.lowlevel.checkpoint()
                scope.cancel()
                return [self._data]

        with scope:
            await s.publisher.publish(Cancelling(b"x"), edition("key"), told.append)
        assert (True, [True]) == (scope.cancelled_caught, told)
        assert {} == s.store.requests


async def test_a_file_that_is_larger_than_an_object_may_be_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Before anything is sent, with an error that says so."""
    async with publishing(max_parts=4) as s:
        data = bytes(4 * 16 * PART + 1)
        with pytest.raises(ObjectTooLargeError):
            await s.publisher.publish(DiskContent(data), edition("key"))
        with pytest.raises(ObjectTooLargeError):
            await s.publisher.copy(ObjectId("a", '"e"'), len(data), "b", HEADERS)
        assert {} == s.store.requests
        assert 1 == s.publisher.failure_count
        await s.publisher.publish(DiskContent(data[1:]), edition("key"))
        assert len(data) - 1 == (await s.store.head("key")).size_bytes


async def test_a_large_object_is_copied_in_parts(autojump_clock: trio.testing.MockClock) -> None:
    """As many as the store takes."""
    data = random.Random(5).randbytes(50 * PART)
    async with publishing(max_parts=100) as s:
        info = await s.publisher.publish(DiskContent(data), edition("a"))
        await s.publisher.copy(ObjectId("a", info.etag), len(data), "b", None)
        assert data == await s.read("b")
        assert 4 == s.store.requests["COPY_PART"]


async def test_a_draft_over_a_base_sends_what_was_written(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The rest is copied by the store; what has to be fetched of it is counted."""
    disk = Disk(tmp_path)
    async with publishing() as s:
        old = random.Random(6).randbytes(32 * PART)
        info = await s.publisher.publish(DiskContent(old), edition("key"))
        draft = draft_on(disk, s.budget, block_bytes=PART, base_bytes=len(old))
        await draft.write(8 * PART, b"x" * KIB)
        s.store.requests.clear()
        s.budget.peak_bytes = 0
        base = ObjectId("key", info.etag)
        await s.publisher.publish(draft, Edition(key="new", headers=HEADERS, base=base))
        assert 1 == s.store.requests["UPLOAD_PART"]
        assert 2 * KIB < s.budget.peak_bytes <= 2 * PART
        changed = old[: 8 * PART] + b"x" * KIB + old[8 * PART + KIB :]
        assert changed == await s.read("new")
        assert changed == b"".join(await draft.read(0, len(old), s.publisher.base_reader(base)))
        await draft.aclose()
    disk.stop()


@pytest.mark.parametrize("size_bytes", [PART // 2, 32 * PART])
async def test_a_draft_whose_base_is_gone_is_refused(
    size_bytes: int, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """As one whose base was replaced is, whether its bytes are to be fetched or to be copied."""
    disk = Disk(tmp_path)
    async with publishing() as s:
        draft = draft_on(disk, s.budget, block_bytes=PART, base_bytes=size_bytes)
        await draft.write(7, b"x")
        base = ObjectId("gone", '"etag"')
        with pytest.raises(PreconditionFailedError, match="gone"):
            await s.publisher.publish(draft, Edition(key="new", headers=HEADERS, base=base))
        assert (set(), []) == (s.uploads.open, await s.store.list_uploads(""))
        await draft.aclose()
    disk.stop()
