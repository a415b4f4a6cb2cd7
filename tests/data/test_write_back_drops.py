"""What is to be given up, or renamed, and the journal does not take it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.pending import PendingState
from mountfs.errors import StoreUnavailableError
from tests.data.test_write_back import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mountfs.data.pending import Pending
    from mountfs.data.write_back import WriteBack
    from tests.data.test_write_back import Setting

    Doing = Callable[[WriteBack, int], Awaitable[bool]]


def drop(write_back: WriteBack, number: int) -> Awaitable[bool]:
    """Give a generation up."""
    return write_back.drop(number)


def rename(write_back: WriteBack, number: int) -> Awaitable[bool]:
    """Give it another key."""
    return write_back.rename(number, "new")


async def begin(s: Setting) -> tuple[Pending, Pending]:
    """Commit two generations of a key; the upload of the older one has begun, and stands still."""
    s.publisher.is_interruptible = True
    s.publisher.gate = trio.Event()
    older = await s.commit("key", b"one")
    await s.publisher.at_gate.wait()
    return older, await s.commit("key", b"two")


async def fail(*_: object) -> None:
    """Do what a method of the journal does on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("do", [drop, rename])
async def test_what_could_not_be_done_goes_up_behind_what_was_stopped_for_it(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    do: Doing,
) -> None:
    """An older generation, whose upload was interrupted, does not stand in its way for ever."""
    async with opened(tmp_path, settle_seconds=0.0) as s:
        _, younger = await begin(s)
        with monkeypatch.context() as patch:
            patch.setattr(s.journal, "end", fail)
            patch.setattr(s.journal, "rename", fail)
            with pytest.raises(OSError, match="No space left"):
                await do(s.write_back, younger.number)
        s.publisher.gate.set()
        await trio.sleep(5000)
        assert PendingState.PUBLISHED is younger.state


@pytest.mark.parametrize("do", [drop, rename])
async def test_an_older_generation_whose_end_was_not_noted_ends_later(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    do: Doing,
) -> None:
    """Nobody needs it any more; after a crash it would come back under a name that is gone."""
    async with opened(tmp_path, settle_seconds=0.0) as s:
        older, younger = await begin(s)
        end = s.journal.end
        is_full = True

        async def fail_once(number: int, etag: str) -> None:
            nonlocal is_full
            if is_full:
                is_full = False
                await fail()
            await end(number, etag)

        with monkeypatch.context() as patch:
            patch.setattr(s.journal, "end", fail_once)
            await do(s.write_back, younger.number)
        s.publisher.gate.set()
        await trio.sleep(5000)
        assert older.has_ended


@pytest.mark.parametrize("do", [drop, rename])
async def test_who_is_killed_while_he_waits_for_an_upload_does_not_stop_it_for_ever(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, do: Doing
) -> None:
    """An attempt that cannot be interrupted fails after that; it is made again."""
    async with opened(tmp_path, settle_seconds=0.0) as s:
        s.publisher.gate = trio.Event()
        s.publisher.errors = [StoreUnavailableError("no answer")]
        pending = await s.commit("key", b"one")
        await s.publisher.at_gate.wait()
        with trio.move_on_after(1) as scope:
            await do(s.write_back, pending.number)
        assert scope.cancelled_caught
        s.publisher.gate.set()
        await trio.sleep(5000)
        assert PendingState.PUBLISHED is pending.state
