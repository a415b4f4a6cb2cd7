"""Virtual time for tests whose code also works in threads.

trio's clock jumps as soon as every task is blocked, also when what they are blocked by is a thread
that writes to a disk: on a slow one a deadline passes meanwhile, or an answer arrives that was to
travel for ten seconds. Here time stands still while a thread works.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def make_autojump_clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    """Return a clock that jumps to the next deadline when nothing happens, in threads either.

    Threads of `trio.to_thread.run_sync` count, until the end of the test. None of them may wait for
    a task that sleeps: neither would go on.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    run_sync = trio.to_thread.run_sync
    working = 0

    async def run_while_time_stands_still(
        function: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        nonlocal working
        working += 1
        clock.autojump_threshold = math.inf
        try:
            return await run_sync(function, *args, **options)
        finally:
            working -= 1
            if not working:
                clock.autojump_threshold = 0

    monkeypatch.setattr(trio.to_thread, "run_sync", run_while_time_stands_still)
    return clock


async def settled() -> None:
    """Return when nothing happens any more: all other tasks are blocked, and no thread works."""
    while True:
        await trio.testing.wait_all_threads_completed()
        await trio.testing.wait_all_tasks_blocked()
        if not trio.testing.active_thread_count():
            return
