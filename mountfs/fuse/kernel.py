"""What the kernel lets us tune after mounting.

Its default read-ahead of 128 KiB keeps a sequential reader at a tenth of what the mount can do;
only root may change it.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

READ_AHEAD_KIB = 4096
"""Four of the largest requests at a time keep the session busy; more only wastes the page cache."""


def device_number(mountpoint: str) -> str | None:
    """Return ``major:minor`` of the mount on *mountpoint*, or None when there is none.

    Reads /proc: a ``stat`` of the mountpoint would ask this very process and wait for itself.
    """
    wanted = mountpoint.encode("utf-8", "surrogateescape")
    found: bytes | None = None
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields = line.split(b" ")
        if unescape_mount_field(fields[4]) == wanted:
            found = fields[2]  # the last one is on top
    return found.decode() if found is not None else None


def unescape_mount_field(field: bytes) -> bytes:
    r"""Undo the kernel's octal escapes (``\040`` and so on) of space, tab, newline, backslash."""
    if b"\\" not in field:
        return field
    for escape, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(escape, char)
    return field


def raise_read_ahead(mountpoint: str) -> None:
    """Set the read-ahead of the mount to `READ_AHEAD_KIB`; log it when that is not permitted."""
    number = device_number(mountpoint)
    path = Path(f"/sys/class/bdi/{number}/read_ahead_kb")
    try:
        if number is not None:
            path.write_text(f"{READ_AHEAD_KIB}\n")
            return
        reason = "the mount is not in /proc/self/mountinfo"
    except OSError as error:
        reason = error.strerror or str(error)
    log.warning(
        "cannot raise the kernel's read-ahead to %d KiB (%s): large sequential reads stay slow; "
        "as root: echo %d > %s",
        READ_AHEAD_KIB,
        reason,
        READ_AHEAD_KIB,
        path,
    )
