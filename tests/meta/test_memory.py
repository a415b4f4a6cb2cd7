"""What a listed entry costs in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAX_BYTES_PER_ENTRY = 600
"""So that a million entries and the interpreter fit into 1 GiB with room for data."""


def measure(entries: int, per_directory: int) -> int:
    """Return the bytes that an entry takes, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.meta.measure_memory", str(entries), str(per_directory)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_an_entry_is_small() -> None:
    """Node, name, ETag, numbers and its place in all tables."""
    assert measure(200_000, 1000) < MAX_BYTES_PER_ENTRY


@pytest.mark.soak
@pytest.mark.parametrize("per_directory", [10, 100, 1000])
def test_a_million_entries_are_a_million_times_as_large(per_directory: int) -> None:
    """Directories included, down to ten files in each."""
    assert measure(1_000_000, per_directory) < MAX_BYTES_PER_ENTRY
