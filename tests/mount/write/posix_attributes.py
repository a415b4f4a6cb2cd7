"""What POSIX says of modes, owners, times and extended attributes.

Each function takes an empty directory and returns what can be seen; it is run in two of them.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tests.mount.write.pair import result_of
from tests.mount.write.sight import Seen, changes, look, times, umask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FILE_MODES = [0o000, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644, 0o7777, 0o6000]
DIRECTORY_MODES = [0o700, 0o755, 0o1777, 0o2775, 0o000]

SECOND_NS = 10**9


def modes(root: Path) -> Seen:
    """Set modes, of files and directories, with the special bits."""
    (root / "f").write_bytes(b"content")
    (root / "d").mkdir()
    seen: Seen = []
    for mode in FILE_MODES:
        seen.append((result_of(lambda: os.chmod(root / "f", mode)), look(root / "f")))  # noqa: B023
    for mode in DIRECTORY_MODES:
        seen.append((result_of(lambda: os.chmod(root / "d", mode)), look(root / "d")))  # noqa: B023
    descriptor = os.open(root / "f", os.O_RDONLY) if os.geteuid() == 0 else None
    if descriptor is not None:
        os.fchmod(descriptor, 0o640)
        os.close(descriptor)
    os.chmod(root / "d", 0o755)
    return [*seen, look(root / "f")]


def modes_at_creation(root: Path) -> Seen:
    """The umask is applied once, and only there."""
    seen: Seen = []
    for number, (mask, mode) in enumerate(
        [(0, 0o777), (0o022, 0o666), (0o077, 0o777), (0o777, 0o777), (0, 0o4711)]
    ):
        with umask(mask):
            os.close(os.open(root / f"f{number}", os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode))
            os.mkdir(root / f"d{number}", mode & 0o1777)
            os.mkfifo(root / f"p{number}", mode & 0o777)
        seen += [look(root / f"{kind}{number}") for kind in "fdp"]
    return seen


def owners(root: Path) -> Seen:
    """Give files away, as root; set-uid and set-gid bits are taken from what can be executed."""
    seen: Seen = []
    for number, mode in enumerate((0o644, 0o6755, 0o6644, 0o2745)):
        path = root / f"f{number}"
        path.write_bytes(b"content")
        os.chmod(path, mode)
        seen.append((result_of(lambda: os.chown(path, 1234, 4321)), look(path)))  # noqa: B023
        seen.append((result_of(lambda: os.chown(path, -1, 77)), look(path)))  # noqa: B023
        seen.append((result_of(lambda: os.chown(path, 88, -1)), look(path)))  # noqa: B023
        seen.append((result_of(lambda: os.chown(path, -1, -1)), look(path)))  # noqa: B023
    (root / "d").mkdir()
    os.chmod(root / "d", 0o2755)
    os.chown(root / "d", 1234, 4321)
    (root / "d/inherits").write_bytes(b"")
    (root / "d/e").mkdir()
    os.symlink("f0", root / "link")
    os.chown(root / "link", 5, 6, follow_symlinks=False)
    return [*seen, *(look(root / name) for name in ("d", "d/inherits", "d/e", "link", "f0"))]


def writing_takes_set_uid_away(root: Path) -> Seen:
    """Of a file that somebody without privileges writes to or truncates."""
    seen: Seen = []
    calls: list[Callable[[Path], object]] = [
        lambda path: path.open("ab").write(b"x"),
        lambda path: os.truncate(path, 1),
        lambda path: path.write_bytes(b""),
    ]
    for number, call in enumerate(calls):
        path = root / f"f{number}"
        path.write_bytes(b"content")
        os.chmod(path, 0o6777)
        call(path)
        seen.append(look(path))
    return seen


def times_of_calls(root: Path) -> Seen:
    """Which times each call moves, of the file and of its directory."""
    d, f, g = root / "d", root / "d/f", root / "d/g"
    d.mkdir()
    seen: Seen = [changes(d, lambda: f.write_bytes(b"content"))]
    with f.open("r+b", buffering=0) as file:
        for path in (f, d):
            for call in (
                lambda: file.write(b"x"),
                lambda: os.ftruncate(file.fileno(), 3),
                lambda: os.ftruncate(file.fileno(), 9),
                lambda: os.fchmod(file.fileno(), 0o600),
            ):
                seen.append(changes(path, call))
    for path in (f, d):
        for call in (
            lambda: f.stat().st_size,
            lambda: os.truncate(f, 2),
            lambda: os.chmod(f, 0o644),
            lambda: os.chown(f, os.getuid(), os.getgid()),
            lambda: os.rename(f, g),
            lambda: os.rename(g, f),
            lambda: f.write_bytes(b"again"),
        ):
            seen.append(changes(path, call) if path.exists() else result_of(call))
    for call in (
        lambda: (d / "e").mkdir(),
        lambda: (d / "e").rmdir(),
        lambda: os.symlink("f", d / "link"),
        lambda: os.mkfifo(d / "fifo"),
        lambda: os.unlink(d / "fifo"),
        lambda: (d / "none").unlink(),
        lambda: sorted(os.listdir(d)),
        lambda: os.unlink(f),
    ):
        seen.append(changes(d, call))
    return seen


def times_that_are_set(root: Path) -> Seen:
    """To the nanosecond, in the past and the future, one of them, now, and of what a link is."""
    f = root / "f"
    f.write_bytes(b"content")
    (root / "d").mkdir()
    os.symlink("f", root / "link")
    seen: Seen = []
    for atime_ns, mtime_ns in (
        (0, 0),
        (1_111_111_111_111_111_111, 1_222_222_222_222_222_222),
        (4 * 10**9 * SECOND_NS, 5 * 10**8 * SECOND_NS),
        (1, SECOND_NS - 1),
    ):
        for path in (f, root / "d"):
            os.utime(path, ns=(atime_ns, mtime_ns))
            seen.append(times(path)[:2])
    os.utime(root / "link", ns=(5 * SECOND_NS, 6 * SECOND_NS), follow_symlinks=False)
    seen += [times(root / "link")[:2], times(f)[:2]]
    before = time.time_ns()
    os.utime(f)
    seen.append(all(abs(value - before) < 60 * SECOND_NS for value in times(f)))
    seen.append(changes(f, lambda: os.utime(f, ns=(9, 9))))
    f.write_bytes(b"newer")
    seen.append(f.stat().st_mtime_ns > SECOND_NS)
    return seen


def extended_attributes(root: Path) -> Seen:
    """In the name space ``user.``: set, replaced, listed, removed, kept by a rename."""
    f = root / "f"
    f.write_bytes(b"content")
    (root / "d").mkdir()
    seen: Seen = []
    for call in (
        lambda: os.setxattr(f, "user.a", b"value"),
        lambda: os.getxattr(f, "user.a"),
        lambda: os.setxattr(f, "user.a", b"other", os.XATTR_CREATE),
        lambda: os.setxattr(f, "user.a", b"other", os.XATTR_REPLACE),
        lambda: os.setxattr(f, "user.b", b"", os.XATTR_REPLACE),
        lambda: os.setxattr(f, "user.empty", b""),
        lambda: os.setxattr(f, "user.binary", bytes(range(256))),
        lambda: os.setxattr(f, "user.Mixed.Case-ü", b"x"),
        lambda: os.getxattr(f, "user.Mixed.Case-ü"),
        lambda: os.getxattr(f, "user.mixed.case-ü"),
        lambda: os.getxattr(f, "user.binary"),
        lambda: os.getxattr(f, "user.none"),
        lambda: sorted(os.listxattr(f)),
        lambda: os.removexattr(f, "user.a"),
        lambda: os.removexattr(f, "user.a"),
        lambda: os.rename(f, root / "d/g"),
        lambda: sorted(os.listxattr(root / "d/g")),
        lambda: (root / "d/g").write_bytes(b"other content"),
        lambda: os.getxattr(root / "d/g", "user.binary"),
        lambda: os.setxattr(root / "d", "user.of-a-directory", b"x"),
        lambda: os.listxattr(root / "d"),
        lambda: os.setxattr(root / "d/g", "user.large", b"x" * 100_000),
    ):
        seen.append(result_of(call))
    return seen
