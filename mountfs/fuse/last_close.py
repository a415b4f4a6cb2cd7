"""Whether a ``close`` is the last one of an open file.

FLUSH comes for each ``close`` of each descriptor, also of those that ``dup`` and ``fork`` made, and
nothing in it says which is the last; RELEASE, which comes after that, can neither be waited for nor
report an error. Yet the last close has to publish, and an earlier one must not. So the descriptors
that are left are looked for in ``/proc``; the one that is being closed is already gone from there.

The rule. The *owner* of a handle is the process that opened it. A close is not the last one while

- the owner has another descriptor of the open file (``dup``; or somebody else is closing), or the
  process that is closing has;
- a process that was made after the open has one that was given to it to write to: not close-on-exec
  and either one of the three standard ones (shell redirection, ``stdout=file``) or held by a
  program that was executed (``pass_fds``). A copy that a mere ``fork`` left behind, of a DataLoader
  worker say, does not count: it would keep the owner's ``close`` from publishing for as long as the
  worker lives.

``/proc`` shows inodes, not open files. When other handles of the inode are open as well, a process
must have more distinct descriptors than there are other handles that they could belong to.

All doubt makes it the last close: then something is published too early, and again later, whereas
the opposite mistake would acknowledge what is not stored. So it is for processes of other users
(unless we are root) and of foreign PID namespaces, and for a descriptor passed over a socket.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from mountfs.fuse.processes import (
    Descriptor,
    descriptors_of,
    is_alive,
    lineage_of,
    list_processes,
    look_up_inode,
    newest_pid,
    process_of,
    status_of,
    threads_of,
)
from mountfs.mounts import Mount, read_mounts

_STANDARD_DESCRIPTORS = 3
_WRAP_NS = 1_000_000_000
"""In less than this the numbers of processes cannot have gone around: 32,768 are the least."""
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Opener(NamedTuple):
    """Who opens a file, and when.

    Attributes:
        process: its number; 0 when it cannot be seen.
        newest_pid: the newest process or thread at that time.
        boot_ns: the time since the machine started.
    """

    process: int
    newest_pid: int
    boot_ns: int


class _Handle(NamedTuple):
    inode: int
    is_writable: bool
    opener: Opener


class LastClose:
    """The open handles of a mount, and who may hold them.

    Args:
        mountpoint: an absolute path; something is mounted there by the time of the first close.
    """

    def __init__(self, mountpoint: str) -> None:
        self._mountpoint = mountpoint
        self._mount: Mount | None = None
        self._handles: dict[int, _Handle] = {}
        self._of_inode: dict[int, set[int]] = {}

    def identify(self, thread: int) -> Opener:
        """Note who opens; to be called before the kernel is told that the file is open."""
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return Opener(process_of(thread), newest_pid(), boot_ns)

    def remember(self, handle: int, inode: int, flags: int, opener: Opener) -> None:
        """Note a new handle, opened with *flags*."""
        is_writable = flags & os.O_ACCMODE != os.O_RDONLY
        self._handles[handle] = _Handle(inode, is_writable, opener)
        self._of_inode.setdefault(inode, set()).add(handle)

    def forget(self, handle: int) -> None:
        """Note that nobody has *handle* any more."""
        known = self._handles.pop(handle, None)
        if known is not None:
            handles = self._of_inode[known.inode]
            handles.discard(handle)
            if not handles:
                del self._of_inode[known.inode]

    def is_last(self, handle: int, thread: int) -> bool:
        """Tell whether nobody can write through *handle* after the close by *thread*."""
        closed = self._handles.get(handle)
        closer = process_of(thread)
        if closed is None or not closed.is_writable or not closer or not closed.opener.process:
            return True
        inode = closed.inode
        owner = closed.opener.process
        others = [
            self._handles[other].opener.process
            for other in self._of_inode[inode]
            if other != handle and self._handles[other].is_writable
        ]
        if self._has_more(closer, self._writable(thread, inode), others):
            return False
        if owner != closer and self._has_more(owner, self._writable_of(owner, inode), others):
            return False
        return not any(
            self._has_more(process, self._given(process, inode), others)
            for process in _made_since(closed.opener)
            if process not in {closer, owner}
        )

    def _has_more(self, process: int, found: list[Descriptor], others: list[int]) -> bool:
        """Tell whether *found* in *process* must be of more handles than *others*, given by owner.

        A handle can be in the process that opened it and in its descendants. Duplicates share
        flags and position.
        """
        if not found or not others:
            return bool(found)
        distinct = {(each.flags & ~os.O_CLOEXEC, each.position) for each in found}
        lineage = lineage_of(process)
        possible = sum(owner in lineage or not is_alive(owner) for owner in others)
        return len(distinct) > possible

    def _given(self, process: int, inode: int) -> list[Descriptor]:
        """Return the descriptors that *process* was given to write to."""
        found = [each for each in self._writable(process, inode) if not each.is_close_on_exec]
        if found:
            status = status_of(process)
            if status is None or not status.has_executed:
                found = [each for each in found if each.number < _STANDARD_DESCRIPTORS]
        return found

    def _writable_of(self, process: int, inode: int) -> list[Descriptor]:
        found = self._writable(process, inode)
        if found:
            return found
        for thread in threads_of(process):  # the first may have ended, the others run on
            if thread != process:
                return self._writable(thread, inode)
        return found

    def _writable(self, thread: int, inode: int) -> list[Descriptor]:
        return [
            each
            for each in descriptors_of(thread, inode)
            if each.is_writable
            and self._is_here(thread, each.mount_id)
            and (each.inode is not None or look_up_inode(thread, each.number) == inode)
        ]

    def _is_here(self, thread: int, mount_id: int) -> bool:
        """Tell whether that mount of *thread* is this one, or another place where this is seen."""
        if self._mount is None:
            here = [each for each in read_mounts() if each.mountpoint == self._mountpoint]
            self._mount = next((each for each in reversed(here) if each.is_ours), None)
            if self._mount is None:
                return False
        if mount_id == self._mount.mount_id:
            return True
        # Bind mounts, as containers have them. Not remembered: numbers of mounts are used again.
        try:
            mounts = read_mounts(Path(f"/proc/{thread}/mountinfo"))
        except OSError:  # ended meanwhile
            return False
        device = self._mount.device
        return any(each.mount_id == mount_id and each.device == device for each in mounts)


def _made_since(opener: Opener) -> list[int]:
    """Return the processes that may have inherited what was opened then."""
    oldest, newest = opener.newest_pid, newest_pid()
    if newest == oldest:
        return []
    processes = list_processes()
    if time.clock_gettime_ns(time.CLOCK_BOOTTIME) - opener.boot_ns < _WRAP_NS:
        if oldest < newest:
            return [process for process in processes if oldest < process <= newest]
        return [process for process in processes if process > oldest or process <= newest]
    first_tick = opener.boot_ns // _TICK_NS
    made = []
    for process in processes:
        status = status_of(process)
        if status is not None and status.start_ticks >= first_tick:
            made.append(process)
    return made
