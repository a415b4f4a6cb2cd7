"""What ``/proc`` tells of other processes: who they are, and which files they can write to.

Everything here is answered by the kernel from memory. That has to stay so, since the process that
is looked at waits for our answer, perhaps in the middle of ``execve``: no ``stat`` of a file that
it has open (that would be a request to ourselves), and nothing of ``/proc/PID`` that waits for an
``execve`` to end (``maps``, ``environ``, ``io``, ``syscall``).

Who cannot be seen (gone, another user's, of another PID namespace) has no descriptors.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import NamedTuple

_NO_FILES = ("socket:", "pipe:", "anon_inode:")
_INODE = b"\nino:"
_READ_BYTES = 4096
_AT_FDCWD = -100
_AT_STATX_DONT_SYNC = 0x4000
_STATX_INO = 0x100
_STATX_BYTES = 256
_STATX_INO_OFFSET = 32
_FORKED_NO_EXEC = 0x40
"""``PF_FORKNOEXEC`` of the kernel's ``linux/sched.h``."""


class Descriptor(NamedTuple):
    """An open file of a process, as far as ``/proc/PID/fdinfo`` shows it.

    Attributes:
        number: of the descriptor.
        position: where it reads or writes; shared by duplicates.
        flags: of ``open``; shared by duplicates but for ``O_CLOEXEC``.
        mount_id: the mount on which it was opened.
        inode: None where the kernel does not show it (before Linux 5.14).
    """

    number: int
    position: int
    flags: int
    mount_id: int
    inode: int | None

    @property
    def is_writable(self) -> bool:
        """Tell whether it can be written to."""
        return self.flags & os.O_ACCMODE != os.O_RDONLY

    @property
    def is_close_on_exec(self) -> bool:
        """Tell whether a program that the process executes does without it."""
        return bool(self.flags & os.O_CLOEXEC)


class ProcessStatus(NamedTuple):
    """What ``/proc/PID/stat`` tells.

    Attributes:
        parent: the process that made it, or adopted it.
        has_executed: it runs a program of its own; not what it ran at the fork.
        start_ticks: when it was made, in ``sysconf(SC_CLK_TCK)`` since the machine started.
    """

    parent: int
    has_executed: bool
    start_ticks: int


def process_of(thread: int) -> int:
    """Return the process that *thread* belongs to; 0 when it cannot be seen."""
    if thread == 0:
        return 0
    try:
        # Only the first thread of a process has one: cheaper than to have `status` printed.
        os.close(os.pidfd_open(thread))
    except OSError:
        pass
    else:
        return thread
    for line in _read(f"/proc/{thread}/status").splitlines():
        if line.startswith(b"Tgid:"):
            return int(line.split()[1])
    return 0


def newest_pid() -> int:
    """Return the number that the last process or thread got; numbers go up, and wrap around."""
    words = _read("/proc/loadavg").split()
    return int(words[4]) if len(words) > 4 else 0


def list_processes() -> list[int]:
    """Return the numbers of all processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def status_of(process: int) -> ProcessStatus | None:
    """Return the status of *process*, or None when it cannot be seen."""
    line = _read(f"/proc/{process}/stat")
    # The second field is the program's name in parentheses, with whatever it contains.
    fields = line[line.rfind(b")") + 1 :].split()
    if len(fields) < 20:
        return None
    return ProcessStatus(
        parent=int(fields[1]),
        has_executed=not int(fields[6]) & _FORKED_NO_EXEC,
        start_ticks=int(fields[19]),
    )


def lineage_of(process: int) -> set[int]:
    """Return *process* and all that it descends from; a dead one in between ends the line."""
    line = set[int]()
    while process > 1 and process not in line:
        line.add(process)
        status = status_of(process)
        process = 0 if status is None else status.parent
    return line


def descriptors_of(thread: int, inode: int) -> list[Descriptor]:
    """Return the descriptors of inodes with this number, of any file system.

    With old kernels also those of which the number is not shown: see `look_up_inode`.

    Those of the process that *thread* belongs to; asking for the first thread will do, unless it
    has ended before the others.
    """
    wanted = b"\nino:\t%d\n" % inode
    found = []
    for name in _list(f"/proc/{thread}/fd"):
        try:
            target = os.readlink(f"/proc/{thread}/fd/{name}")
        except OSError:  # closed meanwhile
            continue
        if target.startswith(_NO_FILES):
            continue
        text = _read(f"/proc/{thread}/fdinfo/{name}")
        is_shown = wanted in text
        if is_shown or (text and _INODE not in text):
            # pos: 0, flags: 0100001, mnt_id: 27, ino: 4711; a line each
            fields = text.split(None, 6)
            position, flags, mount_id = int(fields[1]), int(fields[3], 8), int(fields[5])
            shown = inode if is_shown else None
            found.append(Descriptor(int(name), position, flags, mount_id, shown))
    return found


def look_up_inode(thread: int, number: int) -> int | None:
    """Return the inode number of a descriptor of a FUSE file, without a request to its server.

    The kernel answers from what it knows, which is all that the number takes. Of other file systems
    it may have to ask somebody, so this is not for their files.
    """
    path = f"/proc/{thread}/fd/{number}".encode()
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    statx = ctypes.CDLL(None).statx
    if statx(_AT_FDCWD, path, _AT_STATX_DONT_SYNC, _STATX_INO, buffer) != 0:
        return None
    return int.from_bytes(buffer.raw[_STATX_INO_OFFSET : _STATX_INO_OFFSET + 8], sys.byteorder)


def threads_of(process: int) -> list[int]:
    """Return the threads of *process*."""
    return [int(name) for name in _list(f"/proc/{process}/task")]


def is_alive(process: int) -> bool:
    """Tell whether there is such a process, be it as a zombie."""
    return os.path.exists(f"/proc/{process}")


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:  # ended between the two calls
        return b""
    finally:
        os.close(descriptor)
