"""Which ``open`` a thread waits in, as far as ``/proc/TID/syscall`` shows it.

For a thread that waits for the answer to a look-up, and for no other: the kernel makes the reader
wait while the thread's process is in the last part of an ``execve``, which looks nothing up.
Before Linux 5.11 it made it wait during the whole of it, so there nothing is read.

Who cannot be seen (gone, another user's, of another PID namespace, protected by Yama) waits in
nothing that is known.
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
_READ_BYTES = 256
_WORDS = 9
"""The number of the call, six arguments, two registers; ``running`` before it has fallen asleep."""

_MAX_READS = 20
"""Each is a few microseconds, and a thread needs less than one to fall asleep."""


def _calls_of_this_machine() -> dict[int, int]:
    machine = os.uname()
    release = re.match(r"(\d+)\.(\d+)", machine.release)
    if release is None or tuple(map(int, release.groups())) < _OLDEST_KERNEL:
        return {}
    return _FLAGS_ARGUMENT.get(machine.machine, {})


_CALLS = _calls_of_this_machine()


def is_replacing(thread: int) -> bool | None:
    """Tell whether *thread* opens a file to replace whatever the name shows, or None if unknown.

    That is ``O_CREAT | O_TRUNC`` without ``O_EXCL``: whether there is a file makes no difference.
    """
    if not _CALLS:
        return None
    words = _read_call(thread)
    if words is None:
        return None
    argument = _CALLS.get(int(words[0]))
    if argument is None:
        return False
    flags = int(words[1 + argument], 16)
    return flags & (os.O_CREAT | os.O_TRUNC | os.O_EXCL) == os.O_CREAT | os.O_TRUNC


def _read_call(thread: int) -> list[bytes] | None:
    """Return the number of the call and its arguments, or None if they cannot be seen."""
    for _ in range(_MAX_READS):
        try:
            descriptor = os.open(f"/proc/{thread}/syscall", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            words = os.read(descriptor, _READ_BYTES).split()
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if len(words) >= _WORDS:
            return words
    return None
