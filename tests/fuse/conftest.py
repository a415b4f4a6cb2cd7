"""A mount of files in memory for each module of tests."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fuse.memory_mount import MemoryMount, mounting_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryMount]:
    """One mount for the module; `mount` empties it. The kernel believes nothing for long."""
    folder = tmp_path_factory.mktemp("memory") / "mnt"
    with mounting_memory(folder, seconds=0.0, allow_other=os.geteuid() == 0) as mount:
        yield mount


@pytest.fixture
def mount(shared_mount: MemoryMount) -> MemoryMount:
    """A mount without files: nothing was published or called yet."""
    for name in os.listdir(shared_mount.path):
        path = shared_mount.path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shared_mount.settle()
    shared_mount.files.forget_events()
    return shared_mount
