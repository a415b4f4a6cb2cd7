"""Going to the background: what the foreground says and returns. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_SECONDS = 30

PROGRAM = """
import os, signal, sys, time
from mountfs.command.daemonize import run_in_background
from mountfs.command.exit_code import ExitCode

def run(reporter):
    {body}

code, message = run_in_background(run, {output!r})
print(int(code), message, flush=True)
"""


def run_program(body: str, output: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program whose child does *body*."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body, output=output)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("reporter.failed(ExitCode.CREDENTIALS, 'no\\nkeys'); return ExitCode.OK", "5 no keys"),
        ("raise RuntimeError('a bug')", "1 internal error: RuntimeError: a bug"),
        (
            "os._exit(7)",
            "1 the mount process ended with exit status 7 before the mount was ready, "
            "without a word",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "1 the mount process was ended by SIGKILL before the mount was ready",
        ),
    ],
)
def test_the_foreground_says_what_became_of_the_child(body: str, line: str) -> None:
    """An error, a bug, an end without a word: always a line and a code."""
    done = run_program(body)
    assert (f"{line}\n", "") == (done.stdout, done.stderr)


def test_the_child_goes_on_by_itself(tmp_path: Path) -> None:
    """In a session and a directory of its own, without our files, and nobody waits for its end."""
    result = tmp_path / "result"
    body = (
        f"fds = sorted(os.listdir('/proc/self/fd'), key=int)[:-1]; os.dup2(1, 99); "
        f"reporter.ready(); time.sleep(0.1); "
        "stdin = os.readlink('/proc/self/fd/0'); "
        "text = [os.getcwd(), os.getsid(0) == os.getpid(), len(fds), stdin]; "
        f"open({str(result)!r} + '~', 'w').write(repr(text)); "
        f"os.rename({str(result)!r} + '~', {str(result)!r}); return ExitCode.OK"
    )
    done = run_program(body)  # returns only when nobody holds its stdout any more
    assert done.stdout == "0 \n"
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not result.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert repr(["/", True, 4, "/dev/null"]) == result.read_text()


def test_what_the_child_writes_goes_to_the_log_file(tmp_path: Path) -> None:
    """For instance what Python says when it crashes."""
    output = tmp_path / "log"
    body = "os.write(2, b'crash'); reporter.ready(); return ExitCode.OK"
    assert run_program(body, str(output)).stdout == "0 \n"
    assert output.read_text() == "crash"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_foreground_ends_the_child(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C while it waits leaves no process behind."""
    pid_path = tmp_path / "pid"
    body = (
        f"open({str(pid_path)!r} + '~', 'w').write(str(os.getpid())); "
        f"os.rename({str(pid_path)!r} + '~', {str(pid_path)!r}); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body, output=None)],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not pid_path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        program.send_signal(number)
        stdout, _ = program.communicate(timeout=DEADLINE_SECONDS)
    assert stdout == "130 interrupted; nothing is mounted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_path.read_text()), 0)


def test_a_child_whose_foreground_is_gone_is_told(tmp_path: Path) -> None:
    """Nobody would know of the mount: `ready` raises, and the mount ends."""
    result = tmp_path / "result"
    body = (
        "os.kill(os.getppid(), signal.SIGKILL)\n"
        "    while os.getppid() != 1 and os.path.exists(f'/proc/{os.getppid()}/x'): pass\n"
        "    time.sleep(0.2)\n"
        "    try: reporter.ready()\n"
        f"    except Exception as error: open({str(result)!r}, 'w').write(str(error))\n"
        "    return ExitCode.OK"
    )
    assert run_program(body).returncode == -signal.SIGKILL
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (result.exists() and result.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "is gone" in result.read_text()


def test_nothing_that_forbids_a_fork_is_imported_before_it() -> None:
    """trio, awscrt and boto3 come behind the fork: they take it badly, and half a second each."""
    program = (
        "import sys, mountfs.command.cli\n"
        "print([name for name in ('trio', 'awscrt', 'boto3', 'botocore', 'prometheus_client',"
        " 'mountfs.command.mount') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
