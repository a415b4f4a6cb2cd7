"""The same system calls on two trees, and what came of each.

What is compared is what a program can see: results, contents, and the errno of a failure.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Path_ = TypeVar("Path_", Path, Path)

RENAME_NOREPLACE = 1
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


def rename_without_replacing(source: Path, target: Path) -> None:
    """Rename with RENAME_NOREPLACE, which Python's library does not offer.

    Raises:
        OSError: with the errno of the call.
    """
    result = _libc.renameat2(
        AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), RENAME_NOREPLACE
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def result_of(call: Callable[[], Any]) -> Any:
    """Return what *call* returns, or the name of the errno with which it failed."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def both(call: Callable[[Any], Any], mounted: Any, local: Any) -> Any:
    """Do the same on both sides, compare the results, and return the one they share."""
    expected = result_of(lambda: call(local))
    found = result_of(lambda: call(mounted))
    assert expected == found
    return expected


# --- calls that are more than one of Python's library, each with a result worth comparing --------


def describe(path: Path) -> tuple[bool, int, int]:
    """Return whether *path* is a directory, its permissions, and its size if it is a file."""
    found = path.lstat()
    is_directory = stat.S_ISDIR(found.st_mode)
    return is_directory, stat.S_IMODE(found.st_mode), 0 if is_directory else found.st_size


def describe_descriptor(descriptor: int) -> tuple[int, int]:
    """Return kind and size of an open file."""
    found = os.fstat(descriptor)
    return stat.S_IFMT(found.st_mode), found.st_size


def rename(source: Path, target: Path, *, may_replace: bool) -> bool:
    """Rename; return whether the inode number was kept."""
    number = source.lstat().st_ino
    if may_replace:
        os.rename(source, target)
    else:
        rename_without_replacing(source, target)
    return number == target.lstat().st_ino


def set_times(path: Path, mtime_ns: int) -> int:
    """Set both times; return the time of modification that is seen then."""
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path.stat().st_mtime_ns


def set_mode(path: Path, mode: int) -> int:
    """Set the permissions; return those that are seen then."""
    path.chmod(mode)
    return stat.S_IMODE(path.stat().st_mode)


def read_everything(path: Path) -> bytes:
    """Return the content of a file, as far as the page cache can be kept out of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def change_by_map(path: Path, start: int, data: bytes) -> int:
    """Write to the middle of a file through a shared mapping; return how much fitted."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(descriptor).st_size
        length = max(0, min(len(data), size - start))
        if length:
            with closing(mmap.mmap(descriptor, size)) as mapped:
                mapped[start : start + length] = data[:length]
                mapped.flush()
        return length
    finally:
        os.close(descriptor)


def copy_in_the_kernel(source: Path, target: Path) -> int:
    """Copy by ``copy_file_range``; return how many bytes."""
    copied = 0
    reader = os.open(source, os.O_RDONLY)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            while count := os.copy_file_range(reader, writer, 1 << 30):
                copied += count
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return copied


def copy_file(source: Path, target: Path) -> None:
    """Copy content and permissions with Python's library; the same file is an error of its own."""
    try:
        shutil.copy(source, target)
    except shutil.SameFileError:
        raise OSError(errno.EINVAL, "the same file") from None


def list_names(path: Path) -> list[str]:
    """Return the sorted names in a directory."""
    return sorted(os.listdir(path))


def read_tree(path: Path) -> object:
    """Return everything below *path*."""
    return tree_of_directory(path)
