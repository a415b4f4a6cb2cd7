"""Which close is the last: real processes on a real mount.

Each scenario is a program of its own that works in the mount. `MemoryMount.published` is what was
published by closes, and fails if something was left to the release.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuse.memory_mount import MemoryMount

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs FUSE")


def run_python(folder: Path, program: str) -> str:
    """Run *program* in *folder* and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_shell(folder: Path, script: str) -> None:
    """Run *script* in *folder* with bash."""
    subprocess.run(["bash", "-ec", script], cwd=folder, timeout=60, check=True)


def test_a_plain_close_publishes_before_it_returns(mount: MemoryMount) -> None:
    """Open, write, close: one publish, by the close."""
    with open(mount.path / "f", "wb") as file:
        file.write(b"whole")
    assert [("f", b"whole")] == mount.files.published
    assert [("f", b"whole")] == mount.published


def test_closing_a_duplicate_publishes_nothing(mount: MemoryMount) -> None:
    """Neither the duplicate nor the original, whichever goes first; the second one does."""
    run_python(
        mount.path,
        """
        import os
        for name, first in (("a", 0), ("b", 1)):
            fd = os.open(name, os.O_CREAT | os.O_WRONLY)
            pair = [fd, os.dup(fd)]
            os.write(fd, b"one ")
            os.close(pair[first])
            os.write(pair[1 - first], b"two")
            os.close(pair[1 - first])
        """,
    )
    assert [("a", b"one two"), ("b", b"one two")] == mount.published


def test_a_forked_worker_that_ends_publishes_nothing(mount: MemoryMount) -> None:
    """The parent goes on to write; only its own close publishes."""
    run_python(
        mount.path,
        """
        import os
        file = open("f", "wb", buffering=0)
        file.write(b"one ")
        for _ in range(2):
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        file.write(b"two")
        file.close()
        """,
    )
    assert [("f", b"one two")] == mount.published


@pytest.mark.parametrize("is_inheritable", [False, True])
def test_a_forked_worker_that_lives_on_does_not_keep_a_close_from_publishing(
    mount: MemoryMount, is_inheritable: bool
) -> None:
    """It holds a copy by accident, also of what a C library opened without close-on-exec."""
    run_python(
        mount.path,
        f"""
        import os
        file = open("f", "wb", buffering=0)
        os.set_inheritable(file.fileno(), {is_inheritable})
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(write)
            os.read(read, 1)  # until the parent has ended
            os._exit(0)
        file.write(b"whole")
        file.close()
        os.mkdir("closed")
        """,
    )
    assert [("f", b"whole")] == mount.published
    os.rmdir(mount.path / "closed")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_publish_their_own_files_once(
    mount: MemoryMount, method: str
) -> None:
    """While the parent has a file open that the children know nothing of."""
    (mount.path.parent / "workers.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys

            def save(number):
                with open(f"w{number}", "wb") as file:
                    file.write(b"%d" % number)

            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                with open("parent", "wb", buffering=0) as file:
                    file.write(b"one ")
                    workers = [context.Process(target=save, args=(n,)) for n in range(2)]
                    for worker in workers:
                        worker.start()
                    for worker in workers:
                        worker.join()
                        assert worker.exitcode == 0
                    file.write(b"two")
            """
        )
    )
    subprocess.run(
        [sys.executable, mount.path.parent / "workers.py", method],
        cwd=mount.path,
        timeout=60,
        check=True,
    )
    assert [("w0", b"0"), ("w1", b"1"), ("parent", b"one two")] == (
        sorted(mount.published[:-1]) + mount.published[-1:]
    )


def test_the_program_that_was_given_a_file_publishes_it(mount: MemoryMount) -> None:
    """The parent closes at once, long before the child writes: one publish, of everything."""
    run_python(
        mount.path,
        """
        import os, subprocess
        with open("f", "wb") as file:
            child = subprocess.Popen(
                ["sh", "-c", "read line; echo hello; echo bye"], stdin=subprocess.PIPE, stdout=file
            )
        child.communicate(b"go\\n")
        """,
    )
    assert [("f", b"hello\nbye\n")] == mount.published


def test_the_parent_that_lends_a_file_publishes_it(mount: MemoryMount) -> None:
    """It writes before and after the child does."""
    run_python(
        mount.path,
        """
        import subprocess
        with open("f", "wb", buffering=0) as file:
            file.write(b"before ")
            subprocess.run(["printf", "child "], stdout=file, check=True)
            subprocess.run("(printf more; printf ' ') & wait", shell=True, stdout=file, check=True)
            file.write(b"after")
        """,
    )
    assert [("f", b"before child more after")] == mount.published


@pytest.mark.parametrize(
    ("script", "content"),
    [
        ("printf one > f", b"one"),
        ("/usr/bin/env printf one > f", b"one"),
        ("{ printf 'one '; /usr/bin/env printf two; } > f", b"one two"),
        ("(printf 'one '; /usr/bin/env printf two) > f", b"one two"),
        ("for i in 1 2 3; do /usr/bin/env printf $i; done > f", b"123"),
        ("(/usr/bin/env printf one | cat; printf ' two') > f", b"one two"),
        ("exec > f; /usr/bin/env printf one; printf ' two'", b"one two"),
        ("exec 3> f; /usr/bin/env printf one >&3; printf ' two' >&3; exec 3>&-", b"one two"),
        ("exec /usr/bin/env printf one > f", b"one"),
        ("sh -c 'printf one; printf two >&2' > f 2>&1", b"onetwo"),
    ],
)
def test_a_shell_redirection_publishes_once(
    mount: MemoryMount, script: str, content: bytes
) -> None:
    """Everything that was written, when the last one has closed."""
    run_shell(mount.path, script)
    assert [("f", content)] == mount.published


def test_a_background_job_publishes_when_its_shell_is_gone(mount: MemoryMount) -> None:
    """The process that opened the file ends first; its child was adopted by somebody else."""
    fifo = mount.path.parent / "fifo"
    os.mkfifo(fifo)
    run_shell(mount.path, f"( (read line < {fifo}; printf late) & printf 'early ' ) > f")
    assert [] == mount.files.published
    fifo.write_text("go\n")
    assert [("f", b"early late")] == mount.published


def test_each_of_two_handles_of_a_file_publishes(mount: MemoryMount) -> None:
    """Two opens by one process: both closes are last ones, whatever the order."""
    run_python(
        mount.path,
        """
        first = open("f", "wb", buffering=0)
        second = open("f", "r+b", buffering=0)
        first.write(b"one ")
        first.close()
        second.seek(4)
        second.write(b"two")
        second.close()
        """,
    )
    assert [("f", b"one "), ("f", b"one two")] == mount.published


def test_a_duplicate_beside_a_second_handle_publishes_nothing(mount: MemoryMount) -> None:
    """Three descriptors of two handles: the two that are left differ, so both handles are open."""
    run_python(
        mount.path,
        """
        import os
        first = os.open("f", os.O_CREAT | os.O_WRONLY)
        second = os.open("f", os.O_RDWR)
        copy = os.dup(first)
        os.write(first, b"one")
        os.close(copy)
        os.write(first, b" two")
        os.close(first)
        os.close(second)
        """,
    )
    assert [("f", b"one two")] == mount.published


def test_a_file_of_another_process_does_not_count(mount: MemoryMount) -> None:
    """A child opens the parent's file for itself: its close publishes, and so does the parent's."""
    run_python(
        mount.path,
        """
        import os
        file = open("f", "wb", buffering=0)
        file.write(b"one ")
        if os.fork() == 0:
            own = os.open("f", os.O_WRONLY | os.O_APPEND)
            os.write(own, b"two ")
            os.close(own)
            os._exit(0)
        os.wait()
        file.seek(8)
        file.write(b"three")
        file.close()
        """,
    )
    assert [("f", b"one two "), ("f", b"one two three")] == mount.published


def test_the_thread_that_opened_may_have_ended(mount: MemoryMount) -> None:
    """Opened and closed by different threads of one process, with and without a duplicate."""
    run_python(
        mount.path,
        """
        import os, threading
        def run(function, *arguments):
            results = []
            thread = threading.Thread(target=lambda: results.append(function(*arguments)))
            thread.start()
            thread.join()
            return results[0]
        fd = run(os.open, "f", os.O_CREAT | os.O_WRONLY)
        copy = os.dup(fd)
        os.write(fd, b"one ")
        run(os.close, copy)
        os.write(fd, b"two")
        run(os.close, fd)
        """,
    )
    assert [("f", b"one two")] == mount.published


def test_what_a_killed_writer_wrote_is_left_to_be_published(mount: MemoryMount) -> None:
    """As on a local disk it stays. The kill may interrupt the flush; then the release has it."""
    run_python(
        mount.path,
        """
        import os, signal, subprocess, sys
        program = "import os; f = open('f', 'wb', 0); f.write(b'part'); os.dup(f.fileno()); "
        program += "os.kill(os.getpid(), 9)"
        assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
        """,
    )
    mount.settle()
    assert [("f", b"part")] == mount.files.published + mount.files.late
