"""Child processes that serve on a local port: started, awaited, and never left behind.

Knows nothing of what the process serves.
"""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOCALHOST = "127.0.0.1"

TAIL_LINES = 25
"""What fits on a screen beside the traceback."""

POLL_SECONDS = 0.02
"""Far below every start-up time, and cheap."""

EXEC_SECONDS = 10.0
"""From the fork to the server's own code; milliseconds, unless the machine is out of breath."""

TERMINATE_SECONDS = 3.0
"""For a process that was asked politely; then it is killed."""


class ServerError(Exception):
    """A server did not start or ended early, or a set-up command failed; the message says why."""


def find_free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on.

    Drawn from below the ephemeral range, so that no outgoing connection of anybody can take it
    before the server binds it; and at random, so that two callers at once hardly meet.
    """
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((LOCALHOST, port))
            except OSError:
                continue
            return port


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOCALHOST, port)) == 0


def read_tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log; an explanation when there is none."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:]) or f"({path} is empty)"


def run_command(command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
    """Run a set-up command to its end and return its standard output.

    Raises:
        ServerError: it failed or took too long; says what it printed.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"no end after {timeout_seconds:g} s: {' '.join(command)}") from error
    if done.returncode != 0:
        raise ServerError(
            f"exit code {done.returncode}: {' '.join(command)}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running child process.

    Attributes:
        name: for messages.
        process: the child itself; its pid is the server's.
        log_path: where its output goes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def fail(self, message: str) -> ServerError:
        """Make an error that carries the tail of this server's log."""
        return ServerError(
            f"{self.name}: {message}\n--- {self.log_path}\n{read_tail(self.log_path)}"
        )

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return as soon as *is_ready* says so.

        Raises:
            ServerError: the process ended, or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            exit_code = self.process.poll()
            if exit_code is not None:
                raise self.fail(f"ended with exit code {exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self.fail(f"not ready after {timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def stop(self, *, politely: bool) -> None:
        """End the process and wait for its end; *politely* asks by SIGTERM before SIGKILL."""
        if politely and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(TERMINATE_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _is_setpriv(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "setpriv\n"


@contextlib.contextmanager
def running_server(
    name: str,
    command: Sequence[str],
    *,
    log_path: Path,
    politely: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run *command* in the foreground of a session of its own; end it when the block ends.

    It also ends when this process dies, even by SIGKILL: ``setpriv`` sets PR_SET_PDEATHSIG, which
    the kernel sends when the *thread* that started the child ends: call this from one that stays.
    A session of its own keeps the terminal's Ctrl-C away: the block's end decides the order.

    Args:
        name: for messages.
        command: must not fork into the background.
        log_path: gets standard output and error.
        politely: end it by SIGTERM, because it has children of its own to end.
        environment: None inherits.
    """
    death_signal = "TERM" if politely else "KILL"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", death_signal, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    server = Server(name=name, process=process, log_path=log_path)
    try:
        # From here on the death signal is set.
        server.wait_until(lambda: not _is_setpriv(process.pid), timeout_seconds=EXEC_SECONDS)
        yield server
    finally:
        server.stop(politely=politely)
