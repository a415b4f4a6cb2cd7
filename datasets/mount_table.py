"""Which directories show which buckets, from ``/proc/self/mountinfo``.

Asks no file system: a ``stat`` of a mountpoint waits for its server.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNT_TYPE = b"fuse.mountfs"
"""The type that the kernel shows for the mounts that are meant here."""

MOUNTINFO = Path("/proc/self/mountinfo")

_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A directory through which a part of a bucket is seen.

    Attributes:
        mountpoint: Its absolute path.
        device: ``major:minor`` of the file system.
        bucket: What it shows; empty where the mount is of another kind.
        prefix: Of the keys that it shows; empty, or ends with ``/``.
    """

    mountpoint: str
    device: str
    bucket: str
    prefix: str


def read_windows(mountinfo: Path = MOUNTINFO) -> tuple[Window, ...]:
    """Return what is mounted and can be seen, of any kind, oldest first.

    Of several mounts on one directory only the last can be seen.
    """
    return _parse(mountinfo.read_bytes())


@functools.lru_cache(maxsize=1)  # a program that asks for the key of each item asks a million times
def _parse(table: bytes) -> tuple[Window, ...]:
    windows: dict[str, Window] = {}
    for line in filter(None, table.split(b"\n")):  # a name may hold a carriage return
        window = _parse_line(line)
        windows.pop(window.mountpoint, None)  # a later mount also moves to the end
        windows[window.mountpoint] = window
    return (*windows.values(),)


def window_at(path: str, windows: Iterable[Window]) -> Window | None:
    """Return the window that shows an absolute path: the innermost mount above it."""
    above = [window for window in windows if _is_below(path, window.mountpoint)]
    # Of equally long ones there is only one: the mountpoints differ.
    return max(above, key=lambda window: len(window.mountpoint), default=None)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _parse_line(line: bytes) -> Window:
    # 36 35 0:45 /root /mountpoint rw,noatime master:1 ... - type source rw,errors=continue
    fields = line.split(b" ")
    separator = fields.index(b"-", 6)
    bucket = prefix = ""
    source = _decode(fields[separator + 2])
    if fields[separator + 1] == MOUNT_TYPE and source.startswith("s3://"):
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        # A bind mount of a directory below the mount shows a part of what the mount shows.
        parts = [prefix.strip("/"), _decode(fields[3]).strip("/")]
        prefix = "".join(f"{part}/" for part in parts if part)
    return Window(
        mountpoint=_decode(fields[4]), device=fields[2].decode(), bucket=bucket, prefix=prefix
    )


def _decode(field: bytes) -> str:
    r"""Undo the kernel's escapes of space, tab, newline, backslash and # (``\040`` and so on)."""
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))
