"""The mount table, who holds a mount, and what a mountpoint must be."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mountfs.command.holders import MAX_USES, Holder, find_holders
from mountfs.command.mountpoint import check_cache_dir, check_host, check_mountpoint
from mountfs.command.presence import find_pid, listen
from mountfs.command.progress import LineDisplay
from mountfs.command.umount import unmount
from mountfs.errors import MountError, UsageError
from mountfs.mounts import Mount, locate, read_mounts, top_mount_at

MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
40 27 0:48 / /mnt/a\040b\134 ro,nosuid shared:1 master:2 - fuse.mountfs s3://b/x\040y ro
41 40 0:49 / /mnt/a\040b\134/in rw - tmpfs tmpfs rw
42 27 0:50 / /mnt/a\040b\134 ro - fuse.mountfs s3://top ro
"""


def test_the_table_is_read_with_its_escapes(tmp_path: Path) -> None:
    """Spaces and backslashes in paths and sources, optional fields or none."""
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    mounts = read_mounts(path)
    assert mounts[1] == Mount(
        mount_id=40,
        parent_id=27,
        device="0:48",
        mountpoint="/mnt/a b\\",
        kind="fuse.mountfs",
        source="s3://b/x y",
    )
    assert [mount.is_ours for mount in mounts] == [False, True, False, True]
    top = top_mount_at("/mnt/a b\\", mounts)
    assert top is not None
    assert top.source == "s3://top"


def test_a_path_is_located_without_looking_at_its_end(tmp_path: Path) -> None:
    """Links are followed, also in the last place; what is missing is kept."""
    (tmp_path / "real" / "mnt").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link").symlink_to("folder/mnt")
    assert str(tmp_path / "real/mnt") == locate(str(tmp_path / "link"))
    assert str(tmp_path / "real/missing") == locate(str(tmp_path / "folder/missing/"))
    (tmp_path / "loop").symlink_to("loop")
    assert str(tmp_path / "loop") == locate(str(tmp_path / "loop"))


def own_mount(path: Path) -> Mount:
    """Return the mount on which *path* lies, called a mount at *path*."""
    mount_id = next(
        int(line.split()[1])
        for line in Path(f"/proc/self/fdinfo/{os.open(path, os.O_RDONLY)}").read_text().splitlines()
        if line.startswith("mnt_id:")
    )
    (mount,) = [mount for mount in read_mounts() if mount.mount_id == mount_id]
    return Mount(
        mount_id=mount.mount_id,
        parent_id=mount.parent_id,
        device=mount.device,
        mountpoint=str(path),
        kind=mount.kind,
        source=mount.source,
    )


def test_holders_are_found_by_open_files_directories_and_mappings(tmp_path: Path) -> None:
    """A child that has a file open, is in a directory and has mapped a file."""
    held = tmp_path / "held"
    held.write_bytes(bytes(mmap.PAGESIZE))
    program = (
        "import mmap, os, sys\n"
        f"file = open({str(held)!r}, 'rb')\n"
        "mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        mount = own_mount(tmp_path)
        (holder,) = [found for found in find_holders(mount, [mount]) if found.pid == child.pid]
        child.communicate(b"")
    assert holder.name == Path(sys.executable).name
    assert holder.uses[0] == f"current directory {tmp_path}"
    assert len(holder.uses) == min(MAX_USES, holder.use_count)
    assert holder.use_count >= 3
    assert str(held) in str(holder) or "more" in str(holder)


def test_a_holder_is_one_line() -> None:
    """Whoever names a file with a newline does not write lines of our log."""
    holder = Holder(pid=7, name="a\nb", uses=("open /mnt/\x1b[2Ja\nä",), use_count=1)
    assert str(holder) == "pid 7 (a\\nb): open /mnt/\\x1b[2Ja\\nä"


def test_a_mount_inside_of_it_holds_a_mount(tmp_path: Path) -> None:
    """It keeps the outer one busy without any process."""
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    mounts = read_mounts(path)
    (holder,) = find_holders(mounts[1], mounts, proc=str(tmp_path))
    assert str(holder) == "mounted inside of it: /mnt/a b\\/in"


def test_a_mountpoint_must_be_a_directory_that_exists(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(MountError, match="does not exist; create it with: mkdir -p"):
        check_mountpoint(str(tmp_path / "missing"))
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match="is not a directory"):
        check_mountpoint(str(tmp_path / "file"))
    assert str(tmp_path) == check_mountpoint(str(tmp_path / "."))


def test_what_is_missing_on_the_host_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what installs or permits it."""
    with pytest.raises(MountError, match="modprobe fuse"):
        check_host(allow_other=False, device=str(tmp_path / "fuse"))
    conf = tmp_path / "fuse.conf"
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(MountError, match="user_allow_other"):
        check_host(allow_other=True, device="/dev/null", fuse_conf=conf)
    conf.write_text("# user_allow_other\nuser_allow_other\n")
    check_host(allow_other=True, device="/dev/null", fuse_conf=conf)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountError, match="apt-get install fuse3"):
        check_host(allow_other=False, device="/dev/null")


def test_only_our_mounts_are_unmounted(tmp_path: Path) -> None:
    """Neither a plain directory nor somebody else's mount."""
    with pytest.raises(MountError, match="nothing is mounted there"):
        unmount(str(tmp_path), is_lazy=False, display=LineDisplay("", print))
    with pytest.raises(MountError, match="a mount of type proc"):
        unmount("/proc", is_lazy=True, display=LineDisplay("", print))


def test_the_staging_directory_is_not_on_a_mount_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be as slow as what it is there to help, and wait for it."""
    (tmp_path / "mountinfo").write_bytes(MOUNTINFO)
    mounts = read_mounts(tmp_path / "mountinfo")
    monkeypatch.setattr("mountfs.command.mountpoint.read_mounts", lambda: mounts)
    check_cache_dir("/mnt/a b")
    with pytest.raises(UsageError, match=r"lies on /mnt/a b.*; choose a directory on a local disk"):
        check_cache_dir("/mnt/a b\\/staging")


def test_a_process_is_found_by_its_mount_while_it_lives() -> None:
    """Without a file, without being asked."""
    device = f"test-{os.getpid()}"
    program = (
        "import sys\nfrom mountfs.command.presence import listen\n"
        f"with listen({device!r}):\n    print(flush=True); sys.stdin.read()\n"
    )
    assert find_pid(device) is None
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid == find_pid(device)
        child.communicate(b"")
    assert find_pid(device) is None


def test_our_own_mount_is_not_waited_for() -> None:
    """A process that unmounts itself would wait for its own end."""
    with listen(f"own-{os.getpid()}"):
        assert find_pid(f"own-{os.getpid()}") is None
