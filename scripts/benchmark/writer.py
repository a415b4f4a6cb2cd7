"""A process that writes, as an application without any help would.

Started by the benchmark as ``python -m scripts.benchmark.writer``; see `scripts.benchmark.task`.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from scripts.benchmark.task import serve_task

if TYPE_CHECKING:
    from collections.abc import Callable


def write_files(paths: list[str], size_bytes: int) -> dict[str, Any]:
    """Create files of *size_bytes*, one after the other; the close is part of the work."""
    content = os.urandom(size_bytes)
    for path in paths:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, content)
        os.close(descriptor)
    return {"files": len(paths), "bytes": size_bytes * len(paths)}


def append(path: str) -> dict[str, Any]:
    """Make a file one byte longer."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"!")
    os.close(descriptor)
    return {"files": 1, "bytes": 1}


def rename(source: str, target: str) -> dict[str, Any]:
    """Give a file or a directory another name."""
    os.rename(source, target)
    return {"files": 1, "bytes": 0}


def prepare_save(path: str, size_bytes: int, *, is_synced: bool) -> Callable[[], dict[str, Any]]:
    """Make a state dict and return what saves it; *is_synced* adds an fsync after the close."""
    import torch

    from scripts.benchmark.checkpoint import make_state_dict

    tensors = make_state_dict(size_bytes)

    def save() -> dict[str, Any]:
        torch.save(tensors, path)
        if is_synced:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        return {"files": 1, "bytes": os.stat(path).st_size}

    return save


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return the work that *job* names."""
    if job["kind"] == "save":
        return prepare_save(job["path"], job["size_bytes"], is_synced=job["is_synced"])
    if job["kind"] == "files":
        return partial(write_files, job["paths"], job["size_bytes"])
    if job["kind"] == "append":
        return partial(append, job["path"])
    return partial(rename, job["source"], job["target"])


if __name__ == "__main__":
    serve_task(prepare)
