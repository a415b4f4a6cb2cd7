"""The supplementary groups of whoever asks, which a FUSE request does not tell."""

from __future__ import annotations


def read_groups(pid: int) -> frozenset[int]:
    """Return the supplementary groups of a process; none if it cannot be seen.

    A process in a PID namespace beside ours cannot be. ``/proc`` answers from memory, so this does
    not block.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Groups:"):
                    return frozenset(map(int, line.split()[1:]))
    except OSError:  # it has ended, or is not ours to see
        pass
    return frozenset()
