"""Who works on which key of the bucket: one at a time, and nobody while its directory moves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class KeyLocks:
    """Locks by key and by prefix.

    All keys and prefixes that an operation needs are taken at once, or none. One that holds some
    asks at most for the marker of the directory above them: upwards only, so there is no deadlock.
    For the same reason nobody queues: whoever waits looks again at each release, in no order, and
    with the dozens that are held at a time that is cheap.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._prefixes: list[str] = []
        self._released = trio.Event()

    @asynccontextmanager
    async def hold(self, *keys: str, prefixes: Sequence[str] = ()) -> AsyncIterator[None]:
        """Hold *keys*, and everything that begins with one of *prefixes*, while the block runs.

        Cancellation: while it waits, it holds nothing.
        """
        wanted = set(keys)
        while self._is_taken(wanted, prefixes):
            await self._released.wait()
        self._keys |= wanted
        self._prefixes += prefixes
        try:
            yield
        finally:
            self._keys -= wanted
            for prefix in prefixes:
                self._prefixes.remove(prefix)
            self._released.set()
            self._released = trio.Event()

    def is_held(self, key: str) -> bool:
        """Tell whether somebody works on *key*, or moves a directory above it."""
        return key in self._keys or any(key.startswith(prefix) for prefix in self._prefixes)

    def _is_taken(self, keys: set[str], prefixes: Sequence[str]) -> bool:
        if not self._keys.isdisjoint(keys):
            return True
        if self._prefixes:
            held = tuple(self._prefixes)
            if any(key.startswith(held) for key in keys):
                return True
            if any(prefix.startswith(held) for prefix in prefixes):
                return True
        if not prefixes:
            return False
        own = tuple(prefixes)
        return any(key.startswith(own) for key in (*self._keys, *self._prefixes))
