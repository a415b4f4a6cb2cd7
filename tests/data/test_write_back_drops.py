"""What is to be given up, and the journal does not take it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.data.pending import PendingState
from tests.data.test_write_back import opened

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_could_not_be_dropped_goes_up_behind_what_was_stopped_for_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older generation, whose upload was interrupted, does not stand in its way for ever."""
    async with opened(tmp_path, settle_seconds=0.0) as s:
        s.publisher.is_interruptible = True
        s.publisher.gate = trio.Event()
        await s.commit("key", b"one")
        await s.publisher.at_gate.wait()
        younger = await s.commit("key", b"two")

        async def fail(number: int, etag: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(s.journal, "end", fail)
            with pytest.raises(OSError, match="No space left"):
                await s.write_back.drop(younger.number)
        s.publisher.gate.set()
        await trio.sleep(5000)
        assert PendingState.PUBLISHED is younger.state
