"""What POSIX says of who may do what.

Each function takes a directory and returns what can be seen; it is run in two of them.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tests.mount.write.pair import result_of
from tests.mount.write.sight import Seen, look

if TYPE_CHECKING:
    from pathlib import Path


def permissions(root: Path) -> Seen:
    """What a user may do with what is theirs; run it as somebody who is not root."""
    f, d = root / "f", root / "d"
    f.write_bytes(b"content")
    d.mkdir()
    (d / "x").write_bytes(b"x")
    seen: Seen = []
    for mode in (0o000, 0o200, 0o400, 0o100, 0o600, 0o777):
        os.chmod(f, mode)
        seen += [
            result_of(lambda: f.read_bytes()),
            result_of(lambda: f.open("ab").close()),
            result_of(lambda: os.truncate(f, 3)),
            [os.access(f, wanted) for wanted in (os.R_OK, os.W_OK, os.X_OK)],
        ]
    for mode in (0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o700):
        os.chmod(d, mode)
        seen += [
            result_of(lambda: sorted(os.listdir(d))),
            result_of(lambda: (d / "x").read_bytes()),
            result_of(lambda: (d / "x").stat().st_size),
            result_of(lambda: (d / "y").write_bytes(b"")),
            result_of(lambda: (d / "z").mkdir()),
            result_of(lambda: (d / "z").rmdir()),
            result_of(lambda: os.rename(d / "x", d / "w")),
            result_of(lambda: os.rename(d / "w", d / "x")),
            result_of(lambda: (d / "y").unlink()),
        ]
    return [
        *seen,
        result_of(lambda: os.chown(f, 0, -1)),
        result_of(lambda: os.chown(f, -1, os.getgid())),
        result_of(lambda: os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))),
        look(f),
    ]


def what_is_of_others(root: Path) -> Seen:
    """What a user may do with root's things: `prepare_what_is_of_others` has made them."""
    seen: Seen = []
    for name in sorted(os.listdir(root / "roots")):
        path = root / "roots" / name
        seen += [
            (name, result_of(call))
            for call in (
                lambda: path.read_bytes(),  # noqa: B023
                lambda: path.open("ab").close(),  # noqa: B023
                lambda: os.chmod(path, 0o777),  # noqa: B023
                lambda: os.chown(path, os.getuid(), os.getgid()),  # noqa: B023
                lambda: os.utime(path, ns=(1, 1)),  # noqa: B023
                lambda: os.utime(path),  # noqa: B023
                lambda: os.unlink(path),  # noqa: B023
            )
        ]
    for name in ("sticky", "open"):
        seen += [
            (name, result_of(call))
            for call in (
                lambda: (root / name / "mine").write_bytes(b"mine"),  # noqa: B023
                lambda: os.rename(root / name / "roots", root / name / "x"),  # noqa: B023
                lambda: os.unlink(root / name / "roots"),  # noqa: B023
                lambda: os.unlink(root / name / "x"),  # noqa: B023
                lambda: os.rename(root / name / "mine", root / name / "y"),  # noqa: B023
                lambda: look(root / name / "y"),  # noqa: B023
            )
        ]
    return seen


def prepare_what_is_of_others(root: Path) -> None:
    """Make things as root, for `what_is_of_others`."""
    (root / "roots").mkdir()
    for mode in (0o600, 0o644, 0o666, 0o640, 0o604, 0o060):
        path = root / "roots" / oct(mode)
        path.write_bytes(b"content")
        os.chmod(path, mode)
    for name, mode in (("sticky", 0o1777), ("open", 0o777)):
        (root / name).mkdir()
        os.chmod(root / name, mode)
        (root / name / "roots").write_bytes(b"root's")
