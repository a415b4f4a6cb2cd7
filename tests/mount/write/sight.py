"""What can be seen of a file and must be the same anywhere: no absolute times, no inode numbers."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from tests.mount.write.pair import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


Seen = list[Any]
"""Observations, in their order."""

CLOCK_REALTIME_COARSE = 5
"""Of Linux: the clock that file systems read; it ticks every few milliseconds."""


def look(path: Path) -> tuple[Any, ...]:
    """Return kind, mode, owner, group, link count, device, and size (not of a directory)."""
    found = path.lstat()
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return (
        stat.S_IFMT(found.st_mode), oct(stat.S_IMODE(found.st_mode)),
        found.st_uid, found.st_gid, found.st_nlink, found.st_rdev, size,
    )  # fmt: skip


def times(path: Path) -> tuple[int, int, int]:
    """Return atime, mtime and ctime in nanoseconds."""
    found = path.lstat()
    return found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns


def let_the_clock_tick(path: Path) -> None:
    """Return when a file that is made now is younger than *path*: clocks of kernels are coarse."""
    latest = max(times(path))
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= latest + 10_000_000:
        time.sleep(0.001)


def changes(path: Path, call: Callable[[], object]) -> tuple[Any, list[str]]:
    """Return what came of *call*, and which of the times of *path* went forward because of it.

    Not the time of access, which a mount may keep as it likes (``relatime``).
    """
    before = times(path)
    let_the_clock_tick(path)
    result = result_of(call)
    try:
        after = times(path)
    except FileNotFoundError:
        return result, ["gone"]
    names = ("mtime", "ctime")
    return result, [
        name for name, old, new in zip(names, before[1:], after[1:], strict=True) if new > old
    ]


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have this umask inside of the block."""
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)
