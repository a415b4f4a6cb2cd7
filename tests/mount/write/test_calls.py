"""Less common ways to write that programs rely on all the same."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.pair import result_of
from tests.mount.write.place import is_held
from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.write.conftest import Compared
    from tests.mount.write.place import Place

pytestmark = pytest.mark.mount


def test_temporary_files(compared: Compared) -> None:
    """Without a name, with one, and spooled; nothing is left of them."""

    def scenario(directory: Path) -> None:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(make_bytes(100_000))
            file.seek(0)
            assert make_bytes(100_000) == file.read()
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(b"content")
            file.flush()
            assert b"content" == (directory / file.name).read_bytes()
        with tempfile.TemporaryDirectory(dir=directory) as name:
            (directory / name / "d/e").mkdir(parents=True)
            (directory / name / "d/e/f").write_bytes(b"content")
        assert [] == os.listdir(directory)

    compared(scenario)


def test_writing_with_o_sync_and_with_o_direct(compared: Compared) -> None:
    """Every write is published; buffers are aligned and bypass the page cache."""

    def scenario(directory: Path) -> None:
        descriptor = os.open(directory / "s", os.O_CREAT | os.O_WRONLY | os.O_DSYNC, 0o644)
        for number in range(3):
            os.write(descriptor, b"%d" % number * 100)
        os.close(descriptor)
        with mmap.mmap(-1, 65536) as aligned:
            aligned[:] = make_bytes(65536)
            descriptor = os.open(directory / "d", os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o644)
            for start in (0, 3 * 65536, 65536):
                assert 65536 == os.pwritev(descriptor, [aligned], start)
            os.close(descriptor)
        assert make_bytes(65536) * 2 == (directory / "d").read_bytes()[: 2 * 65536]

    compared(scenario)


def test_space_is_reserved_ahead(compared: Compared) -> None:
    """`posix_fallocate`, which makes a file longer, wherever the C library does it itself."""

    def scenario(directory: Path) -> None:
        with (directory / "f").open("w+b", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, 100_000)
            assert 100_000 == os.fstat(file.fileno()).st_size
            file.write(b"content")
            os.posix_fallocate(file.fileno(), 50_000, 100_000)
            assert 150_000 == os.fstat(file.fileno()).st_size

    compared(scenario)


def test_vectors_and_the_kernel_s_copies(compared: Compared) -> None:
    """`writev`, `sendfile` and `splice` into a file."""

    def scenario(directory: Path) -> None:
        (directory / "source").write_bytes(make_bytes(300_000))
        with (directory / "source").open("rb") as source, (directory / "f").open("wb") as file:
            os.writev(file.fileno(), [b"one", b"", b"two" * 1000])
            assert 200_000 == os.sendfile(file.fileno(), source.fileno(), 100, 200_000)
            reader, writer = os.pipe()
            os.write(writer, b"through a pipe")
            assert 14 == os.splice(reader, file.fileno(), 14)
            os.close(reader)
            os.close(writer)

    compared(scenario)


def test_locks_exclude_others_on_this_host(place: Place) -> None:
    """Both kinds; they end with the process."""
    path = place.path / "lock"
    program = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with path.open("w+b") as file:
        for kind in ("flock", "lockf"):
            lock = getattr(fcntl, kind)
            with subprocess.Popen(
                [sys.executable, "-c", program, path, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as other:
                assert other.stdout is not None
                assert b"locked\n" == other.stdout.readline()
                outcome = outcome_of(lambda: lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))  # noqa: B023
                assert outcome in {"EAGAIN", "EACCES"}
                other.kill()
            lock(file, fcntl.LOCK_EX)
            lock(file, fcntl.LOCK_UN)
    place.check_holds({"lock": b""})


def test_several_processes_write_parts_of_one_file(compared: Compared) -> None:
    """Each opens it by itself and writes every fourth piece; nothing is lost when one closes."""
    program = (
        "import os, sys\n"
        "path, number = sys.argv[1], int(sys.argv[2])\n"
        "descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)\n"
        "for piece in range(number, 64, 4):\n"
        "    os.pwrite(descriptor, bytes([piece]) * 50_000, piece * 50_000)\n"
        "os.close(descriptor)\n"
    )

    def scenario(directory: Path) -> None:
        processes = [
            subprocess.Popen([sys.executable, "-c", program, directory / "f", str(number)])
            for number in range(4)
        ]
        assert [0] * 4 == [process.wait() for process in processes]
        expected = b"".join(bytes([piece]) * 50_000 for piece in range(64))
        assert expected == (directory / "f").read_bytes()

    compared(scenario)


def test_several_processes_append_to_one_log(place: Place) -> None:
    """Lines are neither lost nor mixed."""
    script = 'for n in $(seq 100); do echo "$1 $n"; done >> log'
    processes = [
        subprocess.Popen(["bash", "-c", script, "bash", str(number)], cwd=place.path)
        for number in range(4)
    ]
    assert [0] * 4 == [process.wait() for process in processes]
    lines = (place.path / "log").read_text().splitlines()
    assert sorted(f"{number} {n}" for number in range(4) for n in range(1, 101)) == sorted(lines)
    place.check_holds(tree_of_directory(place.path))


def test_a_reader_sees_what_is_written_before_it_is_published(compared: Compared) -> None:
    """Through another descriptor, by name, and through a mapping; sizes too."""

    def scenario(directory: Path) -> None:
        path = directory / "f"
        with path.open("wb", buffering=0) as writer, path.open("rb", buffering=0) as reader:
            for number in range(6):
                writer.write(make_bytes(700_000, number))
                assert (number + 1) * 700_000 == path.stat().st_size
                assert make_bytes(700_000, number) == reader.read(700_000)
            with mmap.mmap(reader.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert make_bytes(700_000, 3) == mapped[2_100_000:2_800_000]
            writer.truncate(10)
            assert b"" == reader.read(1)
            assert make_bytes(700_000, 0)[:10] == path.read_bytes()

    compared(scenario)


def test_a_file_grows_beyond_a_hole(compared: Compared) -> None:
    """What was never written is zeros, whether it is truncated there or written behind it."""

    def scenario(directory: Path) -> None:
        with (directory / "f").open("w+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"end", 20 * MIB)
            assert bytes(100) == os.pread(file.fileno(), 100, 10 * MIB)
            os.ftruncate(file.fileno(), 5)
            os.ftruncate(file.fileno(), 9 * MIB)
            assert bytes(MIB) == os.pread(file.fileno(), MIB, 8 * MIB)
            os.pwrite(file.fileno(), b"begin", 0)
        with (directory / "f").open("r+b", buffering=0) as file:
            os.ftruncate(file.fileno(), 2)
            os.pwrite(file.fileno(), b"x", 100)

    compared(scenario)


def test_statistics_of_the_file_system_say_that_there_is_room(place: Place) -> None:
    """`df` and programs that look before they write."""
    found = os.statvfs(place.path)
    assert found.f_bavail * found.f_frsize > 10 * MIB
    assert found.f_namemax == 255


def test_a_file_is_opened_in_a_directory_that_is_open(compared: Compared) -> None:
    """`openat`, `unlinkat` and their likes, also after the directory was renamed."""

    def scenario(directory: Path) -> None:
        (directory / "d").mkdir()
        descriptor = os.open(directory / "d", os.O_RDONLY | os.O_DIRECTORY)
        os.rename(directory / "d", directory / "e")
        try:
            file = os.open("f", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=descriptor)
            os.write(file, b"content")
            os.close(file)
            os.mkdir("g", dir_fd=descriptor)
            os.rename("f", "h", src_dir_fd=descriptor, dst_dir_fd=descriptor)
            os.rmdir("g", dir_fd=descriptor)
            assert ["h"] == os.listdir(descriptor)
        finally:
            os.close(descriptor)

    compared(scenario)


def test_a_working_directory_is_removed(place: Place) -> None:
    """Whoever is in it can make nothing there any more; nothing comes back."""
    program = (
        "import os, sys, errno\n"
        "os.mkdir('d'); os.chdir('d'); os.rmdir('../d')\n"
        "try:\n"
        "    open('f', 'w')\n"
        "except OSError as error:\n"
        "    print(errno.errorcode[error.errno])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place.path, capture_output=True, text=True, check=True
    )
    assert errno.errorcode[errno.ENOENT] == done.stdout.strip()
    assert result_of(lambda: os.listdir(place.path)) == []
    place.check_holds({})


def test_a_writer_that_is_killed_leaves_what_it_wrote_or_nothing(place: Place) -> None:
    """The kernel closes its files: what was written until then is there, as on a local disk."""
    program = (
        "import os, sys\n"
        "descriptor = os.open('f', os.O_CREAT | os.O_WRONLY)\n"
        "os.write(descriptor, b'x' * 1000)\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=place.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        assert b"written\n" == writer.stdout.readline()
        writer.kill()
    wait_until(lambda: (place.path / "f").stat().st_size == 1000)
    wait_until(lambda: is_held(place, {"f": b"x" * 1000}))
