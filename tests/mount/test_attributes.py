"""What `stat` says, and that nothing can be changed yet."""

from __future__ import annotations

import functools
import os
import stat
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.mount.content import MIB, put_objects
from tests.mount.fake_mount import mounting_fake
from tests.mount.outcome import outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter

pytestmark = pytest.mark.mount

GIB = 1024 * MIB


def test_stat_tells_what_the_store_and_the_options_say(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Owner and mode by option, size and time by object."""
    put_objects(s3, bucket, {"f": b"12345", "d/x": b""})
    modified = s3.head_object(Bucket=bucket, Key="f")["LastModified"]
    # Only root may look into a directory that is somebody else's and closed to others.
    uid, gid = (1234, 2345) if os.getuid() == 0 else (os.getuid(), os.getgid())
    options = ["--uid", f"{uid}", "--gid", f"{gid}", "--file-mode", "640", "--dir-mode", "750"]
    with mounted(*options) as mount:
        file, directory = (mount.path / "f").stat(), (mount.path / "d").stat()
        assert file.st_mode == stat.S_IFREG | 0o640
        assert directory.st_mode == stat.S_IFDIR | 0o750
        assert (
            file.st_uid, file.st_gid, directory.st_uid, directory.st_gid,
        ) == (uid, gid, uid, gid)  # fmt: skip
        assert (file.st_size, file.st_nlink) == (5, 1)
        assert directory.st_nlink >= 1
        assert file.st_blksize == MIB
        assert file.st_blocks == 1
        assert int(modified.timestamp()) == int(file.st_mtime)
        assert file.st_ino != directory.st_ino


def test_the_owner_is_by_default_who_mounts(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """And others may read."""
    put_objects(s3, bucket, {"f": b"12345"})
    with mounted() as mount:
        for path, mode in [(mount.path, 0o755), (mount.path / "f", 0o644)]:
            found = path.stat()
            assert (os.getuid(), os.getgid()) == (found.st_uid, found.st_gid)
            assert mode == stat.S_IMODE(found.st_mode)


def test_listed_and_looked_up_attributes_are_the_same(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Inode numbers too, and they stay for as long as the object does."""
    put_objects(s3, bucket, {f"{n}": bytes(n) for n in range(20)})
    with mounted("--metadata-ttl", "0") as mount:
        looked_up = {str(n): (mount.path / str(n)).stat() for n in range(20)}
        with os.scandir(mount.path) as entries:
            listed = {entry.name: (entry.inode(), entry.stat()) for entry in entries}
        assert looked_up.keys() == listed.keys()
        for name, found in looked_up.items():
            inode, again = listed[name]
            assert found.st_ino == inode == again.st_ino
            assert (found.st_size, found.st_mtime_ns) == (again.st_size, again.st_mtime_ns)


def test_statfs_promises_plenty(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """Tools that look for free space find some, and the longest name."""
    with mounted() as mount:
        found = os.statvfs(mount.path)
        assert found.f_bavail * found.f_frsize > 1 << 50
        assert found.f_namemax == 255


def test_files_over_5_gib_have_their_size_and_their_end(tmp_path: Path) -> None:
    """Beyond 32 bits in every field, and beyond what one upload can be."""
    store = FakeStore()
    sizes = [4 * GIB - 1, 4 * GIB, 5 * GIB + 1, 5 * 1024 * GIB]
    for size in sizes:
        store.bucket.put_zeros(str(size), size)
    with mounting_fake(store, tmp_path / "mnt") as mount:
        for size in sizes:
            path = mount.path / str(size)
            assert size == path.stat().st_size
            with path.open("rb", buffering=0) as file:
                file.seek(size - 10)
                assert bytes(10) == file.read(100)
                file.seek(size // 2 + 1)
                assert bytes(MIB) == os.pread(file.fileno(), MIB, size // 2 + 1)
                assert size == file.seek(0, os.SEEK_END)


CHANGES: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda path: os.open(path / "f", os.O_WRONLY),
    "open for both": lambda path: os.open(path / "f", os.O_RDWR),
    "open for appending": lambda path: os.open(path / "f", os.O_WRONLY | os.O_APPEND),
    "open and truncate": lambda path: os.open(path / "f", os.O_WRONLY | os.O_TRUNC),
    "create": lambda path: os.open(path / "new", os.O_CREAT | os.O_WRONLY),
    "create to read": lambda path: os.open(path / "new", os.O_CREAT | os.O_RDONLY),
    "create exclusively": lambda path: os.open(path / "new", os.O_CREAT | os.O_EXCL),
    "temporary file": lambda path: os.open(path, os.O_TMPFILE | os.O_RDWR),
    "truncate": lambda path: os.truncate(path / "f", 0),
    "mkdir": lambda path: os.mkdir(path / "new"),
    "mkdir below": lambda path: os.mkdir(path / "d/new"),
    "rmdir": lambda path: os.rmdir(path / "d"),
    "unlink": lambda path: os.unlink(path / "f"),
    "rename": lambda path: os.rename(path / "f", path / "g"),
    "rename over": lambda path: os.rename(path / "f", path / "h"),
    "rename directory": lambda path: os.rename(path / "d", path / "e"),
    "symlink": lambda path: os.symlink("f", path / "new"),
    "link": lambda path: os.link(path / "f", path / "new"),
    "mknod": lambda path: os.mknod(path / "new", stat.S_IFREG | 0o644),
    "mkfifo": lambda path: os.mkfifo(path / "new"),
    "chmod": lambda path: os.chmod(path / "f", 0o600),
    "chmod directory": lambda path: os.chmod(path / "d", 0o700),
    "chown": lambda path: os.chown(path / "f", os.getuid(), os.getgid()),
    "utime": lambda path: os.utime(path / "f"),
    "utime to a time": lambda path: os.utime(path / "f", (1, 2)),
    "setxattr": lambda path: os.setxattr(path / "f", "user.a", b"1"),
    "removexattr": lambda path: os.removexattr(path / "f", "user.a"),
}


def test_a_read_only_mount_refuses_every_change_with_erofs(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Whoever tries hears the same, and nothing changes."""
    put_objects(s3, bucket, {"f": b"1", "h": b"2", "d/x": b"3"})
    with mounted("--read-only") as mount:
        refusals = {
            name: outcome_of(functools.partial(change, mount.path))
            for name, change in CHANGES.items()
        }
        assert dict.fromkeys(CHANGES, "EROFS") == refusals
        assert (mount.path / "f").read_bytes() == b"1"
        assert sorted(os.listdir(mount.path)) == ["d", "f", "h"]
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["d/x", "f", "h"]


@pytest.mark.parametrize(("option", "is_writable"), [("--read-only", False), ("", True)])
def test_access_is_granted_as_the_modes_and_the_mount_say(
    s3: S3Client, bucket: str, mounted: Mounter, option: str, is_writable: bool
) -> None:
    """Reading is permitted to the owner, writing unless the mount is read-only."""
    put_objects(s3, bucket, {"f": b"1"})
    with mounted(*option.split()) as mount:
        assert os.access(mount.path / "f", os.R_OK)
        assert is_writable == os.access(mount.path / "f", os.W_OK)
        assert not os.access(mount.path / "f", os.X_OK)
        assert os.access(mount.path, os.R_OK | os.X_OK)
        assert is_writable == os.access(mount.path, os.W_OK)


@pytest.mark.parametrize("option", ["--read-only", "--no-read-only"])
def test_there_are_no_extended_attributes_that_a_copy_would_take(
    s3: S3Client, bucket: str, mounted: Mounter, option: str
) -> None:
    """Asking is no error; `ls` and `cp -a` do."""
    put_objects(s3, bucket, {"f": b"1"})
    with mounted(option) as mount:
        path = mount.path / "f"
        assert "ENODATA" == outcome_of(lambda: os.getxattr(path, "user.a"))
        assert "ENODATA" == outcome_of(lambda: os.getxattr(path, "security.capability"))
        assert [] == os.listxattr(path)
