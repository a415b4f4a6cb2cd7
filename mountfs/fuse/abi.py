"""The FUSE wire protocol: opcodes, flags and structures, as in the kernel's ``linux/fuse.h``.

Only what mountfs uses. Protocol 7.31 (Linux 5.4) is the least that is spoken: every structure
below has had its size since then. Numbers are in the machine's byte order, without padding.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

MAJOR = 7
MIN_MINOR = 31
"""Linux 5.4; older kernels lack ``FUSE_NO_OPENDIR_SUPPORT`` and ``FUSE_MAX_PAGES``."""
MINOR = 38

ROOT_INODE = 1


class Opcode(IntEnum):
    """What the kernel asks."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51


class InitFlag(IntFlag):
    """What the two sides can do, negotiated once."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    HANDLE_KILLPRIV_V2 = 1 << 28


class OpenFlag(IntFlag):
    """How the kernel shall treat an open file."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    NOFLUSH = 1 << 5


class SetattrFlag(IntFlag):
    """Which fields of a SETATTR count (``FATTR_…``)."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    LOCKOWNER = 1 << 9
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


class RenameFlag(IntFlag):
    """How ``renameat2`` treats what has the new name."""

    NOREPLACE = 1 << 0
    EXCHANGE = 1 << 1
    WHITEOUT = 1 << 2


OPEN_KILL_SUIDGID = 1 << 0
"""In the ``open_flags`` of OPEN and CREATE: truncating takes set-uid and set-gid away."""
WRITE_KILL_SUIDGID = 1 << 2
"""In the ``write_flags`` of WRITE: the writer has not the right to keep set-uid and set-gid."""


class NotifyCode(IntEnum):
    """What the file system tells the kernel unasked."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3


IN_HEADER = Struct("=IIQQIIIHH")
"""len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding"""
OUT_HEADER = Struct("=IiQ")
"""len, error (negative errno), unique"""

INIT_IN = Struct("=IIII")
"""major, minor, max_readahead, flags; newer kernels send more"""
INIT_OUT = Struct("=IIIIHHIIHHI7I")
"""major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran,
max_pages, map_alignment, flags2, unused"""

FORGET_IN = Struct("=Q")
"""nlookup"""
BATCH_FORGET_IN = Struct("=II")
"""count, dummy; then *count* times `FORGET_ONE`"""
FORGET_ONE = Struct("=QQ")
"""nodeid, nlookup"""

ENTRY_OUT = Struct("=QQQQII" + "QQQqqq" + "IIIIIIIIII")
"""nodeid, generation, entry_valid, attr_valid, entry_valid_nsec, attr_valid_nsec, then an attr"""
ATTR_OUT = Struct("=QII" + "QQQqqq" + "IIIIIIIIII")
"""attr_valid, attr_valid_nsec, dummy, then an attr: ino, size, blocks, atime, mtime, ctime, their
nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags; times before 1970 are negative"""

OPEN_IN = Struct("=II")
"""flags, open_flags"""
OPEN_OUT = Struct("=QII")
"""fh, open_flags, padding"""
CREATE_IN = Struct("=IIII")
"""flags, mode, umask, open_flags; then the name and a NUL"""
READ_IN = Struct("=QQIIQII")
"""fh, offset, size, read_flags, lock_owner, flags, padding; READDIRPLUS uses it too"""
WRITE_IN = Struct("=QQIIQII")
"""fh, offset, size, write_flags, lock_owner, flags, padding; then the data"""
WRITE_OUT = Struct("=II")
"""size, padding"""
FLUSH_IN = Struct("=QIIQ")
"""fh, unused, padding, lock_owner"""
FSYNC_IN = Struct("=QII")
"""fh, fsync_flags, padding; FSYNCDIR uses it too"""
FALLOCATE_IN = Struct("=QQQII")
"""fh, offset, length, mode, padding"""
RELEASE_IN = Struct("=QIIQ")
"""fh, flags, release_flags, lock_owner"""
INTERRUPT_IN = Struct("=Q")
"""unique of the request to interrupt"""
STATFS_OUT = Struct("=QQQQQIIII6I")
"""blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare"""
DIRENT = Struct("=QQII")
"""ino, off (of the next entry), namelen, type; then the name, padded to 8 bytes"""
INVAL_INODE_OUT = Struct("=Qqq")
"""ino, off, len"""
INVAL_ENTRY_OUT = Struct("=QII")
"""parent, namelen, flags; then the name and a NUL"""

SETATTR_IN = Struct("=IIQQQqqqIIIIIIII")
"""valid (`SetattrFlag`), padding, fh, size, lock_owner, atime, mtime, ctime, their nanoseconds,
mode, unused, uid, gid, unused"""
MKNOD_IN = Struct("=IIII")
"""mode, rdev, umask, padding; then the name and a NUL"""
MKDIR_IN = Struct("=II")
"""mode, umask; then the name and a NUL"""
RENAME_IN = Struct("=Q")
"""newdir; then the old name, a NUL, the new name and a NUL"""
RENAME2_IN = Struct("=QII")
"""newdir, flags (`RenameFlag`), padding; then the names as in RENAME"""
SETXATTR_IN = Struct("=II")
"""size, flags; then the name, a NUL and the value. Two more fields if ``FUSE_SETXATTR_EXT`` was
negotiated, which it is not."""
GETXATTR_IN = Struct("=II")
"""size (0 asks for it), padding; then the name and a NUL. LISTXATTR uses it too, without name"""
GETXATTR_OUT = Struct("=II")
"""size, padding: the answer to those who ask for the size"""
