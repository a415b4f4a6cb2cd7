"""glibc's allocator, told to keep what large parts need.

Parts of several MiB are by default mapped for each `bytes` and unmapped when it goes: the kernel
zeroes the same pages again and again, which costs more than copying the data. Below the thresholds
set here the heap keeps the memory instead.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
"""The largest that glibc accepts; a part is smaller."""

TRIM_THRESHOLD_BYTES = 128 * 1024 * 1024
"""The heap keeps this much free memory at its end: enough for parts that come and go together."""


def give_back_freed_memory() -> None:
    """Give the system back what was freed and is kept; blocks for milliseconds, so in a thread.

    After something large: the pieces that a draft leaves are smaller than parts, and parts do not
    fit into them.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # musl keeps nothing
        return


def keep_freed_parts() -> bool:
    """Tell the allocator to reuse the memory of large parts, for the whole process.

    Returns False, with no effect, where there is no `mallopt` (musl) or it refuses.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
    )
