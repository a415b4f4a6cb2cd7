from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mountfs.vfs.open_call import flags_of_open, is_replacing
from tests.mount.mounted import wait_until

WANTED = os.O_CREAT | os.O_TRUNC | os.O_EXCL | os.O_ACCMODE

NOBODY = 1 << 30
"""More than a thread number can be."""


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("open(path, 'w')", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ("open(path, 'a')", os.O_WRONLY | os.O_CREAT),
        ("open(path)", os.O_RDONLY),
        ("os.open(path, os.O_WRONLY | os.O_TRUNC)", os.O_WRONLY | os.O_TRUNC),
        ("os.read(0, 1)", 0),
    ],
)
def test_what_a_thread_opens_is_seen(statement: str, expected: int, tmp_path: Path) -> None:
    """Here it waits for the other end of a pipe, on a mount for the answer to its look-up."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    script = f"import os, sys; path = sys.argv[1]; {statement}"
    with subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE) as process:
        try:
            wait_until(lambda: is_waiting(process.pid, statement))
            assert expected == flags_of_open(process.pid) & WANTED
            assert not is_replacing(process.pid)  # it looks nothing up
        finally:
            process.kill()


def is_waiting(process: int, statement: str) -> bool:
    """Tell whether *process* has come to *statement*."""
    place = Path(f"/proc/{process}/wchan").read_text()
    return place in (
        {"anon_pipe_read", "pipe_read"} if "read" in statement else {"wait_for_partner"}
    )


def test_who_is_gone_is_not_seen() -> None:
    """The number of nobody is not there."""
    assert 0 == flags_of_open(NOBODY)
    assert not is_replacing(NOBODY)
