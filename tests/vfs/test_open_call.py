from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mountfs.vfs.open_call import is_replacing
from tests.mount.mounted import wait_until

pytestmark = pytest.mark.skipif(
    is_replacing(os.getpid()) is None, reason="/proc does not show in what threads wait"
)

NOBODY = 1 << 30
"""More than a thread number can be."""


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("open(path, 'w')", True),
        ("open(path, 'wb')", True),
        ("os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)", True),
        ("open(path, 'a')", False),
        ("open(path)", False),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", False),
        ("os.open(path, os.O_WRONLY | os.O_TRUNC)", False),
        ("os.read(0, 1)", False),
    ],
)
def test_what_a_thread_opens_is_seen(statement: str, expected: bool, tmp_path: Path) -> None:
    """Here it waits for the other end of a pipe, on a mount for the answer to its look-up."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    script = f"import os, sys; path = sys.argv[1]; {statement}"
    with subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE) as process:
        try:
            wait_until(lambda: is_waiting(process.pid, statement))
            assert expected == is_replacing(process.pid)
        finally:
            process.kill()


def is_waiting(process: int, statement: str) -> bool:
    """Tell whether *process* has come to *statement*."""
    place = Path(f"/proc/{process}/wchan").read_text()
    return place in (
        {"anon_pipe_read", "pipe_read"} if "read" in statement else {"wait_for_partner"}
    )


def test_who_runs_or_is_gone_is_not_seen() -> None:
    """A thread that asks for itself runs; the number of nobody is not there."""
    assert is_replacing(os.getpid()) in {None, False}
    assert is_replacing(NOBODY) is None
