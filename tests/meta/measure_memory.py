"""Print what an entry of the tree costs, in bytes of RSS: names, ETags, tables and all.

Run as ``python -m tests.meta.measure_memory ENTRIES FILES_PER_DIRECTORY``. In a process of its own,
since memory that was used once is rarely returned.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from pathlib import Path

from mountfs.meta.coverage import END
from mountfs.meta.fetch import SentPage
from mountfs.meta.flat_scan import FlatScan
from mountfs.meta.hidden_keys import HiddenKeys
from mountfs.meta.inode_table import InodeTable
from mountfs.meta.node import ROOT_NUMBER, Directory
from mountfs.objects import ListPage, ObjectInfo


def read_rss_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def make_page(first: int, stop: int, per_directory: int, total: int) -> ListPage:
    """Make a page as ImageNet's would be: names of 23 bytes, ETags of 34, sizes and times."""
    objects = [
        ObjectInfo(
            f"train/n{index // per_directory:08}/n{index:08}_{index:08}.JPEG",
            100_000 + index,
            f'"{hashlib.md5(b"%d" % index, usedforsecurity=False).hexdigest()}"',
            1_700_000_000 * 10**9 + index,
        )
        for index in range(first, stop)
    ]
    return ListPage(objects, [], "more" if stop < total else "")


def main() -> None:
    """List so many entries, tell the kernel of all of them, and print bytes an entry."""
    entries, per_directory = map(int, sys.argv[1:3])
    root = Directory(ROOT_NUMBER, None, b"", "train/", float("inf"))
    table = InodeTable(root)
    gc.collect()
    before = read_rss_bytes()
    scan = FlatScan(root, b"n00000000", numbers=table.numbers, hidden=HiddenKeys())
    for sequence, first in enumerate(range(0, entries, 1000), 1):
        page = make_page(first, min(first + 1000, entries), per_directory, entries)
        scan.read(SentPage(page, float(sequence), sequence), END)
    for directory in root.subdirectories.values():
        table.remember(directory)
        for node in directory.files.values():
            table.remember(node)
    assert len(table) == 1 + entries + len(root.subdirectories)
    gc.collect()
    per_entry = (read_rss_bytes() - before) / entries
    sys.stdout.write(f"{per_entry:.0f}\n")


if __name__ == "__main__":
    main()
