"""Who is creating files, and need not ask the store before each of them.

The kernel looks a name up before it creates the file, and does not say what for. An absent name is
not believed to be absent: a checkpoint that another host has written must be found at once. But
1,000 new files would then be 1,000 LISTs. So a look-up is answered from the listing, if that is
complete and fresh, for a thread that is seen to replace the file, whatever there is.

Where threads cannot be seen, one that has just created the file that it had looked up in vain is
believed to do the same again: its next look-up in that directory, and no more than that one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mountfs.vfs.open_call import is_replacing

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_THREADS = 4096
"""Threads remembered; each is a few dozen bytes, and the oldest is forgotten."""


class Creators:
    """For each thread where it has looked for a name in vain, and where it creates.

    Args:
        sees: tells whether a thread that waits for a look-up replaces the file; None if it cannot
            be seen.
    """

    def __init__(self, sees: Callable[[int], bool | None] = is_replacing) -> None:
        self._sees = sees
        self._missed: OrderedDict[int, tuple[int, bytes]] = OrderedDict()
        self._creating: OrderedDict[int, int] = OrderedDict()

    def note_missed(self, thread: int, parent: int, name: bytes) -> None:
        """Note that *thread* was told that *name* is not in the directory *parent*."""
        self._missed[thread] = (parent, name)
        self._missed.move_to_end(thread)
        if len(self._missed) > MAX_THREADS:
            self._missed.popitem(last=False)

    def note_created(self, thread: int, parent: int, name: bytes) -> None:
        """Note that *thread* has created *name*; if it had looked for just that, it has credit."""
        if self._missed.pop(thread, None) == (parent, name):
            self._creating[thread] = parent
            self._creating.move_to_end(thread)
            if len(self._creating) > MAX_THREADS:
                self._creating.popitem(last=False)

    def may_believe(self, thread: int, parent: int) -> bool:
        """Tell whether *thread* may be told, this once, that the listing of *parent* is right."""
        seen = self._sees(thread)
        if seen is not None:
            return seen
        return self._creating.get(thread) == parent and self._creating.pop(thread) == parent
