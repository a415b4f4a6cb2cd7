"""What POSIX says of symbolic links, FIFOs, sockets, devices, and of the links of directories.

Each function takes an empty directory and returns what can be seen; it is run in two of them.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

from tests.mount.write.pair import result_of
from tests.mount.write.sight import Seen, look

if TYPE_CHECKING:
    from pathlib import Path


def symlinks(root: Path) -> Seen:
    """Made, read, followed, removed, renamed; also dangling, absolute, in circles, and long."""
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"content")
    targets = {
        "file": "d/f", "directory": "d", "dangling": "none", "self": "self", "a": "b", "b": "a",
        "up": "../none", "absolute": "/etc/hostname", "long": "x/" * 500, "odd": "ü \n?",
    }  # fmt: skip
    for name, target in targets.items():
        os.symlink(target, root / name)
    seen: Seen = [(os.readlink(root / name), look(root / name)[:1]) for name in targets]
    seen += [look(root / name)[6] for name in targets]
    for call in (
        lambda: (root / "file").read_bytes(),
        lambda: os.listdir(root / "directory"),
        lambda: (root / "directory/f").read_bytes(),
        lambda: (root / "dangling").read_bytes(),
        lambda: (root / "self").read_bytes(),
        lambda: (root / "a/x").write_bytes(b""),
        lambda: os.close(os.open(root / "file", os.O_RDONLY | os.O_NOFOLLOW)),
        lambda: os.close(os.open(root / "dangling", os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
        lambda: os.symlink("x", root / "file"),
        lambda: os.symlink("x", root / "d"),
        lambda: os.symlink("", root / "empty"),
        lambda: os.rmdir(root / "directory"),
        lambda: os.mkdir(root / "dangling"),
        lambda: os.readlink(root / "d"),
        lambda: os.readlink(root / "d/f"),
        lambda: os.rename(root / "file", root / "renamed"),
        lambda: os.readlink(root / "renamed"),
        lambda: os.rename(root / "d/f", root / "self"),
        lambda: (root / "self").read_bytes(),
        lambda: os.unlink(root / "up"),
        lambda: (root / "dangling").write_bytes(b"made through the link"),
        lambda: (root / "none").read_bytes(),
        lambda: sorted(os.listdir(root)),
        lambda: os.symlink("y" * 4095, root / "longest"),
        lambda: os.symlink("y" * 4096, root / "too long"),
    ):
        seen.append(result_of(call))
    return seen


def special_files(root: Path) -> Seen:
    """FIFOs, sockets and, for root, devices: made, seen, used, renamed, removed."""
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(root)  # its path may be too long for an address
        server.bind("socket")
        os.chdir(here)
    seen: Seen = []
    for name, kind, device in (
        ("zero", stat.S_IFCHR, os.makedev(1, 5)),
        ("block", stat.S_IFBLK, os.makedev(7, 200)),
        ("regular", stat.S_IFREG, 0),
        ("fifo2", stat.S_IFIFO, 0),
        ("socket2", stat.S_IFSOCK, 0),
        ("fifo", stat.S_IFIFO, 0),
    ):
        seen.append(result_of(lambda: os.mknod(root / name, kind | 0o600, device)))  # noqa: B023
    reader = os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(root / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"through the pipe")
    seen.append(os.read(reader, 100))
    os.close(writer)
    os.close(reader)
    os.rename(root / "fifo", root / "pipe")
    seen.append(result_of(lambda: os.open(root / "socket", os.O_RDONLY)))
    seen += [(name, look(root / name)) for name in sorted(os.listdir(root))]
    os.unlink(root / "pipe")
    return [*seen, sorted(os.listdir(root))]


def link_counts(root: Path) -> Seen:
    """Of directories: two and one for each directory below; of an unlinked file none."""
    seen: Seen = []

    def note() -> None:
        seen.append([look(path)[4] for path in (root, root / "d", root / "d/e") if path.exists()])

    (root / "d/e").mkdir(parents=True)
    note()
    (root / "d/f").write_bytes(b"")
    note()
    (root / "d/g").mkdir()
    note()
    os.rename(root / "d/g", root / "g")
    note()
    os.rename(root / "g", root / "d/e/g")
    note()
    os.rmdir(root / "d/e/g")
    note()
    with (root / "d/f").open("rb") as file:
        os.unlink(root / "d/f")
        seen.append(os.fstat(file.fileno()).st_nlink)
    return seen
