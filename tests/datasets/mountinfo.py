"""Mount tables as the kernel writes them, for tests that mount nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_mountinfo(directory: Path, *mounts: tuple[str, str, str] | tuple[str, str]) -> Path:
    """Write a table below *directory* and return its path.

    A mount is source and mountpoint (and the root of a bind mount); a source that does not start
    with ``s3://`` is of another kind.
    """
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for number, (source, mountpoint, *root) in enumerate(mounts):
        kind = "fuse.mountfs" if source.startswith("s3://") else "ext4"
        where = f"{''.join(root) or '/'} {_escape(mountpoint)}"
        head = f"{30 + number} 22 0:{50 + number} {where} rw,nosuid"
        lines.append(f"{head} shared:{number} master:1 - {kind} {_escape(source)} rw,user_id=0")
    path = directory / "mountinfo"
    path.write_text("\n".join(lines) + "\n")
    return path


def _escape(text: str) -> str:
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#" else letter for letter in text)
