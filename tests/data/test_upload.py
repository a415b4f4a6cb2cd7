from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data import sending_room
from mountfs.data.budget import Budget
from mountfs.data.sending_room import SendingRoom
from mountfs.data.upload import OutgoingPart, Upload
from mountfs.errors import ObjectTooLargeError, StoreUnavailableError
from mountfs.objects import ObjectId
from mountfs.store.fake import FakeStore
from tests.data.sending import HEADERS, PART, UploadNotes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.objects import Body
    from mountfs.store.fake import Request


@pytest.fixture(autouse=True)
def _sending_may_take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the limit be the only one, so that it is what the tests meet; the share has its own."""
    monkeypatch.setattr(sending_room, "SENDING_SHARE", 1)


async def collect(data: bytes) -> Body:
    """Return *data* as a body."""
    await trio.lowlevel.checkpoint()
    return [data]


def outgoing(number: int, size_bytes: int = PART) -> OutgoingPart:
    """Return a part that takes twice its size."""
    data = bytes([number % 256]) * size_bytes
    return OutgoingPart(
        number=number,
        size_bytes=size_bytes,
        memory_bytes=2 * size_bytes,
        collect=partial(collect, data),
    )


class Setting:
    """An upload, and what it works with."""

    def __init__(self, nursery: trio.Nursery, max_parts: int) -> None:
        self.store = FakeStore(
            part_size_bytes=PART,
            min_part_bytes=PART,
            max_part_bytes=2 * PART,
            max_parts=max_parts,
            latency_seconds=1.0,
        )
        self.budget = Budget(8 * PART)
        self.uploads = UploadNotes()
        self.upload = Upload(
            self.store, SendingRoom(self.budget), self.uploads, nursery, "key", HEADERS
        )


@asynccontextmanager
async def uploading(*, max_parts: int = 100) -> AsyncIterator[Setting]:
    """Provide an upload; at the end no memory is taken, and nothing dangles."""
    async with trio.open_nursery() as nursery:
        setting = Setting(nursery, max_parts)
        yield setting
        nursery.cancel_scope.cancel()
    assert (0, 0) == (setting.upload.in_flight, setting.budget.used_bytes)


async def test_parts_take_their_memory_when_they_are_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So who asks in a loop, without giving any of them the time to run, gets what there is."""
    async with uploading() as s:
        begun = [s.upload.send_if_room(outgoing(number)) for number in range(1, 9)]
        assert [True] * 4 + [False] * 4 == begun
        assert 8 * PART == s.budget.used_bytes == s.budget.peak_bytes
        await s.upload.wait_for_all()
        assert 0 == s.budget.used_bytes
        assert 4 * PART == s.upload.sent_bytes
        await s.upload.abort()


async def test_parts_in_flight_are_bounded_by_what_the_store_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Those that were begun and are no requests yet count."""
    async with uploading() as s:
        s.store.concurrency.limit = 2.0
        assert [True, True, False] == [s.upload.send_if_room(outgoing(n)) for n in (1, 2, 3)]
        await s.upload.send(outgoing(3))
        info = await s.upload.complete(None)
        assert 3 * PART == info.size_bytes
        assert set() == s.uploads.open


async def test_a_part_that_is_cancelled_before_it_began_gives_its_memory_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing was sent; nothing has to be aborted."""
    async with uploading() as s:
        assert s.upload.send_if_room(outgoing(1))
        await s.upload.abort()
        assert (0, {}) == (s.budget.used_bytes, s.store.requests)


async def test_an_upload_that_was_aborted_is_not_completed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Not with the parts that were sent before, and not by who waits for the others already."""
    async with uploading() as s:
        await s.upload.send(outgoing(1))
        await s.upload.wait_for_all()
        await s.upload.send(outgoing(2))
        refused: list[Exception] = []

        async def complete() -> None:
            with pytest.raises(StoreUnavailableError) as caught:
                await s.upload.complete(None)
            refused.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(complete)
            await trio.testing.wait_all_tasks_blocked()
            await s.upload.abort()
        await complete()
        with pytest.raises(StoreUnavailableError):
            await s.upload.send(outgoing(3))
        assert not s.upload.send_if_room(outgoing(3))
        assert 2 == len(refused)
        assert 0 == s.store.requests["COMPLETE_UPLOAD"]
        assert set() == s.uploads.open


async def test_an_upload_that_lacks_a_part_is_not_completed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its task may be cancelled from outside, at the end of the mount."""
    refused: list[Exception] = []
    with trio.move_on_after(2.5):  # the second part is under way then
        async with trio.open_nursery() as parts:
            s = Setting(parts, 100)

            async def complete() -> None:
                with trio.CancelScope(shield=True):
                    await s.upload.send(outgoing(1))
                    await s.upload.wait_for_all()
                    await s.upload.send(outgoing(2))
                    try:
                        await s.upload.complete(None)
                    except StoreUnavailableError as error:
                        refused.append(error)

            parts.start_soon(complete)
    assert 1 == len(refused)
    assert (0, 1) == (s.store.requests["COMPLETE_UPLOAD"], s.store.requests["ABORT_UPLOAD"])
    assert 0 == s.budget.used_bytes


async def test_a_part_that_is_sent_again_and_lost_is_missing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The older version of it does not take its place."""
    async with uploading() as s:
        await s.upload.send(outgoing(1))
        await s.upload.wait_for_all()
        s.store.faults.append(StoreUnavailableError("no answer"))
        await s.upload.send(outgoing(1))
        with pytest.raises(StoreUnavailableError, match="no answer"):
            await s.upload.complete(None)
        assert 0 == s.upload.sent_bytes
        assert (0, set()) == (s.store.requests["COMPLETE_UPLOAD"], s.uploads.open)


async def test_a_part_after_the_end_of_the_mount_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is an error of the upload, and nothing waits for ever."""
    async with uploading() as s:
        pass
    assert not s.upload.send_if_room(outgoing(1))
    with pytest.raises(StoreUnavailableError):
        await s.upload.send(outgoing(1))
    await s.upload.abort()
    assert 0 == s.budget.used_bytes


async def test_what_is_beyond_the_limits_of_the_store_is_too_large(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One part too many, or one that is too large: the file is, and its upload ends."""
    async with uploading(max_parts=2) as s:
        for number in (1, 2):
            await s.upload.send(outgoing(number))
        with pytest.raises(ObjectTooLargeError):
            await s.upload.send(outgoing(3))
        with pytest.raises(ObjectTooLargeError):
            await s.upload.complete(None)
        assert set() == s.uploads.open
    async with uploading() as s:
        assert not s.upload.send_if_room(outgoing(1, 2 * PART + 1))
        assert isinstance(s.upload.error, ObjectTooLargeError)
        await s.upload.abort()
        assert {} == s.store.requests


async def test_a_part_that_cannot_be_read_ends_the_upload(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who completes it gets that error; the others are cancelled, copies among them."""

    async def fail() -> Body:
        await trio.sleep(0.5)
        raise OSError(5, "the disk is broken")

    async with uploading() as s:
        broken = OutgoingPart(number=1, size_bytes=PART, memory_bytes=PART, collect=fail)
        await s.upload.send(broken)
        s.upload.copy(2, ObjectId("other", '"etag"'), 0, PART)
        with pytest.raises(OSError, match="broken"):
            await s.upload.complete(None)
        assert (0, set()) == (s.store.requests["COMPLETE_UPLOAD"], s.uploads.open)


async def test_the_upload_is_begun_once(autojump_clock: trio.testing.MockClock) -> None:
    """By the first of its parts, and the others wait for that."""
    seen: list[str] = []

    def note(request: Request) -> None:
        seen.append(request.kind)

    async with uploading() as s:
        s.store.fault_for = note
        for number in (1, 2, 3):
            await s.upload.send(outgoing(number))
        await s.upload.complete("")
        assert ["CREATE_UPLOAD", *["UPLOAD_PART"] * 3, "COMPLETE_UPLOAD"] == seen
        assert "" == s.store.log[-1].expected_etag


def test_bodies_take_only_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way gets a part of the budget; the only one goes whatever its size."""
    monkeypatch.setattr(sending_room, "SENDING_SHARE", 4)
    room = sending_room.SendingRoom(Budget(limit_bytes=80))
    assert [True, True, False] == [room.take_if_room(10) for _ in range(3)]
    room.give_back(10)
    room.give_back(10)
    assert room.take_if_room(70)
    assert not room.take_if_room(1)
