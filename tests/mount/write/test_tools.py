"""The ordinary tools write to a mount as to a local directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import wait_until
from tests.mount.write.place import is_held
from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.write.conftest import Compared
    from tests.mount.write.place import Place

pytestmark = pytest.mark.mount

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
}  # fmt: skip


def run(*command: str | Path, cwd: Path) -> str:
    """Run a tool in *cwd*; it must succeed and say nothing on stderr; return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr), command
    return done.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a local tree with files of several sizes, an empty directory, times and modes."""
    root = tmp_path / "source"
    for number in range(12):
        path = root / f"d{number % 3}/file {number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_bytes(number * 10_000, number))
    (root / "large.bin").write_bytes(make_bytes(9 * MIB))
    (root / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (root / "run.sh").chmod(0o755)
    (root / "empty/deep").mkdir(parents=True)
    for top, names, leaves in os.walk(root):
        for name in [*names, *leaves]:
            os.utime(os.path.join(top, name), ns=(10**18, 10**18 + 123_456_789))
    return root


def times_and_modes(root: Path) -> dict[str, tuple[int, int]]:
    """Return time of modification and mode of each file."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_mode)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_cp_copies_a_tree_with_its_times(source: Path, place: Place) -> None:
    """``cp -a``, which sets owner, mode and times of everything; then over what is there."""
    for _ in range(2):
        run("cp", "-a", f"{source}/.", place.path, cwd=source)
        place.check_holds(tree_of_directory(source))
        assert times_and_modes(source) == times_and_modes(place.path)


def test_rsync_transfers_nothing_the_second_time(source: Path, place: Place) -> None:
    """It writes a hidden file, sets its time, and renames it; then sizes and times are the same."""
    command = ("rsync", "-a", "--out-format=%n", f"{source}/", f"{place.path}/")
    assert "large.bin" in run(*command, cwd=source).splitlines()
    place.check_holds(tree_of_directory(source))
    assert run(*command, cwd=source) == ""
    with (source / "run.sh").open("a") as script:
        script.write("echo more\n")
    assert run(*command, cwd=source).splitlines() == ["run.sh"]
    place.check_holds(tree_of_directory(source))


def test_rsync_in_place(source: Path, place: Place) -> None:
    """``--inplace`` and ``--append`` change a file instead of replacing it."""
    run("rsync", "-a", f"{source}/", f"{place.path}/", cwd=source)
    with (source / "large.bin").open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"changed")
    run("rsync", "-a", "--inplace", "--no-whole-file", f"{source}/", f"{place.path}/", cwd=source)
    with (source / "large.bin").open("ab") as file:
        file.write(b"more")
    run("rsync", "-a", "--append", f"{source}/", f"{place.path}/", cwd=source)
    place.check_holds(tree_of_directory(source))


def test_tar_unpacks_an_archive(source: Path, place: Place, tmp_path: Path) -> None:
    """``tar x``, with times and modes; also over what is there."""
    run("tar", "--format=posix", "-cf", tmp_path / "a.tar", ".", cwd=source)
    for _ in range(2):
        run("tar", "xf", tmp_path / "a.tar", cwd=place.path)
        place.check_holds(tree_of_directory(source))
        assert times_and_modes(source) == times_and_modes(place.path)


def test_tar_writes_an_archive(compared: Compared, source: Path) -> None:
    """Streamed, and appended to afterwards, which means going back a little."""

    def scenario(directory: Path) -> None:
        run("tar", "cf", directory / "a.tar", "--sort=name", "d0", "d1", "large.bin", cwd=source)
        run("tar", "rf", directory / "a.tar", "run.sh", cwd=source)
        assert "run.sh" in run("tar", "tf", directory / "a.tar", cwd=source).splitlines()

    compared(scenario)


@pytest.mark.dear
def test_git_clones_a_repository_and_sees_no_change(place: Place, tmp_path: Path) -> None:
    """`git clone` makes links where it can and copies where not; then work goes on in the clone."""
    origin = tmp_path / "origin"
    origin.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=origin)
    for number in range(12):
        (origin / f"d{number % 4}").mkdir(exist_ok=True)
        (origin / f"d{number % 4}/{number}.txt").write_text(f"{number}\n" * number)
    (origin / "run.sh").write_text("#!/bin/sh\n")
    (origin / "run.sh").chmod(0o755)
    run("git", "add", ".", cwd=origin)
    run("git", "commit", "-q", "-m", "one", cwd=origin)
    run("git", "clone", "-q", origin, place.path / "clone", cwd=tmp_path)
    clone = place.path / "clone"
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    (clone / "d0/0.txt").write_text("changed\n")
    (clone / "new.txt").write_text("new\n")
    assert run("git", "status", "--porcelain", cwd=clone).splitlines() == [
        " M d0/0.txt",
        "?? new.txt",
    ]
    run("git", "add", ".", cwd=clone)
    run("git", "commit", "-q", "-m", "two", cwd=clone)
    assert "" == run("git", "fsck", "--full", "--no-progress", cwd=clone)
    assert "" == run("git", "status", "--porcelain", cwd=clone)
    place.check_holds(tree_of_directory(place.path))


SCRIPTS = [
    "touch a; touch b; touch a",
    "echo one > a; echo two >> a; echo three >> a",
    "{ echo one; sleep 0; echo two; cat a 2>/dev/null; echo three; } > b",
    "for n in 1 2 3 4 5 6; do echo $n; done > a; (echo a; (echo b; echo c)) >> a",
    "exec 3> a; echo one >&3; (echo two >&3); sh -c 'echo three >&3'; exec 3>&-",
    "echo start > a; exec 3<> a; head -c 3 <&3 > /dev/null; echo X >&3; exec 3>&-",
    "seq 1 20000 | tee a b > c; sort -rn a -o a; uniq b > d; wc -l < c > e",
    "seq 1 1000 > a; sed -i 's/9/nine/g' a; sed -i.bak '1,10d' a",
    "dd if=/dev/zero of=a bs=64K count=20 status=none;"
    " printf patched | dd of=a bs=1 seek=100000 conv=notrunc status=none",
    "dd if=/dev/zero of=a bs=1M count=9 conv=fsync status=none;"
    " dd if=/dev/zero of=a bs=1M seek=3 count=1 status=none;"
    " printf end | dd of=a oflag=append conv=notrunc status=none",
    "truncate -s 3M a; truncate -s 5 a; echo x >> a; truncate -s 100 a",
    "echo v1 > a; cp a a.tmp; echo v2 >> a.tmp; mv a.tmp a; ln a b 2>/dev/null; rm -f b",
    "mkdir -p x/y/z; echo f > x/y/z/f; mv x/y w; rm -r x; mkdir e; rmdir e; cp -r w v",
    "echo a > a; cp a b; cp b a; cat a b > c; install -m 644 c d; mv -n a d; mv -f b d",
    "printf '%s' 'no newline' > a; cat < a >> b; : > a; echo x >| a; set -C; echo y > b || :",
    "seq 1 300000 | split -b 500K - part.; cat part.* > whole; cmp whole whole; rm part.ab",
    "seq 1 50000 | gzip -n > a.gz; gunzip -k a.gz; gzip -nf a; zcat a.gz | head -1 > b",
    "echo 1 > a; ( true; echo 2; ) >> a & echo 3 >> b; wait; cat a b > c",
    "echo x > a; for n in $(seq 40); do echo $n >> a; done; tail -c 5 a > b; shred -u b||:",
]
"""Redirections that children inherit, appending, patching, renaming."""


def test_shell_scripts_do_what_they_do_in_a_local_directory(compared: Compared) -> None:
    """Each in a directory of its own, named by its number."""

    def scenario(directory: Path) -> None:
        for number, script in enumerate(SCRIPTS):
            (directory / f"{number}").mkdir()
            subprocess.run(
                ["bash", "-c", script],
                cwd=directory / f"{number}",
                env=ENVIRONMENT,
                check=True,
                capture_output=True,
            )

    compared(scenario)


def test_an_editor_saves_by_renaming(compared: Compared) -> None:
    """As vim does: the old file becomes the backup, the new one is written, synced, and stays."""

    def scenario(directory: Path) -> None:
        path, backup = directory / "train.py", directory / "train.py~"
        path.write_text("one\n")
        for text in ("two\n", "three\n"):
            probe = os.open(directory / "4913", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644)
            os.fchmod(probe, 0o644)
            os.close(probe)
            os.unlink(directory / "4913")
            if backup.exists():
                backup.unlink()
            os.rename(path, backup)
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
            os.close(descriptor)
            os.chmod(path, 0o644)
            swap = os.open(directory / ".train.py.swp", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
            os.write(swap, b"b0VIM" * 800)
            os.pwrite(swap, b"x" * 4096, 4096)
            os.close(swap)
            os.unlink(directory / ".train.py.swp")
        assert ("three\n", "two\n") == (path.read_text(), backup.read_text())

    compared(scenario)


@pytest.mark.skipif(shutil.which("vim") is None, reason="no vim")
def test_vim_saves_a_file(compared: Compared) -> None:
    """The real one, if there is one."""

    def scenario(directory: Path) -> None:
        (directory / "a.txt").write_text("one\ntwo\n")
        for command in ("%s/o/0/g", "normal Gothree"):
            subprocess.run(
                ["vim", "-N", "-u", "NONE", "-es", "-c", command, "-c", "wq", "a.txt"],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                check=True,
            )
        assert (directory / "a.txt").read_text() == "0ne\ntw0\nthree\n"

    compared(scenario)


def test_a_child_writes_to_a_file_of_its_parent(compared: Compared) -> None:
    """`subprocess` with ``stdout=file``: the parent goes on writing, before, during, and after."""

    def scenario(directory: Path) -> None:
        program = "import sys; print('from the child', flush=True); sys.stdin.read()"
        with (directory / "log").open("w") as log:
            log.write("before\n")
            log.flush()
            with subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=log
            ) as child:
                assert child.stdin is not None
                child.stdin.close()
                assert 0 == child.wait()
            subprocess.run(["echo", "from another"], stdout=log, check=True)
            log.write("after\n")
        assert "before\nfrom the child\nfrom another\nafter\n" == (directory / "log").read_text()

    compared(scenario)


def test_a_file_survives_its_parent(place: Place) -> None:
    """Who opened it ends first; the one who inherited it writes the rest and closes it."""
    program = (
        "import subprocess, sys\n"
        "log = open(sys.argv[1], 'w')\n"
        "log.write('parent\\n'); log.flush()\n"
        "subprocess.Popen(['sh', '-c', 'read line; echo child'], stdout=log)\n"
    )
    reader, writer = os.pipe()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, place.path / "log"],
        stdin=reader,
        check=True,
    )
    assert (place.path / "log").read_text() == "parent\n"
    os.write(writer, b"go\n")
    os.close(writer)
    os.close(reader)
    wait_until(lambda: is_held(place, {"log": b"parent\nchild\n"}))
