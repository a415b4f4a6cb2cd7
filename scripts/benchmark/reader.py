"""A process that reads, as an application without any help would: os.open, os.read, os.close.

Started by the benchmark as ``python -m scripts.benchmark.reader``; see `scripts.benchmark.task`.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from scripts.benchmark.task import serve_task

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 1024 * 1024
"""What one os.read asks for."""

SETTLE_SECONDS = 0.5
"""Between the open and the first random read: what the open asked for has come."""


def read_files(paths: list[str]) -> dict[str, Any]:
    """Read files from begin to end, one after the other."""
    size_bytes = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        while chunk := os.read(descriptor, READ_BYTES):
            size_bytes += len(chunk)
        os.close(descriptor)
    return {"files": len(paths), "bytes": size_bytes}


def read_ranges(descriptor: int, ranges: list[tuple[int, int]]) -> dict[str, Any]:
    """Read ranges ``[start, stop)`` of one file and measure each."""
    size_bytes = 0
    seconds = []
    for start, stop in ranges:
        began = time.perf_counter()
        size_bytes += len(os.pread(descriptor, stop - start, start))
        seconds.append(time.perf_counter() - began)
    return {"bytes": size_bytes, "seconds": seconds}


def walk(root: str, *, with_stat: bool) -> dict[str, Any]:
    """Go through a tree with os.walk; *with_stat* asks for each file's attributes."""
    files = size_bytes = 0
    for directory, _, names in os.walk(root):
        files += len(names)
        if with_stat:
            for name in names:
                size_bytes += os.stat(f"{directory}/{name}").st_size
    return {"files": files, "bytes": size_bytes}


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return the work that *job* names."""
    if job["kind"] == "files":
        return partial(read_files, job["paths"])
    if job["kind"] == "walk":
        return partial(walk, job["root"], with_stat=job["with_stat"])
    descriptor = os.open(job["path"], os.O_RDONLY)
    time.sleep(SETTLE_SECONDS)
    return partial(read_ranges, descriptor, job["ranges"])


if __name__ == "__main__":
    serve_task(prepare)
