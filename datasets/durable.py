"""What it takes until bytes are where they should be, on a local disk and on a mount.

On a mount a publish belongs to the last ``close`` or to ``fsync``, and a directory has nothing to
be synced by itself: its ``fsync`` waits for everything below it.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

from mountfs.datasets.paths import is_on_mount

if TYPE_CHECKING:
    from collections.abc import Iterator


def sync_directory(path: str) -> None:
    """Let the names in a directory survive a loss of power.

    On a mount, where names are never late, this would wait for whatever else is being written, so
    nothing is done there.
    """
    if not is_on_mount(path):
        _sync(path)


def sync_tree(path: str) -> None:
    """Let every file below a directory, and their names, survive a loss of power.

    Raises:
        OSError: What was written has not arrived.
    """
    if is_on_mount(path):
        _sync(path)
        return
    for directory, _, names in os.walk(path, onerror=_raise):
        for name in names:
            _sync(os.path.join(directory, name))
        _sync(directory)


def list_sizes(path: str) -> dict[str, int]:
    """Return the length in bytes of every file below a directory, by its relative path."""
    return {os.path.relpath(file.path, path): file.stat().st_size for file in _files_below(path)}


def merge_sizes(sizes: list[dict[str, int]]) -> dict[str, int]:
    """Return what several hosts see together: one's view of what another wrote may be old.

    Raises:
        OSError: Two see the same file with different lengths.
    """
    merged: dict[str, int] = {}
    for of_one in sizes:
        for name, size_bytes in of_one.items():
            if merged.setdefault(name, size_bytes) != size_bytes:
                raise OSError(errno.EIO, "ranks see different lengths of this file", name)
    return merged


def remove_tree(path: str) -> None:
    """Remove a file, or a directory with everything in it; what is not there is removed already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError:  # EISDIR, or EPERM where POSIX is followed to the letter
        if not os.path.isdir(path):
            raise
        shutil.rmtree(path)


def _files_below(path: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_below(entry.path)
            else:
                yield entry


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise(error: OSError) -> None:
    raise error
