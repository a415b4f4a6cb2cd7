"""Tell those who wait for the end of the mount how far it is: one line of JSON at a time.

They connect to the socket of `mountfs.command.presence` while the mount is there, and listen. A
line is ``{"state": ..., "remains": {...}}``; the last one has the state ``ended`` and a verdict.
Nothing is read from them, and nobody is waited for: who does not take a line is dropped.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mountfs.command.remains import Remains

MAX_LISTENERS = 16
"""More wait in vain; each is a descriptor of ours."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Feed:
    """Those who are connected."""

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []

    def accept_all(self, server: socket.socket) -> None:
        """Take in everybody who waits at *server*, which does not block.

        Strangers are let go at once: paths are nobody else's business.
        """
        self._listeners = [each for each in self._listeners if _is_there(each)]
        while True:
            try:
                listener, _ = server.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            listener.setblocking(False)
            if _is_trusted(listener) and len(self._listeners) < MAX_LISTENERS:
                self._listeners.append(listener)
            else:
                listener.close()

    def tell(self, state: str, remains: Remains, verdict: str = "") -> None:
        """Send a line to everybody."""
        message = {"state": state, "remains": remains.as_dict(), "verdict": verdict}
        line = json.dumps(message).encode("utf-8", "backslashreplace") + b"\n"
        for listener in list(self._listeners):
            try:
                is_taken = listener.send(line, socket.MSG_NOSIGNAL) == len(line)
            except OSError:
                is_taken = False
            if not is_taken:
                listener.close()
                self._listeners.remove(listener)

    def close(self) -> None:
        """Let everybody go."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()


def _is_trusted(listener: socket.socket) -> bool:
    """Tell whether it is root or who runs the mount."""
    packed = listener.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(packed)[1] in (0, os.getuid())


def _is_there(listener: socket.socket) -> bool:
    """Tell whether the other end is still open; closes ours if it is not."""
    try:
        is_there = bool(listener.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        is_there = True
    except OSError:
        is_there = False
    if not is_there:
        listener.close()
    return is_there
