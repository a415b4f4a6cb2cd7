"""Which process serves a mount: found without asking the mount, and without files that outlive it.

The mount process listens on an abstract socket that is named after the mount's device number, which
is unique on the machine. Who wants to know connects, and the kernel tells the listener's pid, even
while that process hangs. The name is gone when the process is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that serves a mount.

    Attributes:
        pid: its number.
        connection: to it, not blocking; the caller closes it. On it comes what
            `mountfs.command.feed` tells.
    """

    pid: int
    connection: socket.socket


BACKLOG = 64
"""Askers that a process which hangs can still tell; the kernel answers them by itself."""


def address_of(device: str) -> str:
    """Return the abstract address for the mount with this ``major:minor``."""
    return f"\0mountfs/{device}"


@contextlib.contextmanager
def listen(device: str) -> Iterator[socket.socket]:
    """Be known as the process that serves *device* while the block runs.

    Whoever owns the socket should accept and close, so that the queue does not fill.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(address_of(device))
        listener.listen(BACKLOG)
        yield listener


def connect(device: str) -> Server | None:
    """Return the process that serves *device*; None when there is none, or none that we can see."""
    asker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        asker.connect(address_of(device))
        packed = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        asker.close()
        return None
    pid: int = _CREDENTIALS.unpack(packed)[0]
    # 0: it lives in a namespace of processes that is not ours.
    if pid <= 0 or pid == os.getpid():
        asker.close()
        return None
    return Server(pid=pid, connection=asker)


def find_pid(device: str) -> int | None:
    """Return the pid of the process that serves *device*, as `connect` finds it."""
    server = connect(device)
    if server is None:
        return None
    server.connection.close()
    return server.pid
