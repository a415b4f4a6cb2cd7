"""The command: what each of its forms does, and how it ends.

Nothing of trio, awscrt or boto3 may be imported before the fork; `mountfs.command.mount` is
therefore imported by whoever serves the mount, in the background or here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mountfs.command.command_line import (
    MountCommand,
    SyncCommand,
    UmountCommand,
    parse_command_line,
)
from mountfs.command.config import compose, find_file, parse_source, read_environment, read_file
from mountfs.command.daemonize import run_in_background
from mountfs.command.exit_code import ExitCode, exit_code_of
from mountfs.command.mountpoint import check_cache_dir, check_host, check_mountpoint
from mountfs.command.probe import MountState
from mountfs.command.progress import PUBLISHING_TITLE, make_display
from mountfs.command.status import read_status, status_as_json, status_as_text
from mountfs.command.sync import sync
from mountfs.command.umount import clear_leftover, unmount
from mountfs.errors import MountfsError
from mountfs.log import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mountfs.command.config import MountConfig
    from mountfs.command.daemonize import Reporter
    from mountfs.command.remains import Remains

RECOVERY_TITLE = "uploading what an earlier mount has left"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. What the user did wrong is one line on stderr."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments, os.environ)
    except MountfsError as error:
        _complain(str(error))
        return exit_code_of(error)
    except KeyboardInterrupt:
        _complain("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # e.g. | head; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitCode.OK


def load_config(command: MountCommand, environment: Mapping[str, str]) -> MountConfig:
    """Return the configuration for *command*.

    Raises:
        UsageError: something in one of the places is wrong.
        MountError: the mountpoint cannot be used.
    """
    # The cheap and certain things first; the mountpoint is looked at last.
    source = parse_source(command.source)
    path = find_file(command.config_path, environment)
    layers = (
        read_file(path) if path is not None else (),
        read_environment(environment),
        command.settings,
    )
    mountpoint = os.path.abspath(command.mountpoint)
    config = compose(source, mountpoint, layers, command.kernel_options)
    check_host(allow_other=config.allow_other)
    if not config.read_only:
        check_cache_dir(config.write.cache_dir)
    located = check_mountpoint(command.mountpoint)
    return compose(source, located, layers, command.kernel_options)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> ExitCode:
    command = parse_command_line(arguments)
    if isinstance(command, MountCommand):
        return _mount(load_config(command, environment))
    if isinstance(command, UmountCommand):
        return _umount(command)
    if isinstance(command, SyncCommand):
        sync(command.mountpoint)
        return ExitCode.OK
    statuses = read_status()
    _print(status_as_json(statuses) if command.is_json else status_as_text(statuses))
    is_well = all(status.state in (MountState.OK, MountState.DENIED) for status in statuses)
    return ExitCode.OK if is_well else ExitCode.MOUNTPOINT


def _mount(config: MountConfig) -> ExitCode:
    def run(reporter: Reporter) -> ExitCode:
        from mountfs.command.mount import run_mount

        return run_mount(config, reporter)

    if config.foreground:
        return run(_TerminalReporter())
    display = make_display(RECOVERY_TITLE, sys.stderr)
    code, message = run_in_background(run, config.log.file, display)
    if code is not ExitCode.OK:
        # A process that was killed, or crashed, may have left its mount behind.
        clear_leftover(config.mountpoint)
        _complain(message)
    return code


def _umount(command: UmountCommand) -> ExitCode:
    display = make_display(PUBLISHING_TITLE, sys.stderr)
    try:
        done = unmount(command.mountpoint, is_lazy=command.is_lazy, display=display)
    except KeyboardInterrupt:
        _complain(
            "interrupted; if it was unmounted by then, the mount process goes on until everything "
            "is published (two times SIGTERM end it)"
        )
        return ExitCode.INTERRUPTED
    if done.holders:
        _complain(f"detached; the mount process goes on for {'; '.join(map(str, done.holders))}")
    elif done.is_unseen:
        _complain(
            "unmounted; the mount process cannot be seen from here, so nobody waits for it: it "
            "ends when everything is published"
        )
    return ExitCode.OK


class _TerminalReporter:
    """Reports to whoever started the command and is still looking."""

    def __init__(self) -> None:
        self._display = make_display(RECOVERY_TITLE, sys.stderr)

    def progress(self, remains: Remains) -> None:
        """Show what an earlier mount has left and is uploaded before this one can be used."""
        self._display.show(remains)

    def ready(self) -> None:
        """End the display; the log has a line."""
        self._display.close()

    def failed(self, code: ExitCode, message: str) -> None:
        """Say what went wrong; the code becomes that of the command."""
        self._display.close()
        _complain(message)


def _complain(message: str) -> None:
    line = redact(message.replace("\n", " "))
    sys.stderr.write(f"mountfs: {line}\n")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
