"""What ``stat`` shows of a file or a directory."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

BLOCK_SIZE_BYTES = 1024 * 1024
"""``st_blksize``: CPython and others size their buffers by it, and a larger read is a cheaper
one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesConfig:
    """What objects do not say of themselves.

    Attributes:
        uid: owner of everything; by default who mounts.
        gid: group of everything; by default that of who mounts.
        file_mode: permission bits of files.
        dir_mode: permission bits of directories.
    """

    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    file_mode: int = 0o644
    dir_mode: int = 0o755


class Attributes(NamedTuple):
    """The attributes of one inode; time in ns since the epoch, mode with the file type.

    ``atime_ns`` and ``ctime_ns`` are None where nothing else is known than ``mtime_ns``.
    """

    inode: int
    size_bytes: int
    mtime_ns: int
    mode: int
    nlink: int
    uid: int
    gid: int
    atime_ns: int | None = None
    ctime_ns: int | None = None
    rdev: int = 0


class Caller(NamedTuple):
    """Who asks: user and group, and the thread's number, 0 when it cannot be seen from here."""

    uid: int
    gid: int
    pid: int


class AttributeChanges(NamedTuple):
    """What one request changes of an inode; None is left as it is. Mode without the file type."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


class Entry(NamedTuple):
    """A name's inode, and for how long the kernel may believe it.

    Attributes:
        attributes: of the inode; its number is among them.
        entry_seconds: for the name.
        attr_seconds: for the attributes; those of a file never change, since it is one version.
    """

    attributes: Attributes
    entry_seconds: float
    attr_seconds: float


class AttributesSource:
    """Makes `Attributes` of what the namespace knows."""

    __slots__ = ("_dir_mode", "_file_mode", "_gid", "_uid")

    def __init__(self, config: AttributesConfig) -> None:
        self._uid = config.uid
        self._gid = config.gid
        self._file_mode = stat.S_IFREG | stat.S_IMODE(config.file_mode)
        self._dir_mode = stat.S_IFDIR | stat.S_IMODE(config.dir_mode)

    def of_file(self, inode: int, size_bytes: int, mtime_ns: int) -> Attributes:
        """Return the attributes of a file."""
        return Attributes(inode, size_bytes, mtime_ns, self._file_mode, 1, self._uid, self._gid)

    def of_directory(self, inode: int, mtime_ns: int) -> Attributes:
        """Return the attributes of a directory.

        It has two links: less would make ``find`` skip its subdirectories.
        """
        return Attributes(inode, 0, mtime_ns, self._dir_mode, 2, self._uid, self._gid)
