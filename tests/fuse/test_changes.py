"""The handlers of changes, through the calls that programs make, on a real mount."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from mountfs.attributes import AttributeChanges, Attributes, Entry
from mountfs.fuse import abi
from mountfs.fuse.abi import Opcode
from mountfs.fuse.entries import pack_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuse.memory_mount import MemoryMount

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs FUSE")


def errno_of(function: Callable[[], object]) -> int | None:
    """Return the errno with which *function* fails, or None if it does not."""
    try:
        function()
    except OSError as error:
        return error.errno
    return None


def calls_of(mount: MemoryMount, method: str) -> list[tuple[object, ...]]:
    """Return what *method* was called with."""
    return [call[1:] for call in mount.files.calls if call[0] == method]


@pytest.mark.parametrize("size", [1, 5000, 3 * 1024 * 1024 + 7])
def test_what_is_written_is_read_back(mount: MemoryMount, size: int) -> None:
    """Small writes are answered at once, large ones later, still larger ones come in pieces."""
    content = os.urandom(size)
    path = mount.path / "f"
    path.write_bytes(content)
    assert content == path.read_bytes()
    assert [("f", content)] == mount.published


def test_a_file_can_be_read_and_written_anywhere_through_one_handle(mount: MemoryMount) -> None:
    """O_RDWR, pwrite beyond the end, append, ftruncate both ways."""
    fd = os.open(mount.path / "f", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o640)
    os.pwrite(fd, b"end", 5000)
    os.pwrite(fd, b"start", 0)
    assert b"start\0" == os.pread(fd, 6, 0)
    os.ftruncate(fd, 3)
    os.ftruncate(fd, 5)
    assert b"sta\0\0" == os.pread(fd, 100, 0)
    os.close(fd)
    with open(mount.path / "f", "ab") as file:
        file.write(b"more")
    assert b"sta\0\0more" == (mount.path / "f").read_bytes()
    assert 0o640 == stat.S_IMODE((mount.path / "f").stat().st_mode)
    sizes = [
        (changes.size_bytes, handle is not None)
        for _, changes, handle in calls_of(mount, "set_attributes")
        if isinstance(changes, AttributeChanges)
    ]
    assert [(3, True), (5, True)] == sizes


def test_opening_with_truncation_is_one_request(mount: MemoryMount) -> None:
    """The flag comes with the open; no separate truncation."""
    path = mount.path / "f"
    path.write_bytes(b"old")
    path.write_bytes(b"")
    assert b"" == path.read_bytes()
    assert [] == calls_of(mount, "set_attributes")
    assert 1 == len(calls_of(mount, "open_to_write"))


def test_only_writers_have_handles(mount: MemoryMount) -> None:
    """Who reads opens as on a read-only mount, also with a flag that is about writing."""
    path = mount.path / "f"
    path.write_bytes(b"x")
    os.close(os.open(path, os.O_RDONLY | os.O_APPEND))
    flags = [call[1] for call in calls_of(mount, "open")]
    assert [0] == [int(str(each)) & (os.O_ACCMODE | os.O_APPEND) for each in flags]
    assert {} == mount.files.handles


def test_a_file_that_was_only_created_exists(mount: MemoryMount) -> None:
    """Also when it was not opened to be written: its close publishes it."""
    os.close(os.open(mount.path / "f", os.O_CREAT | os.O_EXCL | os.O_RDONLY))
    assert [("f", b"")] == mount.published
    with pytest.raises(FileExistsError):
        os.open(mount.path / "f", os.O_CREAT | os.O_EXCL)


def test_fsync_publishes_and_closing_then_has_nothing_to_do(mount: MemoryMount) -> None:
    """By handle for a writer, by inode for a reader, by inode for a directory."""
    with open(mount.path / "f", "wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    assert [("f", b"x")] == mount.published
    with open(mount.path / "f", "rb") as file:
        os.fsync(file.fileno())
        assert [(os.fstat(file.fileno()).st_ino,)] == calls_of(mount, "fsync_inode")
    folder = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
    assert [(1,)] == calls_of(mount, "fsync_directory")


def test_the_umask_is_applied_once(mount: MemoryMount) -> None:
    """By the kernel: the mode that arrives is final, the umask comes along."""
    old = os.umask(0o027)
    try:
        os.close(os.open(mount.path / "f", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(mount.path / "d", 0o777)
    finally:
        os.umask(old)
    assert [(0o640, 0o027)] == [
        (stat.S_IMODE(int(str(mode))), umask) for _, _, mode, umask in calls_of(mount, "create")
    ]
    assert 0o750 == stat.S_IMODE((mount.path / "d").stat().st_mode)


def test_names_of_all_types_can_be_made_and_removed(mount: MemoryMount) -> None:
    """And the listing shows their types without asking for each."""
    os.mkdir(mount.path / "d")
    os.symlink("target of the link", mount.path / "l")
    os.mkfifo(mount.path / "p")
    (mount.path / "f").touch()
    types = {entry.name: entry.is_symlink() for entry in os.scandir(mount.path)}
    assert {"d": False, "l": True, "p": False, "f": False} == types
    assert "target of the link" == os.readlink(mount.path / "l")
    assert stat.S_ISFIFO((mount.path / "p").stat().st_mode)
    (mount.path / "d" / "x").touch()
    assert errno.ENOTEMPTY == errno_of(lambda: os.rmdir(mount.path / "d"))
    os.unlink(mount.path / "d" / "x")
    os.rmdir(mount.path / "d")
    for name in "lpf":
        os.unlink(mount.path / name)
    assert [] == os.listdir(mount.path)


def test_a_device_has_its_number(mount: MemoryMount) -> None:
    """Its number goes down with MKNOD and comes up with the attributes."""
    if os.geteuid() != 0:
        pytest.skip("only root may make devices")
    os.mknod(mount.path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert os.makedev(1, 3) == (mount.path / "null").stat().st_rdev


def test_rename_replaces_unless_it_must_not(mount: MemoryMount) -> None:
    """RENAME_NOREPLACE is honoured; what a bucket cannot do is refused."""
    (mount.path / "a").write_bytes(b"a")
    (mount.path / "b").write_bytes(b"b")
    program = """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        for flags in (1, 2, 4):
            done = libc.renameat2(-100, b"a", -100, b"b", flags)
            print(done, ctypes.get_errno(), end=";")
    """
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=mount.path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"-1 {errno.EEXIST};-1 {errno.EINVAL};-1 {errno.EINVAL};" == shown
    os.rename(mount.path / "a", mount.path / "b")
    assert ["b"] == os.listdir(mount.path)
    assert b"a" == (mount.path / "b").read_bytes()


def test_what_a_bucket_cannot_do_is_refused_as_programs_expect(mount: MemoryMount) -> None:
    """Hard links, files without a name, too long names; copy_file_range falls back."""
    path = mount.path / "f"
    path.write_bytes(b"content")
    long = mount.path / ("x" * 256)
    assert errno.EPERM == errno_of(lambda: os.link(path, mount.path / "g"))
    assert errno.EOPNOTSUPP == errno_of(lambda: os.open(mount.path, os.O_TMPFILE | os.O_WRONLY))
    assert errno.ENAMETOOLONG == errno_of(long.touch)
    assert errno.ENAMETOOLONG == errno_of(long.mkdir)
    assert errno.ENAMETOOLONG == errno_of(lambda: path.rename(long))
    with open(path, "rb") as source, open(mount.path / "copy", "wb") as target:
        assert 7 == os.copy_file_range(source.fileno(), target.fileno(), 100)
    assert b"content" == (mount.path / "copy").read_bytes()


def test_everything_is_data(mount: MemoryMount) -> None:
    """SEEK_HOLE finds the end, SEEK_DATA where one is; the size is what was just written."""
    with open(mount.path / "f", "wb", buffering=0) as file:
        file.write(b"x" * 10)
        assert 10 == os.lseek(file.fileno(), 2, os.SEEK_HOLE)
        assert 2 == os.lseek(file.fileno(), 2, os.SEEK_DATA)
        assert errno.ENXIO == errno_of(lambda: os.lseek(file.fileno(), 10, os.SEEK_DATA))


def test_space_can_be_allocated(mount: MemoryMount) -> None:
    """Through the handle; the size is seen at once."""
    with open(mount.path / "f", "wb") as file:
        os.posix_fallocate(file.fileno(), 10, 90)
        assert 100 == os.fstat(file.fileno()).st_size
    assert [(0, 10, 90)] == calls_of(mount, "allocate")


def test_times_have_nanoseconds_and_may_be_before_1970(mount: MemoryMount) -> None:
    """As given, or now; what is omitted stays as it is."""
    path = mount.path / "f"
    path.touch()
    os.utime(path, ns=(-1_500_000_001, 1_700_000_000_123_456_789))
    shown = path.stat()
    assert (-1_500_000_001, 1_700_000_000_123_456_789) == (shown.st_atime_ns, shown.st_mtime_ns)
    subprocess.run(["touch", "-m", "-d", "1970-01-02 UTC", path], check=True)
    shown = path.stat()
    assert (-1_500_000_001, 86_400_000_000_000) == (shown.st_atime_ns, shown.st_mtime_ns)
    os.utime(path)
    shown = path.stat()
    assert shown.st_atime_ns == shown.st_mtime_ns > 1_700_000_000_123_456_789


def test_extended_attributes_of_users(mount: MemoryMount) -> None:
    """Set, replace, list, too small a buffer, remove; other namespaces do not exist."""
    path = mount.path / "f"
    path.touch()
    assert [] == os.listxattr(path)
    os.setxattr(path, "user.one", b"1\0" * 500)
    os.setxattr(path, "user.empty", b"")
    assert b"1\0" * 500 == os.getxattr(path, "user.one")
    assert b"" == os.getxattr(path, "user.empty")
    assert {"user.one", "user.empty"} == {*os.listxattr(path)}
    again = errno_of(lambda: os.setxattr(path, "user.one", b"2", os.XATTR_CREATE))
    assert errno.EEXIST == again
    os.removexattr(path, "user.one")
    assert errno.ENODATA == errno_of(lambda: os.getxattr(path, "user.one"))
    assert errno.ENODATA == errno_of(lambda: os.removexattr(path, "user.one"))
    assert errno.ENODATA == errno_of(lambda: os.getxattr(path, "security.capability"))
    if os.geteuid() == 0:
        assert errno.EOPNOTSUPP == errno_of(lambda: os.setxattr(path, "trusted.x", b"2"))
    program = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(2)
        print(libc.getxattr(b"f", b"user.two", buffer, 2), ctypes.get_errno())
    """
    os.setxattr(path, "user.two", b"long")
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=mount.path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"-1 {errno.ERANGE}\n" == shown


def test_set_id_bits_go_with_a_write_a_truncation_and_a_new_owner(mount: MemoryMount) -> None:
    """For who may not keep them; set-gid without group execution is no privilege and stays."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as others")
    program = """
        import os
        def mode():
            return oct(os.stat("f").st_mode & 0o7777)
        fd = os.open("f", os.O_WRONLY)
        for bits in (0o6777, 0o2767):
            os.chmod("f", bits); os.write(fd, b"x"); print(mode())
            os.chmod("f", bits); os.truncate("f", 0); print(mode())
            os.chmod("f", bits); os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)); print(mode())
            os.chmod("f", bits); os.chown("f", -1, os.getgid()); print(mode())
    """
    path = mount.path / "f"
    path.touch()
    os.chown(path, 65534, 65534)
    shown = subprocess.run(
        ["python3", "-c", textwrap.dedent(program)],
        cwd=mount.path,
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert ["0o777"] * 4 + ["0o2767"] * 4 == shown
    os.chmod(path, 0o6777)
    path.write_bytes(b"root keeps them")
    assert 0o6777 == stat.S_IMODE(path.stat().st_mode)
    os.chown(path, 0, 0)
    assert 0o777 == stat.S_IMODE(path.stat().st_mode)


def test_a_write_is_one_request(mount: MemoryMount) -> None:
    """The kernel asks for nothing else in between, like ``security.capability``."""
    with open(mount.path / "f", "wb", buffering=0) as file:
        file.write(b"x")
        with mount.recording() as opcodes:
            for _ in range(5):
                file.write(b"x")
        assert [Opcode.WRITE] * 5 == opcodes


def test_times_that_are_not_known_are_that_of_the_contents() -> None:
    """And year 1, which some stores send, is shown as 1970."""
    attributes = Attributes(5, 6, 7_000_000_008, 0o100644, 1, 0, 0)
    fields = abi.ATTR_OUT.unpack(pack_attributes(Entry(attributes, 0.0, 0.0)))
    assert (7, 7, 7, 8, 8, 8) == fields[6:12]
    attributes = attributes._replace(mtime_ns=-62_135_596_800 * 10**9, atime_ns=-1, ctime_ns=2)
    fields = abi.ATTR_OUT.unpack(pack_attributes(Entry(attributes, 0.0, 0.0)))
    assert (-1, 0, 0, 999_999_999, 0, 2) == fields[6:12]
