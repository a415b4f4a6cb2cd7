"""Ask a mount that may hang.

A read of a FUSE mount whose server hangs cannot be interrupted, not even by SIGKILL. So a child
process asks, and is left behind when it does not answer in time; it ends when the mount does.
"""

from __future__ import annotations

import enum
import errno
import os
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

STATS_PATH = ".mountfs/stats"
TIMEOUT_SECONDS = 3.0
"""A mount that is only busy answers within milliseconds; a person waits for this."""

_CHUNK_BYTES = 65536


class MountState(enum.Enum):
    """What a mount did when it was asked."""

    OK = "ok"
    STALE = "stale"  # its process is gone
    HUNG = "hung"  # no answer in time
    DENIED = "denied"  # it belongs to another user and has no allow_other
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking one mount; *stats* is the text of its figures, empty if not `OK`."""

    state: MountState
    stats: bytes = b""


def ask(mountpoints: Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS) -> list[Answer]:
    """Ask all *mountpoints* at once for their figures; takes *timeout_seconds* at most.

    Call it only in a process with a single thread, since it forks.
    """
    children = [_start_child(mountpoint) for mountpoint in mountpoints]
    deadline = time.monotonic() + timeout_seconds
    return [_collect(pid, reader, deadline) for pid, reader in children]


def _start_child(mountpoint: str) -> tuple[int, int]:
    """Fork a child that reads the figures; return its pid and where its answer comes from."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(writer)
        return pid, reader
    try:
        # If it hangs, nobody may wait for the end of our output because of it.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.close(reader)
        _answer(mountpoint, writer)
    finally:
        os._exit(0)  # nothing of the parent's may run twice


def _answer(mountpoint: str, writer: int) -> None:
    """Write a line with 0 and then the figures, or a line with the errno, to *writer*."""
    try:
        with open(os.path.join(mountpoint, STATS_PATH), "rb", buffering=0) as file:
            message = b"0\n" + file.readall()
    except OSError as error:
        message = b"%d\n" % (error.errno or errno.EIO)
    while message:
        message = message[os.write(writer, message) :]


def _collect(pid: int, reader: int, deadline: float) -> Answer:
    message = bytearray()
    try:
        while True:
            remaining_seconds = max(0.0, deadline - time.monotonic())
            if not select.select([reader], [], [], remaining_seconds)[0]:
                return Answer(state=MountState.HUNG)
            chunk = os.read(reader, _CHUNK_BYTES)
            if not chunk:
                break
            message += chunk
    finally:
        os.close(reader)
        # One that hangs becomes a child of init when we end, and is reaped there.
        os.waitpid(pid, os.WNOHANG)
    number, _, stats = bytes(message).partition(b"\n")
    if number == b"0":
        return Answer(state=MountState.OK, stats=stats)
    states = {
        errno.ENOTCONN: MountState.STALE,
        errno.ECONNABORTED: MountState.STALE,
        errno.EACCES: MountState.DENIED,
        errno.EPERM: MountState.DENIED,
    }
    return Answer(state=states.get(int(number or errno.EIO), MountState.FAILED))
