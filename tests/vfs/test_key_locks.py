from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from mountfs.vfs.key_locks import KeyLocks

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS = st.lists(st.sampled_from(["f", "a/f", "a/g", "a/b/f", "b/f", "ab"]), unique=True, max_size=2)
PREFIXES = st.lists(st.sampled_from(["a/", "a/b/", "b/"]), unique=True, max_size=2)
REQUESTS = st.lists(st.tuples(KEYS, PREFIXES), max_size=6)


def clash(
    first: tuple[Sequence[str], Sequence[str]], second: tuple[Sequence[str], Sequence[str]]
) -> bool:
    """Tell whether two operations must not run at once, said in another way than the code does."""
    pairs = [(name, other) for name in first[0] for other in second[0]]
    if any(name == other for name, other in pairs):
        return True
    below = [(key, prefix) for key in (*first[0], *first[1]) for prefix in second[1]]
    below += [(key, prefix) for key in (*second[0], *second[1]) for prefix in first[1]]
    return any(key[: len(prefix)] == prefix for key, prefix in below)


@given(REQUESTS)
def test_all_get_their_turn_and_nobody_shares(
    requests: list[tuple[list[str], list[str]]],
) -> None:
    """Whatever is asked for in whatever order: no two that clash run at once, and all end."""
    running: list[tuple[list[str], list[str]]] = []
    ended: list[tuple[list[str], list[str]]] = []

    async def work(locks: KeyLocks, request: tuple[list[str], list[str]]) -> None:
        async with locks.hold(*request[0], prefixes=request[1]):
            assert not any(clash(request, other) for other in running)
            running.append(request)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            running.remove(request)
        ended.append(request)

    async def run() -> None:
        locks = KeyLocks()
        async with trio.open_nursery() as nursery:
            for request in requests:
                nursery.start_soon(work, locks, request)
        async with locks.hold("f", prefixes=("a/", "b/")):
            pass

    trio.run(run)
    assert sorted(requests) == sorted(ended)


@pytest.mark.parametrize(
    ("keys", "prefixes"),
    [(("a/f",), ()), ((), ("a/",)), ((), ("a/b/",)), ((), ("",)), (("x", "a/f"), ("y/",))],
)
async def test_what_is_below_a_held_prefix_waits(
    keys: tuple[str, ...], prefixes: tuple[str, ...]
) -> None:
    """And so does the prefix of what is held."""
    locks = KeyLocks()
    has_entered = False

    async def enter() -> None:
        nonlocal has_entered
        async with locks.hold(*keys, prefixes=prefixes):
            has_entered = True

    async with trio.open_nursery() as nursery, locks.hold("a/b/g", prefixes=("a/",)):
        nursery.start_soon(enter)
        async with locks.hold("b/f", "a", prefixes=("ab/",)):
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert not has_entered
    assert has_entered


async def test_who_gives_up_waiting_holds_nothing() -> None:
    """Not even what was free, and the next one enters at once."""
    locks = KeyLocks()
    async with locks.hold("a"):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                async with locks.hold("a", "b", prefixes=("c/",)):
                    raise AssertionError("`a` is held")

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            async with locks.hold("b", prefixes=("c/",)):
                pass
            nursery.cancel_scope.cancel()
        async with locks.hold("b", prefixes=("c/",)):
            pass


async def test_a_failure_and_a_cancellation_release() -> None:
    """What the block did is over, however it ended."""
    locks = KeyLocks()
    with pytest.raises(ValueError, match="failed"):
        async with locks.hold("a", prefixes=("d/",)):
            raise ValueError("failed")
    with trio.CancelScope() as scope:
        async with locks.hold("a", prefixes=("d/",)):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with locks.hold("a", "d/x"):
        pass
