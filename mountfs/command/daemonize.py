"""Go to the background, and let the foreground tell how that went.

The fork comes first: threads, event loops and awscrt's own threads do not survive one. So nothing
here, and nothing that is imported until then, may import trio, awscrt or boto3. The child reports
over a pipe, in lines: how far it is (JSON), any number of times, and at last that it is ready, or
why not (a code and a message). A child that ends without a last word is reported by its exit
status. There is no limit of time: what an earlier mount has left may take hours to upload.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from mountfs.command.exit_code import ExitCode
from mountfs.command.remains import parse_remains
from mountfs.errors import MountError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from mountfs.command.progress import Display
    from mountfs.command.remains import Remains

END_TIMEOUT_SECONDS = 15.0
"""For a child that was told to end: its own grace for the store, and a little more."""

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Reporter(Protocol):
    """How the child tells the foreground what became of it."""

    def progress(self, remains: Remains) -> None:
        """Say what is still to be done before the mount can be used; never waits."""
        ...

    def ready(self) -> None:
        """Say that the mount answers; the foreground ends with 0.

        Raises:
            MountError: nobody is there to hear it.
        """
        ...

    def failed(self, code: ExitCode, message: str) -> None:
        """Say that there will be no mount; the foreground prints *message* and ends with *code*."""
        ...


class PipeReporter:
    """Reports over a pipe; the first code counts, and nothing is said after it."""

    def __init__(self, writer: int) -> None:
        self._writer: int | None = writer

    def progress(self, remains: Remains) -> None:
        """Say what is still to be done; left out when the foreground does not keep up."""
        if self._writer is None:
            return
        line = _line_of(remains)
        if len(line) > select.PIPE_BUF:  # would not be written at once, whole or not at all
            line = _line_of(replace(remains, dirty_paths=(), failing=()))
        os.set_blocking(self._writer, False)
        try:
            # A foreground that is gone is noticed by `ready`.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._writer, line)
        finally:
            os.set_blocking(self._writer, True)

    def ready(self) -> None:
        """Say that the mount answers."""
        try:
            self._say(ExitCode.OK, "")
        except BrokenPipeError as error:
            # Somebody killed the command: nobody would know of this mount.
            raise MountError("the command that started this mount is gone") from error

    def failed(self, code: ExitCode, message: str) -> None:
        """Say that there will be no mount."""
        with contextlib.suppress(BrokenPipeError):
            self._say(code, message)

    def _say(self, code: ExitCode, message: str) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            line = message.replace("\n", " ").encode("utf-8", "backslashreplace")
            os.write(writer, b"%d %s\n" % (code, line))
        finally:
            os.close(writer)


def _line_of(remains: Remains) -> bytes:
    return json.dumps(remains.as_dict()).encode() + b"\n"


class _EndingSignal(BaseException):
    """One of the signals that end the foreground; a BaseException, so that nothing swallows it."""


def run_in_background(
    run: Callable[[Reporter], ExitCode],
    output: str | None = None,
    display: Display | None = None,
) -> tuple[ExitCode, str]:
    """Run *run* in a child that survives; return when it has reported, with its code and message.

    Args:
        run: called in the child, which ends with what it returns.
        output: a file for what the child writes to stdout and stderr; None discards it.
        display: where to show how far the child is.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Held back from before the fork until the handlers stand, so that none is lost in between.
    with _signals_held():
        pid = os.fork()
        if pid == 0:
            _become_daemon(writer, output)
            _run_child(run, PipeReporter(_keep_only(writer)))
        os.close(writer)
        with _signals_raised():
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)
                return _await_report(pid, reader, display)
            except _EndingSignal:
                _end_child(pid)
                return ExitCode.INTERRUPTED, "interrupted; nothing is mounted"
            finally:
                os.close(reader)
                if display is not None:
                    display.close()


def _run_child(run: Callable[[Reporter], ExitCode], reporter: Reporter) -> NoReturn:
    code = ExitCode.INTERNAL
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)
        code = run(reporter)
    except BaseException as error:
        reporter.failed(code, f"internal error: {type(error).__name__}: {error}")
    finally:
        # Not sys.exit: the parent's atexit functions and buffers are the parent's, and the
        # libraries' own threads must not keep a mount alive that is gone.
        os._exit(code)


def _become_daemon(writer: int, output: str | None) -> None:
    """Leave the terminal, its signals, its directory and everything that it has open."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    target = null
    if output is not None:
        with contextlib.suppress(OSError):  # whoever opens the log reports it better
            target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(null, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.set_inheritable(writer, False)


def _keep_only(writer: int) -> int:
    """Close everything but stdin, stdout, stderr and *writer*; return *writer*.

    A pipe of the caller's that stays open here would keep its reader waiting as long as the mount
    lives.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor != writer:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(descriptor)
    return writer


def _await_report(pid: int, reader: int, display: Display | None) -> tuple[ExitCode, str]:
    rest = b""
    while True:
        chunk = os.read(reader, 4096)
        if not chunk:
            return ExitCode.INTERNAL, f"the mount process {_describe_end(pid)}"
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"{"):
                code, _, message = line.decode("utf-8", "replace").partition(" ")
                return ExitCode(int(code)), message
            if display is not None:
                display.show(parse_remains(json.loads(line)))


def _describe_end(pid: int) -> str:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        return f"was ended by {signal.Signals(-status).name} before the mount was ready"
    return f"ended with exit status {status} before the mount was ready, without a word"


def _end_child(pid: int) -> None:
    """End the child, with patience first: it may have mounted already, and unmounts by itself."""
    os.kill(pid, signal.SIGTERM)
    process = os.pidfd_open(pid)
    try:
        if not select.select([process], [], [], END_TIMEOUT_SECONDS)[0]:
            os.kill(pid, signal.SIGKILL)  # the kernel aborts the mount with its process
    finally:
        os.close(process)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold the ending signals back while the block runs."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Turn the first ending signal into an exception; later ones are held."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
        raise _EndingSignal

    former = {number: signal.signal(number, handle) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
        for number, handler in former.items():
            signal.signal(number, handler)
