"""What does not fit into memory is read all the same."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from mountfs.datasets import Item, IterableDataset, MapDataset, members

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20

SIZES = [*[8 * MIB] * 60, 320 * MIB, *[1000] * 2000]
"""Of the members: some that are held one at a time, one that is not, and many small ones."""

LIMIT_BYTES = 80 * MIB
"""A tenth of the archive; the buffers take a few megabytes, a member that is held eight."""


def write_holes(path: Path) -> int:
    """Write an archive whose contents are holes, which takes no time; return its length."""
    with path.open("wb") as file:
        for number, size_bytes in enumerate(SIZES):
            info = tarfile.TarInfo(f"{number:04}.bin")
            info.size = size_bytes
            file.write(info.tobuf())
            file.seek(size_bytes + -size_bytes % 512, 1)
        file.write(bytes(1024))
        return file.tell()


def length_of(item: Item) -> int:
    """Read all of an item, a megabyte at a time."""
    total = 0
    while chunk := item.read(MIB):
        total += len(chunk)
    item.close()
    return total


def peak_growth(action: Callable[[], object]) -> int:
    """Return by how many bytes this process grew at most while it did something."""
    Path("/proc/self/clear_refs").write_text("5")  # begins a new peak
    before_bytes = _status("VmRSS")
    action()
    return _status("VmHWM") - before_bytes


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def test_an_archive_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    """Streamed, and by an index, whose building does not read large members."""
    path = tmp_path / "a.tar"
    assert write_holes(path) >= 10 * LIMIT_BYTES
    stream = IterableDataset(path, expand=members, transform=length_of)
    numbered = MapDataset.from_tar(path, transform=length_of)
    found: list[int] = []
    assert peak_growth(lambda: found.extend(stream)) < LIMIT_BYTES
    assert SIZES == found
    assert peak_growth(lambda: found.append(numbered[60])) < LIMIT_BYTES
    assert 320 * MIB == found[-1]
