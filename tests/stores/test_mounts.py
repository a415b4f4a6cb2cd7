"""The table of mounts: read right, whatever the names."""

from __future__ import annotations

from pathlib import Path

from tests.stores.mounts import find_mounts_below


def test_mounts_are_found_with_the_innermost_first() -> None:
    """In this order they can be unmounted."""
    found = find_mounts_below(Path("/"))
    assert Path("/proc") in found
    assert found[-1] == Path("/")


def test_a_directory_without_mounts_has_none(tmp_path: Path) -> None:
    """Its parents' mounts do not count."""
    assert find_mounts_below(tmp_path) == []
