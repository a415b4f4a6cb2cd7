"""How much memory this process may count on."""

from __future__ import annotations

import os
from pathlib import Path

GIB = 1 << 30

DEFAULT_SHARE = 4
"""By default a mount takes one part in this many: the machine is there for the training job."""

DEFAULT_MAX_BYTES = 4 * GIB
"""More than this no reader of today's networks keeps in flight."""


def default_memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the default of ``--memory-limit``: a quarter of what there is, at most 4 GiB."""
    return min(total_memory_bytes(root) // DEFAULT_SHARE, DEFAULT_MAX_BYTES)


def total_memory_bytes(root: Path = Path("/")) -> int:
    """Return the machine's memory, or the limit of this process's control group if that is less.

    Args:
        root: where ``/proc`` and ``/sys`` are found.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_cgroup_limits_bytes(root)])


def _cgroup_limits_bytes(root: Path) -> list[int]:
    """Return every memory limit between this process and the root of its control groups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits: list[int] = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside of a container the path may name a group of the host that cannot be seen here; the
        # folder itself is then the container's own group, so every ancestor is tried.
        folder = base / group.lstrip("/")
        while True:
            limit = _read_limit(folder / name)
            if limit is not None:
                limits.append(limit)
            if folder == base:
                break
            folder = folder.parent
    return limits


def _read_limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # cgroup v2 says "max" for none
