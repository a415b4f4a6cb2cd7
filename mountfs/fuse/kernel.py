"""What the kernel lets us tune after mounting.

Its default read-ahead of 128 KiB keeps a sequential reader at a tenth of what the mount can do;
only root may change it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mountfs.mounts import read_mounts, top_mount_at

log = logging.getLogger(__name__)

READ_AHEAD_KIB = 4096
"""Four of the largest requests at a time keep the session busy; more only wastes the page cache."""


def raise_read_ahead(mountpoint: str) -> None:
    """Set the read-ahead of the mount to `READ_AHEAD_KIB`; log it when that is not permitted."""
    # From /proc: a `stat` of the mountpoint would ask this very process and wait for itself.
    mount = top_mount_at(mountpoint, read_mounts())
    number = None if mount is None else mount.device
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
