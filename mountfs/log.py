"""Where log lines go, and what must never be in them.

One format for all places: time (not for syslog, which has its own), level, module, text. Lines are
handed to a thread, because a terminal that is stopped, a full disk or a stuck syslog must not stop
the mount.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mountfs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LEVELS = ("debug", "info", "warning", "error")

SYSLOG_SOCKET = "/dev/log"
"""Where syslog and the journal listen."""

NOISY_LOGGERS = ("awscrt", "boto3", "botocore", "s3transfer", "urllib3")
"""Their INFO and DEBUG lines are many and hold whole requests, signatures included."""

_FORMAT = "%(levelname)s %(name)s: %(message)s"

_SECRETS = (
    re.compile(
        r"""((?:x-amz-(?:signature|credential|security-token)|aws_?access_?key_?id"""
        r"""|secret_?access_?key|session_?token|signature)["']?\s*[=:]\s*["']?)[^\s&"',;<>]+""",
        re.IGNORECASE,
    ),
    re.compile(r"""(authorization["']?\s*[=:]\s*["']?)[^"'\r\n]+""", re.IGNORECASE),
    # The user and password of an address; the latter may hold a / or an @ that was not quoted.
    re.compile(r"(https?://)[^\s/@:]*:\S*(?=@)", re.IGNORECASE),
    re.compile(r"(://)[^/\s@]+(?=@)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is logged and where to.

    Attributes:
        level: one of `LEVELS`.
        file: an absolute path; None logs to stderr in the foreground, else to syslog, else to a
            file in the state directory.
    """

    level: str = "info"
    file: str | None = None


def redact(text: str) -> str:
    """Return *text* with signatures, keys, tokens and passwords replaced by ``***``."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


class RedactingFormatter(logging.Formatter):
    """A formatter whose lines, tracebacks included, hold no secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        return redact(super().format(record))


def place_of(config: LogConfig, *, is_foreground: bool, mountpoint: str) -> str:
    """Return where log lines will go: ``stderr``, ``syslog`` or an absolute path.

    Raises:
        UsageError: the file would lie inside of the mount, whose process would wait for itself.
    """
    if config.file is not None:
        return config.file
    if is_foreground:
        return "stderr"
    if os.path.exists(SYSLOG_SOCKET):
        return "syslog"
    name = mountpoint.strip("/").replace("/", "-") or "root"
    path = state_folder(os.environ) / f"{name}.log"
    if path.is_relative_to(mountpoint):
        raise UsageError(
            f"there is no syslog, and {path} lies inside of the mountpoint: choose a --log-file"
        )
    return str(path)


def state_folder(environment: Mapping[str, str], uid: int | None = None) -> Path:
    """Return the folder for log files where there is no syslog."""
    if (os.getuid() if uid is None else uid) == 0:
        return Path("/var/log/mountfs")
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local/state") / "mountfs"


@contextmanager
def open_log(place: str, level: str) -> Iterator[Callable[[], None]]:
    """Send the log to *place* while the block runs; what was logged is written when it is left.

    Yields a function that writes what was logged so far, for a process that ends within the block;
    nothing is logged after it.

    Args:
        place: as `place_of` says.
        level: one of `LEVELS`.

    Raises:
        UsageError: the file cannot be written.
    """
    target = _open_handler(place)
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    source = logging.handlers.QueueHandler(lines)
    source.setFormatter(target.formatter)
    listener = logging.handlers.QueueListener(lines, target)
    root = logging.getLogger()
    former_level = root.level
    root.setLevel(level.upper())
    root.addHandler(source)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    target.setFormatter(None)  # the source has formatted the line, in the thread that logged it
    listener.start()

    def close() -> None:
        root.removeHandler(source)
        if listener._thread is not None:  # stop() cannot be called twice
            listener.stop()

    try:
        yield close
    finally:
        close()
        root.removeHandler(source)
        root.setLevel(former_level)
        target.close()


def _open_handler(place: str) -> logging.Handler:
    formatter = RedactingFormatter(f"%(asctime)s {_FORMAT}")
    handler: logging.Handler
    if place == "stderr":
        handler = logging.StreamHandler(sys.stderr)
    elif place == "syslog":
        syslog = logging.handlers.SysLogHandler(
            SYSLOG_SOCKET, facility=logging.handlers.SysLogHandler.LOG_DAEMON
        )
        syslog.ident = f"mountfs[{os.getpid()}]: "
        handler = syslog
        formatter = RedactingFormatter(_FORMAT)
    else:
        try:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            # Opens the file again after logrotate has moved it.
            handler = logging.handlers.WatchedFileHandler(
                place, encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            raise UsageError(
                f"cannot write the log to {place} ({error.strerror}): choose a file with --log-file"
            ) from error
    handler.setFormatter(formatter)
    return handler
