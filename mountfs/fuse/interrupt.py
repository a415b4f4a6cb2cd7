"""Whether a signal should end a request that is under way.

The kernel reports every signal that a waiting thread gets: a timer or the end of a child too. A
local disk does not fail a ``read`` for those, and many programs could not bear it. So only a
signal that is about to end the process interrupts.
"""

from __future__ import annotations

import signal
from pathlib import Path

_ENDING = sum(1 << (number - 1) for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
"""An uncaught deadly signal shows as SIGKILL; a caught SIGINT or SIGTERM wants the program's
attention."""


def is_interruption_wanted(pid: int) -> bool:
    """Tell whether thread *pid* has a pending signal that should end its request."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:  # gone, or of another pid namespace
        return False
    pending = 0
    for line in status.splitlines():
        if line.startswith((b"SigPnd:", b"ShdPnd:")):
            pending |= int(line.split()[1], 16)
    return bool(pending & _ENDING)
