"""What is mounted where, from ``/proc/self/mountinfo``.

Never asks a file system: a `stat` of a mountpoint waits for its server, which may hang, or be
ourselves.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNT_TYPE = "fuse.mountfs"
"""The type that the kernel shows for our mounts."""

MOUNTINFO = Path("/proc/self/mountinfo")

_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the mount table.

    Attributes:
        mount_id: the kernel's number for it, as in ``/proc/PID/fdinfo``.
        parent_id: the mount that it is mounted on.
        device: ``major:minor``.
        mountpoint: an absolute path, as this process sees it.
        kind: the type of the file system.
        source: what was mounted.
    """

    mount_id: int
    parent_id: int
    device: str
    mountpoint: str
    kind: str
    source: str

    @property
    def is_ours(self) -> bool:
        """Tell whether it is a mount of mountfs."""
        return self.kind == MOUNT_TYPE


def read_mounts(mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Return the mount table of this process, in the order in which things were mounted."""
    # Not splitlines(): a mountpoint may hold a carriage return.
    return [_parse_line(line) for line in mountinfo.read_bytes().split(b"\n") if line]


def top_mount_at(path: str, mounts: list[Mount]) -> Mount | None:
    """Return what is mounted on *path* itself; of several, the one that can be seen."""
    found = [mount for mount in mounts if mount.mountpoint == path]
    return found[-1] if found else None


def locate(path: str) -> str:
    """Return *path* absolute and without symbolic links, but without asking what is mounted there.

    The last part is followed only if it is a symbolic link, which no mountpoint is.
    """
    for _ in range(40):  # the kernel's own limit for chains of symbolic links
        folder, name = os.path.split(os.path.abspath(path))
        path = os.path.join(os.path.realpath(folder), name)
        try:
            target = os.readlink(path)
        except OSError:  # not a link, not there, or a mount whose server is gone
            break
        path = os.path.join(os.path.dirname(path), target)
    return path


def _parse_line(line: bytes) -> Mount:
    # 36 35 98:0 /root /mountpoint rw,noatime master:1 ... - type source rw,errors=continue
    fields = line.split(b" ")
    separator = fields.index(b"-", 6)
    return Mount(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=fields[2].decode(),
        mountpoint=_decode(fields[4]),
        kind=_decode(fields[separator + 1]),
        source=_decode(fields[separator + 2]),
    )


def _decode(field: bytes) -> str:
    r"""Undo the kernel's escapes of space, tab, newline, backslash and # (``\040`` and so on)."""
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))
