"""How much memory a mount takes by default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.command.host_memory import GIB, default_memory_limit_bytes, total_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{GIB}\n"}, GIB),
        ("0::/a/b\n", {"a/b/memory.max": f"{GIB // 2}\n", "a/memory.max": f"{GIB}\n"}, GIB // 2),
        ("0::/\n", {"memory.max": f"{GIB}\n"}, GIB),
        ("0::/on/the/host\n", {"memory.max": f"{GIB}\n"}, GIB),
        ("4:cpu,memory:/c\n0::/\n", {"memory/c/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        ("4:memory:/c\n", {"memory/c/memory.limit_in_bytes": "9223372036854771712\n"}, PHYSICAL),
        ("4:cpu:/c\n", {"memory.max": f"{GIB}\n"}, PHYSICAL),
        ("0::/a\n", {}, PHYSICAL),
    ],
)
def test_the_limit_of_the_control_group_counts(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
) -> None:
    """Version 1 and 2, own and inherited limits, with and without a view of the host's groups."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert expected == total_memory_bytes(tmp_path)
    assert min(expected // 4, 4 * GIB) == default_memory_limit_bytes(tmp_path)


def test_without_control_groups_it_is_the_machines_memory(tmp_path: Path) -> None:
    """No /proc, no limit."""
    assert total_memory_bytes(tmp_path) == PHYSICAL
