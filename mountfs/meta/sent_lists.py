"""The order of LISTs and local changes, and until when a change has to be held against LISTs."""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.node import Directory
    from mountfs.meta.override import Override


class SentLists:
    """Draws numbers for LISTs and for local changes, and knows which LISTs are in flight.

    A LIST with a higher number was sent after a change with a lower one, so its answer knows of the
    change. Once no LIST with a lower number is in flight the change needs no `Override` any more.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._in_flight: set[int] = set()
        self._settling: deque[tuple[int, Directory, bytes]] = deque()

    def next_number(self) -> int:
        """Draw the number of a local change, or of a listing that begins."""
        return next(self._numbers)

    @property
    def is_any_in_flight(self) -> bool:
        """Tell whether there is a LIST whose answer was not applied yet."""
        return bool(self._in_flight)

    @contextmanager
    def sending(self) -> Iterator[int]:
        """Draw the number of a LIST that is sent now; leave when its answer has been applied."""
        number = self.next_number()
        self._in_flight.add(number)
        try:
            yield number
        finally:
            self._in_flight.remove(number)
            self._drop_settled()

    def settle(self, directory: Directory, entry_key: bytes, override: Override) -> None:
        """Let *override*, which is that of *entry_key*, hold against what was sent until now."""
        override.since = self.next_number()
        self._settling.append((override.since, directory, entry_key))
        self._drop_settled()

    def _drop_settled(self) -> None:
        settling = self._settling
        if not settling:
            return
        oldest = min(self._in_flight, default=None)
        while settling and (oldest is None or settling[0][0] < oldest):
            since, directory, entry_key = settling.popleft()
            override = directory.overrides.get(entry_key) if directory.overrides else None
            if override is not None and not override.pins and override.since == since:
                directory.drop_override(entry_key)
