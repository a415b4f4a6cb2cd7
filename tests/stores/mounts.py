"""Mounts that a test left behind: found in the kernel's table, never by touching them.

A mount whose process hangs blocks whoever asks for it by ``stat``; reading the table does not.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def find_mounts_below(directory: Path) -> list[Path]:
    """Return the mountpoints at or below *directory*, the innermost first."""
    mountpoints = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # The kernel writes space, tab, newline and backslash as \ooo.
        field = line.split(b" ")[4].decode("unicode_escape").encode("latin-1")
        path = Path(field.decode(errors="surrogateescape"))
        if path.is_relative_to(directory):
            mountpoints.append(path)
    return sorted(mountpoints, reverse=True)


def unmount_all_below(directory: Path) -> list[Path]:
    """Detach every mount at or below *directory* lazily, and return where they were."""
    mountpoints = find_mounts_below(directory)
    for mountpoint in mountpoints:
        subprocess.run(["fusermount3", "-uz", "--", str(mountpoint)], check=False, timeout=20)
    return mountpoints
