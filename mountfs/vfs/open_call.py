"""Which ``open`` a thread waits in, as far as ``/proc/TID`` shows it.

The kernel looks a name up before it creates the file, and does not say what for. An absent name is
not believed to be absent, since a checkpoint that another host has written must be found at once;
but then each new file would cost a LIST. Of a thread that replaces the file, whatever there is, the
listing may be believed.

For a thread that waits for the answer to a look-up, and for no other: the kernel makes the reader
wait while the thread's process is in the last part of an ``execve``, which looks nothing up.
Before Linux 5.11 it made it wait during the whole of it, so there nothing is read. Only root is
shown everything; who cannot be seen replaces nothing.
"""

from __future__ import annotations

import os
import re

_FLAGS_ARGUMENT = {
    "x86_64": {2: 1, 257: 2},  # open, openat
    "aarch64": {56: 2},
    "riscv64": {56: 2},
    "ppc64le": {5: 1, 286: 2},
}
"""By machine and number of the system call: which of its arguments are the flags of an open."""

_OLDEST_KERNEL = (5, 11)
_READ_BYTES = 8192
_WORDS = 9
"""The number of the call, six arguments, two registers; ``running`` before it has fallen asleep."""

_MAX_READS = 20
"""Each is a few microseconds, and a thread needs less than one to fall asleep."""

_LAST_COMPONENT = b" fuse_atomic_open+"
"""The kernel's function that opens the last component of a path; others look directories up."""


def _calls_of_this_machine() -> dict[int, int]:
    machine = os.uname()
    release = re.match(r"(\d+)\.(\d+)", machine.release)
    if release is None or tuple(map(int, release.groups())) < _OLDEST_KERNEL:
        return {}
    return _FLAGS_ARGUMENT.get(machine.machine, {})


_CALLS = _calls_of_this_machine()


def is_replacing(thread: int) -> bool:
    """Tell whether *thread* looks up what it opens to replace, whatever the name shows.

    That is the last component of the path of an open with ``O_CREAT | O_TRUNC`` without
    ``O_EXCL``: whether there is a file makes no difference to it.
    """
    flags = flags_of_open(thread)
    if flags & (os.O_CREAT | os.O_TRUNC | os.O_EXCL) != os.O_CREAT | os.O_TRUNC:
        return False
    return _LAST_COMPONENT in _read(thread, "stack")


def flags_of_open(thread: int) -> int:
    """Return with which flags *thread* is opening something; 0 if it is not, or cannot be seen."""
    for _ in range(_MAX_READS if _CALLS else 0):
        words = _read(thread, "syscall").split()
        if len(words) >= _WORDS:
            argument = _CALLS.get(int(words[0]))
            return 0 if argument is None else int(words[1 + argument], 16)
        if words != [b"running"]:
            break
    return 0


def _read(thread: int, name: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/{thread}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
