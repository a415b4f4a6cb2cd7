"""From ``s3://bucket/key`` to the path at which a mount shows it, and back.

Looks at the mount table at each call, and at nothing else: mounts come and go, and what was true
before a fork need not be true in a worker.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from mountfs.datasets.mount_table import MOUNTINFO, read_windows, window_at

if TYPE_CHECKING:
    from pathlib import Path

SCHEME = "s3://"

_NOT_NAMES = frozenset(("", ".", ".."))


class NotMountedError(OSError):
    """No mount on this host shows a bucket, or that part of it.

    Not a ``FileNotFoundError``: the object may well exist, and who takes "no checkpoint" for an
    answer would start from nothing.
    """


def local_path(place: str | os.PathLike[str], *, mountinfo: Path = MOUNTINFO) -> str:
    """Return the path at which a mount shows ``s3://bucket/key``; anything else as it is.

    Where several mounts show the key, the one with the longest prefix is taken, and of those the
    youngest. A slash at the end stays. Nobody is asked whether the key exists.

    Raises:
        NotMountedError: No mount of this host shows the key.
        OSError: EINVAL for a key that no mount can show: with an empty part, ``.``, ``..`` or NUL.
    """
    text = os.fspath(place)
    if not text.startswith(SCHEME):
        return text
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    name = key.removesuffix("/")
    if "\0" in key or (key and _NOT_NAMES & {*name.split("/")}):
        raise OSError(errno.EINVAL, "no directory can show such a key", text)
    windows = read_windows(mountinfo)
    mounted = [window for window in windows if bucket and window.bucket == bucket]
    # `s3://bucket/dir` is the mountpoint itself where `dir/` is what is mounted.
    directory = f"{name}/" if name else ""
    fitting = [window for window in mounted if directory.startswith(window.prefix)]
    if not fitting:
        raise _not_mounted(text, bucket, [f"{w.bucket}/{w.prefix}" for w in mounted])
    longest = max(len(window.prefix) for window in fitting)
    window = [window for window in fitting if len(window.prefix) == longest][-1]
    rest = key[len(window.prefix) :]
    if not rest and not text.endswith("/"):
        return window.mountpoint
    return f"{window.mountpoint.rstrip('/')}/{rest}"


def s3_address(
    path: str | os.PathLike[str], *, mountinfo: Path = MOUNTINFO
) -> tuple[str, str] | None:
    """Return bucket and key of what a mount shows at a path; None where no mount does.

    Symbolic links are not followed. A slash at the end stays.
    """
    text = os.fspath(path)
    absolute = os.path.abspath(text)
    window = window_at(absolute, read_windows(mountinfo))
    if window is None or not window.bucket:
        return None
    below = os.path.relpath(absolute, window.mountpoint) if absolute != window.mountpoint else ""
    slash = "/" if below and text.endswith("/") else ""
    return window.bucket, f"{window.prefix}{below}{slash}"


def is_on_mount(path: str | os.PathLike[str], *, mountinfo: Path = MOUNTINFO) -> bool:
    """Tell whether a mount of a bucket holds an existing path, also through symbolic links.

    Raises:
        OSError: As ``os.stat`` does.
    """
    device = os.stat(path).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    return any(window.bucket and window.device == name for window in read_windows(mountinfo))


def _not_mounted(place: str, bucket: str, shown: list[str]) -> NotMountedError:
    if not bucket:
        return NotMountedError(errno.EINVAL, "the name of a bucket is missing", place)
    if shown:
        message = f"of bucket {bucket!r} this host has mounted only {', '.join(shown)}"
    else:
        message = f"bucket {bucket!r} is not mounted on this host"
    remedy = f"mount it with `mountfs {SCHEME}{bucket} DIRECTORY`"
    return NotMountedError(errno.ENODEV, f"{message}; {remedy}", place)
