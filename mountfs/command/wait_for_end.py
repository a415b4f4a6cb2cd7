"""Wait until a mount process has published everything and is gone; show how far it is."""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING

from mountfs.command.remains import parse_remains
from mountfs.errors import MountError, NotPublishedError

if TYPE_CHECKING:
    from mountfs.command.presence import Server
    from mountfs.command.progress import Display

SILENCE_SECONDS = 30.0
"""The mount process speaks twice a second while it publishes, and then gives the store 10 s to let
go; somewhat more than that without a word means that it hangs."""

_CHUNK_BYTES = 65536
_MAX_LINE_BYTES = 1 << 20
"""Far more than any line of ours: whoever sends that is somebody else."""


class Ending:
    """A mount process that is about to end, watched from outside.

    Made before the unmount, while it can be found; to be used as a context manager.

    Args:
        server: the process.
        display: where to show what it says.
    """

    def __init__(self, server: Server, display: Display) -> None:
        self._server = server
        self._display = display
        self._verdict = ""
        self._line = bytearray()
        try:
            self._process: int | None = os.pidfd_open(server.pid)
        except OSError:  # it ended meanwhile
            self._process = None

    def __enter__(self) -> Ending:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.connection.close()
        if self._process is not None:
            os.close(self._process)

    def wait(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Return when the process has ended and has published everything; takes as long as that.

        Raises:
            NotPublishedError: it has ended, or was told to, with something left.
            MountError: it lives, and has not said a word for *silence_seconds*.
            KeyboardInterrupt: and the process goes on.
        """
        try:
            self._watch(silence_seconds)
        finally:
            self._display.close()
        if self._verdict:
            raise NotPublishedError(f"unmounted, and the mount process ended with {self._verdict}")

    def _watch(self, silence_seconds: float) -> None:
        if self._process is None:
            return
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        connection = self._server.connection
        poll.register(connection, select.POLLIN)
        heard_at = time.monotonic()
        while True:
            remaining_seconds = heard_at + silence_seconds - time.monotonic()
            ready = {number for number, _ in poll.poll(max(0.0, remaining_seconds) * 1000)}
            if connection.fileno() in ready:
                heard_at = time.monotonic()
                if not self._hear():
                    poll.unregister(connection)
            elif self._process in ready:  # and its last words were heard
                return
            elif time.monotonic() >= heard_at + silence_seconds:
                pid = self._server.pid
                raise MountError(
                    f"unmounted, but the mount process {pid} has not ended and is silent for "
                    f"{silence_seconds:g} s; its log says why (kill -USR1 {pid} makes it say what "
                    "it is doing)"
                )

    def _hear(self) -> bool:
        """Take in what was said; return False when nothing more will come."""
        try:
            chunk = self._server.connection.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = bytearray(rest)
        try:
            for line in lines:
                self._take_line(line)
        except ValueError:  # somebody else has that name, or another version: no word helps
            return False
        return bool(chunk) and len(rest) <= _MAX_LINE_BYTES

    def _take_line(self, line: bytearray) -> None:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("not an object")
        remains = parse_remains(message.get("remains"))
        if message.get("state") == "ended":
            verdict = message.get("verdict")
            self._verdict = verdict if isinstance(verdict, str) else ""
        self._display.show(remains)
