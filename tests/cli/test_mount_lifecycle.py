"""A mount from its command to its end, on a real kernel: ready, busy, told to end, killed, hung."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.mounts import read_mounts, top_mount_at
from tests.cli.command import TIMEOUT_SECONDS, environment, run_mountfs
from tests.stores.processes import LOCALHOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.moto import Moto

pytestmark = pytest.mark.mount


class Place:
    """A bucket, a mountpoint, a log, and the command."""

    def __init__(self, source: str, folder: Path, env: dict[str, str]) -> None:
        self.source = source
        self.mountpoint = folder / "mnt"
        self.log = folder / "log"
        self.env = env | {"MOUNTFS_LOG_FILE": str(self.log)}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return run_mountfs(*map(str, arguments), env=self.env)

    def mount(self, *options: str) -> int:
        """Mount in the background; return the pid of the mount process."""
        done = self.run(self.source, self.mountpoint, *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        pid = self.status()["pid"]
        assert isinstance(pid, int)
        return pid

    def status(self) -> dict[str, Any]:
        """Return what ``mountfs status`` says of this mount."""
        found = json.loads(self.run("status", "--json").stdout)
        (status,) = [each for each in found if each["mountpoint"] == str(self.mountpoint)]
        assert isinstance(status, dict)
        return status

    def is_mounted(self) -> bool:
        """Tell whether something is mounted there."""
        return top_mount_at(str(self.mountpoint), read_mounts()) is not None


@pytest.fixture
def place(tmp_path: Path, moto: Moto, moto_s3: S3Client, moto_bucket: str) -> Place:
    """Make a bucket with one file, and a mountpoint."""
    moto_s3.put_object(Bucket=moto_bucket, Key="folder/file", Body=b"content")
    place = Place(f"s3://{moto_bucket}/folder", tmp_path, environment(tmp_path, moto))
    place.mountpoint.mkdir()
    return place


@contextlib.contextmanager
def holding(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Keep the mount busy: a process that has its file open."""
    program = f"file = open({str(place.mountpoint / 'file')!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        try:
            yield holder
        finally:
            holder.kill()


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process is there and not only waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_mount_answers_when_the_command_returns_and_is_gone_after_umount(place: Place) -> None:
    """Both commands return when it is so, not before."""
    pid = place.mount()
    assert (place.mountpoint / "file").read_bytes() == b"content"
    assert place.run("umount", place.mountpoint).returncode == 0
    assert not place.is_mounted()
    assert not is_running(pid)
    log = place.log.read_text()
    assert f"{place.source} is mounted on {place.mountpoint}" in log
    assert f"{place.mountpoint} is unmounted" in log
    assert "ERROR" not in log


def test_the_control_files_tell_figures_and_configuration(place: Place) -> None:
    """Counted are the requests that were made, and where each option came from."""
    place.mount("--metadata-ttl", "inf")
    (place.mountpoint / "file").read_bytes()
    control = place.mountpoint / ".mountfs"
    assert ".mountfs" not in os.listdir(place.mountpoint)
    assert sorted(os.listdir(control)) == ["config", "metrics", "stats"]
    stats = json.loads((control / "stats").read_text())
    assert stats["requests"]["get"] == 1
    assert stats["data"]["downloaded_bytes"] == len(b"content")
    assert 'metadata-ttl = "inf"  # --metadata-ttl' in (control / "config").read_text()
    assert "mountfs_store_requests_total" in (control / "metrics").read_text()
    secret = place.env["AWS_SECRET_ACCESS_KEY"]
    assert not any(secret in (control / name).read_text() for name in os.listdir(control))
    assert "1 GET" in place.run("status").stdout


def test_a_second_mount_on_the_same_place_is_refused(place: Place) -> None:
    """With what to do about it."""
    place.mount()
    done = place.run(place.source, place.mountpoint)
    assert done.returncode == 8
    assert f"unmount it with: mountfs umount {place.mountpoint}" in done.stderr


def test_a_busy_mount_says_who_holds_it(place: Place) -> None:
    """Pid, name and what it holds, exit code 9; when that ends, umount succeeds."""
    place.mount()
    with holding(place) as holder:
        done = place.run("umount", place.mountpoint)
        assert done.returncode == 9
        assert f"pid {holder.pid} (" in done.stderr
        assert f"open {place.mountpoint}/file" in done.stderr
        assert place.is_mounted()
    assert place.run("umount", place.mountpoint).returncode == 0


def test_a_lazy_umount_detaches_and_lets_users_finish(place: Place) -> None:
    """Gone from the tree at once; who has it open reads on; then the process ends."""
    pid = place.mount()
    with open(place.mountpoint / "file", "rb", buffering=0) as file:
        done = place.run("umount", "--lazy", place.mountpoint)
        assert done.returncode == 0
        assert f"goes on for pid {os.getpid()}" in done.stderr
        assert not place.is_mounted()
        assert file.read() == b"content"
        assert is_running(pid)
    wait_until(lambda: not is_running(pid))


def test_a_mount_whose_name_is_taken_works_unannounced(place: Place, tmp_path: Path) -> None:
    """Whoever has bound it cannot keep us from mounting; status and umount do without the pid."""
    name = f"mountfs-test/{tmp_path}"
    program = (
        "import sys\n"
        "from mountfs.command import cli, presence\n"
        f"presence.address_of = lambda device: '\\0' + {name!r}\n"
        "sys.exit(cli.main())\n"
    )
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind("\0" + name)
        command = [sys.executable, "-c", program, place.source, str(place.mountpoint)]
        subprocess.run(command, env=place.env, check=True, timeout=TIMEOUT_SECONDS)
    wait_until(lambda: "WARNING mountfs.command.mount: not announced" in place.log.read_text())
    status = place.status()
    assert ("ok", None) == (status["state"], status["pid"])
    with holding(place) as holder:
        done = place.run("umount", place.mountpoint)
        assert done.returncode == 9
        assert f"pid {holder.pid} (" in done.stderr
    assert (place.mountpoint / "file").read_bytes() == b"content"
    assert place.run("umount", place.mountpoint).returncode == 0
    assert not place.is_mounted()
    wait_until(lambda: "is unmounted" in place.log.read_text())


def test_sigterm_unmounts(place: Place) -> None:
    """As umount does."""
    pid = place.mount()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_running(pid))
    assert not place.is_mounted()
    assert "ERROR" not in place.log.read_text()


def test_sigterm_on_a_busy_mount_logs_who_holds_it_and_detaches_after_the_grace_period(
    place: Place,
) -> None:
    """The process ends, whoever forgot to close a file."""
    pid = place.mount("--unmount-grace", "300ms")
    with holding(place) as holder:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid))
        assert not place.is_mounted()
        log = place.log.read_text()
        assert f"in use by pid {holder.pid} (" in log
        assert "still in use after 0.3 s: detaching" in log


def test_a_second_signal_ends_at_once(place: Place) -> None:
    """For those who do not want to wait for the grace period."""
    pid = place.mount("--unmount-grace", "1h")
    with holding(place):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: "waiting up to 3600 s" in place.log.read_text())
        assert place.is_mounted()
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not is_running(pid))
        assert not place.is_mounted()
        assert "ending at once" in place.log.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a tmpfs is for root")
def test_a_detach_takes_only_our_own_mount(place: Place) -> None:
    """What was mounted there before us is seen again, not unmounted too."""
    tmpfs = ["mount", "-t", "tmpfs", "none", str(place.mountpoint)]
    subprocess.run(tmpfs, check=True, timeout=TIMEOUT_SECONDS)
    pid = place.mount("--unmount-grace", "1ms")
    with holding(place):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid))
    mount = top_mount_at(str(place.mountpoint), read_mounts())
    assert mount is not None
    assert mount.kind == "tmpfs"
    subprocess.run(["umount", str(place.mountpoint)], check=True, timeout=TIMEOUT_SECONDS)


def test_sigusr1_writes_what_the_process_is_doing_to_the_log(place: Place) -> None:
    """Tasks and threads; the mount goes on."""
    pid = place.mount()
    os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: "mountfs.command.mount._run" in place.log.read_text())
    assert "MainThread" in place.log.read_text()
    assert (place.mountpoint / "file").read_bytes() == b"content"


def test_what_a_killed_process_leaves_is_named_and_cleared(place: Place) -> None:
    """The kernel keeps a mount without a process; status, mount and umount know what to do."""
    pid = place.mount()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    assert place.status()["state"] == "stale"
    done = place.run(place.source, place.mountpoint)
    assert done.returncode == 8
    assert "left behind by a process that is gone; clear it with: mountfs umount" in done.stderr
    assert place.run("umount", place.mountpoint).returncode == 0
    assert not place.is_mounted()
    place.mount()


def test_a_mount_that_hangs_does_not_hang_status(place: Place) -> None:
    """It is shown as such, with its process."""
    pid = place.mount()
    os.kill(pid, signal.SIGSTOP)
    try:
        status = place.status()
        assert ("hung", pid) == (status["state"], status["pid"])
        assert place.run("status").returncode == 8
    finally:
        os.kill(pid, signal.SIGCONT)
    assert place.status()["state"] == "ok"
    # The child that was left behind has ended by now and does not hold the mount.
    wait_until(lambda: place.run("umount", place.mountpoint).returncode == 0)


def test_the_foreground_logs_to_stderr_and_ends_with_its_terminal(place: Place) -> None:
    """SIGHUP is the end of the terminal."""
    env = {name: value for name, value in place.env.items() if name != "MOUNTFS_LOG_FILE"}
    command = [sys.executable, "-m", "mountfs", place.source, str(place.mountpoint), "--foreground"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as mount:
        wait_until(place.is_mounted)
        assert place.status()["pid"] == mount.pid
        mount.send_signal(signal.SIGHUP)
        _, stderr = mount.communicate(timeout=TIMEOUT_SECONDS)
    assert mount.returncode == 0
    assert not place.is_mounted()
    assert f"{place.source} is mounted on {place.mountpoint}" in stderr


def test_ctrl_c_while_the_store_does_not_answer_leaves_nothing(place: Place) -> None:
    """The child ends, and there is no mount."""
    with socket.create_server((LOCALHOST, 0)) as silent:
        port = silent.getsockname()[1]
        env = place.env | {"MOUNTFS_ENDPOINT_URL": f"http://{LOCALHOST}:{port}"}
        command = [sys.executable, "-m", "mountfs", place.source, str(place.mountpoint)]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as mount:
            silent.settimeout(TIMEOUT_SECONDS)
            connection, _ = silent.accept()
            with connection:
                mount.send_signal(signal.SIGINT)
                _, stderr = mount.communicate(timeout=TIMEOUT_SECONDS)
    assert mount.returncode == 130
    assert stderr == "mountfs: interrupted; nothing is mounted\n"
    assert not place.is_mounted()


@pytest.mark.skipif(os.getuid() != 0, reason="mount(8) is for root")
@pytest.mark.parametrize("way", ["helper", "program"])
def test_mount_and_umount_of_the_system_work(place: Place, tmp_path: Path, way: str) -> None:
    """As from /etc/fstab: ``mount -t fuse.mountfs -o ...`` and plain ``umount``.

    mount(8) looks for the program in the system's own directories only, so its helper is called
    here as it does; the other way names the program by its path.
    """
    if shutil.which("mount.fuse3") is None:
        pytest.skip("mount.fuse3 is missing")
    program = tmp_path / "bin" / "mountfs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mountfs "$@"\n')
    program.chmod(0o755)
    env = place.env | {"PATH": f"{program.parent}:{place.env['PATH']}"}
    options = ["-o", "rw,noexec,_netdev,nofail,allow_other,metadata_ttl=5m,file-mode=0640"]
    command = {
        "helper": ["mount.fuse3", place.source, str(place.mountpoint), "-t", "fuse.mountfs"],
        "program": ["mount", "-t", "fuse", f"{program}#{place.source}", str(place.mountpoint)],
    }[way]
    subprocess.run([*command, *options], env=env, check=True, timeout=TIMEOUT_SECONDS)
    pid = place.status()["pid"]
    assert (place.mountpoint / "file").stat().st_mode & 0o777 == 0o640
    mount = top_mount_at(str(place.mountpoint), read_mounts())
    assert mount is not None
    assert (mount.kind, mount.source) == ("fuse.mountfs", place.source)
    config = (place.mountpoint / ".mountfs/config").read_text()
    assert 'metadata-ttl = "300s"  # -o metadata_ttl' in config
    subprocess.run(["umount", str(place.mountpoint)], check=True, timeout=TIMEOUT_SECONDS)
    wait_until(lambda: not is_running(pid))
