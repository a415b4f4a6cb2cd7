from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.stream import UNSENT_PARTS
from mountfs.errors import ObjectTooLargeError, PreconditionFailedError, StoreUnavailableError
from mountfs.store.fake import HANG
from tests.data.drafts import Disk, draft_on
from tests.data.sending import HEADERS, PART, DiskContent, publishing
from tests.data.test_publisher import edition
from tests.virtual_time import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mountfs.data.draft import Draft
    from mountfs.data.stream import Stream
    from tests.data.sending import Setting


class Writing:
    """Files that are written in order and go up as streams."""

    def __init__(self, setting: Setting, disk: Disk) -> None:
        self.setting = setting
        self.drafts: list[Draft] = []
        self._disk = disk

    def begin(self, key: str) -> tuple[Draft, Stream]:
        """Return a new file and its stream."""
        draft = draft_on(self._disk, self.setting.budget, block_bytes=PART)
        self.drafts.append(draft)
        stream = self.setting.publisher.begin_stream(draft, key, HEADERS)
        draft.sender = stream
        return draft, stream

    async def write(self, key: str, data: bytes) -> None:
        """Write a whole file, by quarters of a part, and complete it."""
        draft, stream = self.begin(key)
        for at in range(0, len(data), PART // 4):
            await draft.write(at, data[at : at + PART // 4])
            stream.pump()
        await self.setting.publisher.finish(stream, None)


@asynccontextmanager
async def writing(
    folder: Path, *, limit_bytes: int = 16 * PART, max_parts: int = 10_000
) -> AsyncIterator[Writing]:
    """Provide a store for streams; at the end all memory has been given back."""
    disk = Disk(folder)
    async with publishing(limit_bytes=limit_bytes, max_parts=max_parts) as setting:
        state = Writing(setting, disk)
        yield state
        for draft in state.drafts:
            await draft.aclose()
    assert 0 == setting.budget.used_bytes
    disk.stop()


async def test_a_stream_takes_no_more_memory_than_the_limit(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """However far its writer is ahead of the store; and it does not move to disk."""
    data = random.Random(1).randbytes(60 * PART + 1)
    async with writing(tmp_path) as s:
        await s.write("key", data)
        assert s.setting.budget.peak_bytes <= 16 * PART
        assert data == await s.setting.read("key")


async def test_a_writer_is_not_far_ahead_of_the_parts_on_their_way(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """However much memory there is: more of it would not make the store faster."""
    async with writing(tmp_path, limit_bytes=1000 * PART) as s:
        s.setting.store.concurrency.limit = 3.0
        draft, stream = s.begin("key")
        ahead_bytes = 0
        for at in range(0, 60 * PART, PART // 4):
            await draft.write(at, bytes(PART // 4))
            stream.pump()
            ahead_bytes = max(ahead_bytes, draft.size_bytes - stream.sent_to)
        assert (UNSENT_PARTS - 1) * PART < ahead_bytes <= (UNSENT_PARTS + 1) * PART
        await s.setting.publisher.finish(stream, None)
        assert bytes(60 * PART) == await s.setting.read("key")


async def test_a_writer_that_is_ahead_goes_on_when_the_upload_has_failed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing is on its way any more; the failure is told elsewhere."""
    async with writing(tmp_path, limit_bytes=1000 * PART) as s:
        s.setting.store.concurrency.limit = 1.0
        draft, stream = s.begin("key")
        await draft.write(0, bytes((UNSENT_PARTS + 3) * PART))
        stream.pump()
        assert stream.is_behind
        async with trio.open_nursery() as nursery:
            nursery.start_soon(draft.write, draft.size_bytes, b"more")
            await settled()
            assert (UNSENT_PARTS + 3) * PART == draft.size_bytes
            await stream.abort()
        assert (UNSENT_PARTS + 3) * PART + 4 == draft.size_bytes


async def test_a_writer_that_is_ahead_goes_on_when_one_of_several_parts_has_failed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Though the others, which are cancelled, take a moment to end."""
    async with writing(tmp_path, limit_bytes=1000 * PART) as s:
        s.setting.store.concurrency.limit = 3.0
        draft, stream = s.begin("key")
        s.setting.store.faults.extend([None, HANG, StoreUnavailableError("no"), HANG])
        await draft.write(0, bytes((UNSENT_PARTS + 4) * PART))
        stream.pump()
        assert stream.is_behind
        await draft.write(draft.size_bytes, b"more")
        assert stream.error is not None
        assert (UNSENT_PARTS + 4) * PART + 4 == draft.size_bytes
        await stream.abort()


async def test_many_streams_take_no_more_memory_than_the_limit(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """All together: not one part for each of them."""
    async with writing(tmp_path) as s:
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(s.write, str(number), bytes([number]) * (3 * PART + 5))
        # Each call in progress may hold what it has just written.
        assert s.setting.budget.peak_bytes <= 16 * PART + 30 * PART // 4
        for number in range(30):
            assert bytes([number]) * (3 * PART + 5) == await s.setting.read(str(number))


async def test_all_that_is_complete_is_sent_as_far_as_there_is_room(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Asked once, with much to send, it does not take what is not there."""
    async with writing(tmp_path, limit_bytes=12 * PART) as s:
        draft, stream = s.begin("key")
        await draft.write(0, bytes(6 * PART))
        s.setting.budget.reserve(3 * PART)  # somebody else's
        stream.pump()
        assert 3 * PART == stream.sent_to
        assert 12 * PART == s.setting.budget.peak_bytes
        s.setting.budget.release(3 * PART)
        await stream.abort()


async def test_a_prefix_is_completed_under_the_condition_of_its_file(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """What must not replace anything does not, early either."""
    async with writing(tmp_path) as s:
        for key, expected_etag in (("taken", ""), ("free", ""), ("other", None)):
            if key == "taken":
                await s.setting.publisher.publish(DiskContent(b"theirs"), edition(key))
            draft, stream = s.begin(key)
            await draft.write(0, b"x" * (2 * PART + 1))
            stream.pump()
            if key == "taken":
                with pytest.raises(PreconditionFailedError):
                    await stream.complete_prefix(expected_etag)
                assert b"theirs" == await s.setting.read(key)
            else:
                info = await stream.complete_prefix(expected_etag)
                assert 2 * PART == info.size_bytes == stream.sent_to
        assert set() == s.setting.uploads.open


async def test_a_part_that_was_written_to_again_is_sent_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The beginning stays here for that; the rest is dropped once the store has it."""
    data = bytearray(random.Random(2).randbytes(4 * PART))
    async with writing(tmp_path) as s:
        draft, stream = s.begin("key")
        await draft.write(0, bytes(data))
        stream.pump()
        await trio.sleep(10)
        assert draft.has_dropped(PART, 3 * PART)
        assert not draft.has_dropped(0, PART)
        stream.hold()
        stream.note_changed(3, 8)
        await draft.write(3, b"patch")
        data[3:8] = b"patch"
        await s.setting.publisher.finish(stream, None)
        assert 5 == s.setting.store.requests["UPLOAD_PART"]
        assert bytes(data) == await s.setting.read("key")


async def test_a_stream_that_becomes_larger_than_an_object_may_be_fails(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Its writer learns it while it writes, or at the end; no upload stays behind."""
    async with writing(tmp_path, max_parts=3) as s:
        for is_pumped in (True, False):
            draft, stream = s.begin("key")
            await draft.write(0, bytes(4 * PART + 1))
            if is_pumped:
                stream.pump()
                assert isinstance(stream.error, ObjectTooLargeError)
            with pytest.raises(ObjectTooLargeError):
                await s.setting.publisher.finish(stream, None)
        assert set() == s.setting.uploads.open
        assert 0 == s.setting.store.requests["COMPLETE_UPLOAD"]


async def test_a_stream_that_is_aborted_while_it_is_completed_makes_no_object(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever completes it gets an error, instead of an object without its end."""
    async with writing(tmp_path) as s:
        draft, stream = s.begin("key")
        await draft.write(0, bytes(4 * PART + 1))
        stream.pump()
        errors: list[Exception] = []

        async def finish() -> None:
            try:
                await s.setting.publisher.finish(stream, None)
            except Exception as error:  # whichever it is
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish)
            await trio.sleep(0.75)
            await stream.abort()
        assert 1 == len(errors)
        assert 0 == s.setting.store.requests["COMPLETE_UPLOAD"]
        assert set() == s.setting.uploads.open
