"""Which call changes which attribute: POSIX, as Linux' local file systems do it.

Pure functions. They take what the node shows at the moment and return only what changes, to be
laid over the node's `NodeAttributes` (`NodeAttributes.overlaid`); nobody else invents a time or a
bit. All times are the caller's *now_ns*, so that one call sets one time everywhere.

Who checks what. The mount has ``default_permissions``, so the kernel decides from the modes and
owners that we report, before it sends us anything:

- search, read, write and execute permission along a path and on the last part of it; the sticky
  bit at unlink, rmdir and rename; permission to create and to delete in a directory;
- who may chmod (owner or root), chown (root; the owner only to a group that he is in) and set
  times (explicit ones: owner; "now": also who may write);
- chmod: ``S_ISGID`` is taken from what we are sent when the caller is neither root nor in the
  file's group. Only the kernel knows the caller's supplementary groups, so we do not try;
- creat, mknod: the umask is applied (as long as ``FUSE_DONT_MASK`` is not negotiated), and
  kernels from 6.0 on take ``S_ISGID`` from an executable that somebody outside of the group of a
  set-gid directory makes there. Older ones left that to the file system: `new_node` does
  it, so it wants to know the caller's groups in that rare case (`asks_for_groups`);
- write, truncation, open with ``O_TRUNC``: set-uid and set-gid go when the caller is not allowed
  to keep them; at a chown they always go. With ``FUSE_HANDLE_KILLPRIV_V2`` the kernel says so in
  the request and `without_set_id` does it; without, it sends a SETATTR with the mode that remains.
  `chown` does it in any case: twice does no harm;
- ENOTDIR, ELOOP and EXDEV along a path, EISDIR at open; ``user.*`` attributes are refused on
  everything but regular files and directories.

Left to us: owner, group and mode of what is made; all times, also of the parent directories; the
count of links; ENOTEMPTY, EISDIR and EEXIST at rename. A SETATTR without any field is
``chown(-1, -1)``: it sets ctime, as on local file systems.

Access times follow ``relatime``. The kernel serves reads of cached pages without telling us.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Protocol

from mountfs.vfs.node_attributes import NodeAttributes

if TYPE_CHECKING:
    from mountfs.attributes import AttributeChanges, Caller

SYMLINK_MODE = stat.S_IFLNK | 0o777
"""Nobody asks for the permissions of a symbolic link, so all have the same."""

TIME_LIMIT_SECONDS = 1 << 34
"""Times are kept within this many seconds of the epoch, both ways: 544 years."""

RELATIME_NS = 24 * 60 * 60 * 1_000_000_000
"""An access time that is older than this is renewed by a read."""

_SET_ID = stat.S_ISUID | stat.S_ISGID


class Shown(Protocol):
    """What a node shows: `Attributes`, or anything that has these."""

    @property
    def mode(self) -> int:
        """Permission bits and file type."""
        ...

    @property
    def uid(self) -> int:
        """Owner."""
        ...

    @property
    def gid(self) -> int:
        """Group."""
        ...


def new_node(
    parent: Shown,
    caller: Caller,
    mode: int,
    *,
    now_ns: int,
    rdev: int = 0,
    groups: frozenset[int] = frozenset(),
) -> NodeAttributes:
    """Return the attributes of a file, directory, link or special file that *caller* makes.

    *mode* has the file type and has been masked already. The group comes from the caller, or from
    a set-gid *parent*, which also makes subdirectories set-gid. *groups* are the supplementary ones
    of the caller, which are needed if `asks_for_groups`.
    """
    gid = caller.gid
    is_directory = stat.S_ISDIR(mode)
    if stat.S_ISLNK(mode):
        mode = SYMLINK_MODE
    if parent.mode & stat.S_ISGID:
        gid = parent.gid
        if is_directory:
            mode |= stat.S_ISGID
        elif asks_for_groups(parent, caller, mode) and gid not in groups:
            mode &= ~stat.S_ISGID
    is_device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    return NodeAttributes(
        mode=mode,
        uid=caller.uid,
        gid=gid,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        rdev=rdev if is_device else None,
        xattrs={},
    )


def asks_for_groups(parent: Shown, caller: Caller, mode: int) -> bool:
    """Tell whether `new_node` depends on the caller's supplementary groups: it hardly ever does."""
    return (
        parent.mode & stat.S_ISGID != 0
        and _is_set_gid_program(mode)
        and not stat.S_ISDIR(mode)
        and caller.uid != 0
        and caller.gid != parent.gid
    )


def set_attributes(shown: Shown, asked: AttributeChanges, *, now_ns: int) -> NodeAttributes:
    """Return what a SETATTR changes, of which one may ask for several things.

    One that asks for nothing is ``chown(-1, -1)``.
    """
    if asked.size_bytes is None:
        changes = status_changed(now_ns=now_ns)
    else:
        changes = content_changed(now_ns=now_ns)
    if asked.uid is not None or asked.gid is not None:
        changes = changes.overlaid(chown(shown, asked.uid, asked.gid, now_ns=now_ns))
    if asked.mode is not None:  # the kernel knows best what is left of it
        changes = changes.overlaid(chmod(shown, asked.mode, now_ns=now_ns))
    return changes.overlaid(set_times(asked.atime_ns, asked.mtime_ns, now_ns=now_ns))


def chmod(shown: Shown, mode: int, *, now_ns: int) -> NodeAttributes:
    """Return what ``chmod`` changes; the file type stays, whatever *mode* says."""
    return NodeAttributes(mode=stat.S_IFMT(shown.mode) | stat.S_IMODE(mode), ctime_ns=now_ns)


def chown(shown: Shown, uid: int | None, gid: int | None, *, now_ns: int) -> NodeAttributes:
    """Return what ``chown`` changes; None leaves the owner or the group as it is.

    Whoever asks, set-uid and set-gid go, except from directories.
    """
    mode = without_set_id(shown.mode)
    return NodeAttributes(
        mode=mode if mode != shown.mode else None, uid=uid, gid=gid, ctime_ns=now_ns
    )


def without_set_id(mode: int) -> int:
    """Return *mode* as a write, a truncation or a change of owner leaves it.

    Set-gid without group execution is not a privilege (it once meant mandatory locking) and stays.
    On directories both bits mean something else and stay.
    """
    if stat.S_ISDIR(mode):
        return mode
    return mode & ~(_SET_ID if _is_set_gid_program(mode) else stat.S_ISUID)


def set_times(atime_ns: int | None, mtime_ns: int | None, *, now_ns: int) -> NodeAttributes:
    """Return what ``utimensat`` changes; None is ``UTIME_OMIT``, ``UTIME_NOW`` is *now_ns*.

    Times that cannot be kept are moved to the nearest that can.
    """
    return NodeAttributes(
        atime_ns=None if atime_ns is None else clamp_time_ns(atime_ns),
        mtime_ns=None if mtime_ns is None else clamp_time_ns(mtime_ns),
        ctime_ns=now_ns,
    )


def content_changed(*, now_ns: int) -> NodeAttributes:
    """Return what a write and a truncation change, and every change of a name to its directory."""
    return NodeAttributes(mtime_ns=now_ns, ctime_ns=now_ns)


def status_changed(*, now_ns: int) -> NodeAttributes:
    """Return what a rename, an unlink while open and an extended attribute change of the node."""
    return NodeAttributes(ctime_ns=now_ns)


def content_read(
    atime_ns: int, mtime_ns: int, ctime_ns: int, *, now_ns: int
) -> NodeAttributes | None:
    """Return what a read of a file, a directory or a link changes, or None: ``relatime``."""
    if atime_ns <= max(mtime_ns, ctime_ns) or now_ns - atime_ns >= RELATIME_NS:
        return NodeAttributes(atime_ns=now_ns) if atime_ns != now_ns else None
    return None


def directory_link_count(subdirectory_count: int | None) -> int:
    """Return ``st_nlink`` of a directory; None when not all of its subdirectories are known.

    1 is how file systems that do not count say so. ``find`` and its like take any larger number at
    its word and skip what is in excess of it.
    """
    return 1 if subdirectory_count is None else 2 + subdirectory_count


def clamp_time_ns(time_ns: int) -> int:
    """Return the nearest time that can be kept."""
    limit_ns = TIME_LIMIT_SECONDS * 1_000_000_000
    return max(1 - limit_ns, min(time_ns, limit_ns - 1))


def _is_set_gid_program(mode: int) -> bool:
    """Tell whether set-gid is a privilege here: whoever runs the file gets its group."""
    bits = stat.S_ISGID | stat.S_IXGRP
    return mode & bits == bits
