"""Which descriptors of other processes are of a file of the mount."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from mountfs.fuse import processes
from tests.fuse.memory_mount import MemoryMount, mounting_memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs FUSE")


def test_a_file_elsewhere_with_the_same_inode_number_does_not_count(
    mount: MemoryMount, tmp_path: Path
) -> None:
    """The number alone says nothing: another mount has the same ones."""
    with mounting_memory(tmp_path / "other") as other:
        for name in range(200):
            (other.path / f"{name}").touch()
        other.settle()
        with open(mount.path / "f", "wb") as file:
            number = os.fstat(file.fileno()).st_ino
            same = next(each for each in other.path.iterdir() if each.stat().st_ino == number)
            with open(same, "wb"):
                file.write(b"whole")
                file.close()
                assert [("f", b"whole")] == mount.files.published
    assert [("f", b"whole")] == mount.published


def test_a_bind_mount_shows_the_same_files(mount: MemoryMount, tmp_path: Path) -> None:
    """As in a container: the mount has another number there."""
    if os.geteuid() != 0:
        pytest.skip("only root may bind")
    script = f"""
        mount --bind . {tmp_path}
        cd {tmp_path}
        {{ printf 'one '; /usr/bin/env printf two; }} > f
    """
    subprocess.run(["unshare", "-m", "bash", "-ec", script], cwd=mount.path, check=True)
    assert [("f", b"one two")] == mount.published


def test_an_inode_number_can_be_had_without_a_request(mount: MemoryMount) -> None:
    """What old kernels do not show is not asked of the mount, which would wait for itself."""
    with open(mount.path / "f", "wb", buffering=0) as file:
        file.write(b"x")  # so that the kernel does not believe its attributes any more
        with mount.recording() as opcodes:
            found = processes.look_up_inode(os.getpid(), file.fileno())
            assert [] == opcodes
        assert os.fstat(file.fileno()).st_ino == found


def test_old_kernels_do_not_show_inode_numbers(
    mount: MemoryMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate is found all the same, and another file of the mount is not taken for one."""
    read = processes._read

    def read_as_before(path: str) -> bytes:
        return b"".join(
            line for line in read(path).splitlines(keepends=True) if not line.startswith(b"ino:")
        )

    monkeypatch.setattr(processes, "_read", read_as_before)
    other = os.open(mount.path / "other", os.O_CREAT | os.O_WRONLY)
    first = os.open(mount.path / "f", os.O_CREAT | os.O_WRONLY)
    second = os.dup(first)
    os.write(first, b"one ")
    os.close(first)
    os.write(second, b"two")
    os.close(second)
    assert [("f", b"one two")] == mount.files.published
    os.close(other)
    assert [("f", b"one two"), ("other", b"")] == mount.published
