"""Lists files below a directory, in the order in which an object store lists its keys."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def walk(directory: str, accepts: Callable[[bytes], bool] | None = None) -> Iterator[str]:
    """Yield the path of each file below a directory, sorted by the bytes of the whole path.

    Only the names of the directories on the way to the current one are held. Sockets, pipes and
    devices are left out, links are followed, a link to nothing is a file (that cannot be opened).

    Args:
        directory: Where to begin; every path that is yielded begins with it.
        accepts: Which names in ``directory`` itself to follow; those of directories end in a slash.

    Raises:
        OSError: A directory cannot be read; ELOOP where a link leads to a directory above it.
    """
    top = os.fsencode(directory)
    for path in _walk(top, accepts, ()):
        yield os.fsdecode(path)


def sorted_names(directory: bytes, accepts: Callable[[bytes], bool] | None = None) -> list[bytes]:
    """Return the names in a directory, those of directories with a slash, sorted by bytes.

    Args:
        directory: Which.
        accepts: Which names to keep; None keeps all.
    """
    names = []
    with os.scandir(directory or b".") as found:
        for one in found:
            if one.is_dir():
                name = one.name + b"/"
            elif one.is_file() or one.is_symlink():
                name = one.name
            else:
                continue
            if accepts is None or accepts(name):
                names.append(name)
    names.sort()
    return names


def _walk(
    directory: bytes, accepts: Callable[[bytes], bool] | None, above: tuple[tuple[int, int], ...]
) -> Iterator[bytes]:
    """Walk with the identities of all directories above, which no link may lead back to."""
    base = directory if not directory or directory.endswith(b"/") else directory + b"/"
    found = os.stat(directory or b".")
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(directory))
    identity = (found.st_dev, found.st_ino)
    if identity in above:
        raise OSError(errno.ELOOP, "link to a directory above it", os.fsdecode(directory))
    for name in sorted_names(directory, accepts):
        if name.endswith(b"/"):
            yield from _walk(base + name[:-1], None, (*above, identity))
        else:
            yield base + name
