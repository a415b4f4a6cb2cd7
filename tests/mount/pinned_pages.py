"""Files that stay in the page cache, so that a test can say what reading them again costs.

A kernel that is short of memory, or that reclaims what looks idle, drops single pages at any time.
Each costs a request, which says nothing about the mount.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
]
_libc.mlock.argtypes = _libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

_MAP_FAILED = ctypes.c_void_p(-1).value


@contextlib.contextmanager
def pinned_pages(paths: Iterable[Path]) -> Iterator[None]:
    """Read files that are not empty into the page cache, and keep them there during the block.

    An `open` that makes the kernel forget what it has is not prevented by this.

    Raises:
        OSError: ENOMEM or EPERM: they are more than may be locked (``ulimit -l``).
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            stack.enter_context(_pinned(path))
        yield


@contextlib.contextmanager
def _pinned(path: Path) -> Iterator[None]:
    # `mmap.mmap` tells the address of what may be written to only, and of that a lock makes copies.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == _MAP_FAILED:
        raise _last_error(path)
    try:
        if _libc.mlock(address, size):
            raise _last_error(path)
        yield
    finally:
        _libc.munmap(address, size)


def _last_error(path: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))
