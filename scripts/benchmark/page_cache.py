"""What the kernel still has of files that were read."""

from __future__ import annotations

import mmap
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def count_incomplete(sizes: Mapping[str, int]) -> int:
    """Return how many files are not wholly in the page cache.

    Args:
        sizes: by path.
    """
    # fincore belongs to util-linux, as mount does.
    command = ["fincore", "--bytes", "--noheadings", "--output", "PAGES", *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pages = map(int, done.stdout.split())
    needed = (-(-size // mmap.PAGESIZE) for size in sizes.values())
    return sum(have < need for have, need in zip(pages, needed, strict=True))


def read_refaults() -> int:
    """Return how many pages of files, so far, the kernel dropped and had to read again."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "workingset_refault_file":
            return int(value)
    return 0  # before Linux 5.9
