"""The end of a mount with changes that are not published: who waits, who is told, what is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mountfs.mounts import read_mounts, top_mount_at
from tests.cli.command import TIMEOUT_SECONDS, environment, run_mountfs
from tests.cli.slow_mount import FAIL, PUBLISH, STAGING_PATH
from tests.cli.test_mount_lifecycle import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.moto import Moto

pytestmark = pytest.mark.mount

LOST = "1 file (1.0 KiB) not published and lost: open/file"
STAYS = f"2 files (3.0 KiB) not uploaded yet, safe in {STAGING_PATH}"


class SlowMount:
    """A mount with changes, in a process of its own."""

    def __init__(self, folder: Path, env: dict[str, str], process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.mountpoint = folder / "mnt"
        self.env = env
        self.process = process

    @property
    def log(self) -> str:
        """What was logged."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def is_mounted(self) -> bool:
        """Tell whether something is mounted there."""
        return top_mount_at(str(self.mountpoint), read_mounts()) is not None

    def publish(self) -> None:
        """Let everything be published."""
        (self.folder / PUBLISH).touch()

    def wait(self) -> int:
        """Return the exit code of the mount process."""
        return self.process.wait(TIMEOUT_SECONDS)

    @contextlib.contextmanager
    def unmounting(self, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
        """Run ``mountfs umount`` while the block runs."""
        command = [sys.executable, "-m", "mountfs", "umount", str(self.mountpoint)]
        with subprocess.Popen(command, env=self.env, stderr=stderr, text=True) as umount:
            try:
                yield umount
            finally:
                umount.kill()


@pytest.fixture
def slow(tmp_path: Path, moto: Moto, moto_s3: S3Client, moto_bucket: str) -> Iterator[SlowMount]:
    """Mount with changes."""
    moto_s3.put_object(Bucket=moto_bucket, Key="file", Body=b"content")
    (tmp_path / "mnt").mkdir()
    env = environment(tmp_path, moto)
    command = [
        *(sys.executable, "-m", "tests.cli.slow_mount", str(tmp_path)),
        *(f"s3://{moto_bucket}", str(tmp_path / "mnt"), "--foreground", "--unmount-grace", "0.3s"),
        *("--cache-dir", str(tmp_path / "staging"), "--log-file", str(tmp_path / "log")),
    ]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        mount = SlowMount(tmp_path, env, process)
        try:
            wait_until(lambda: "is mounted on" in mount.log)
            yield mount
        finally:
            mount.publish()
            process.kill()
            process.wait()
            if mount.is_mounted():
                subprocess.run(["fusermount3", "-uz", str(mount.mountpoint)], check=True)


def test_umount_waits_until_everything_is_published(slow: SlowMount) -> None:
    """It says for what, and returns when the process has ended."""
    with slow.unmounting() as umount:
        wait_until(lambda: "publishing 3 files (4.0 KiB) before the end" in slow.log)
        assert not slow.is_mounted()
        assert slow.process.poll() is None
        assert umount.stderr is not None
        line = umount.stderr.readline()
        assert line.startswith("mountfs: publishing: 3 files (4.0 KiB) left")
        assert umount.poll() is None
        slow.publish()
        assert umount.wait(TIMEOUT_SECONDS) == 0
        assert slow.wait() == 0
    assert "everything is published" in slow.log


def test_on_a_terminal_umount_shows_a_bar(slow: SlowMount) -> None:
    """And who fails, without what would move the cursor."""
    ours, theirs = pty.openpty()
    shown = b""
    with slow.unmounting(stderr=theirs) as umount:
        os.close(theirs)
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(ours, 4096):
                shown += chunk
                if b"publishing, 3 left" in shown:
                    slow.publish()
        assert umount.wait(TIMEOUT_SECONDS) == 0
    os.close(ours)
    assert rb"a\x1b/b: the store is away" in shown


def test_an_umount_by_the_systems_own_means_publishes_too(slow: SlowMount) -> None:
    """The process goes on until it is done; a signal meanwhile does not give up."""
    subprocess.run(["fusermount3", "-u", str(slow.mountpoint)], check=True)
    wait_until(lambda: "publishing 3 files" in slow.log)
    slow.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "a second signal gives up" in slow.log)
    slow.publish()
    assert slow.wait() == 0


def test_a_second_signal_gives_up_and_says_what_remains_and_where(slow: SlowMount) -> None:
    """In the log, on stderr, by the exit code; and who waits is told the same."""
    with slow.unmounting() as umount:
        wait_until(lambda: "publishing 3 files" in slow.log)
        slow.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "a second signal gives up" in slow.log)
        slow.process.send_signal(signal.SIGTERM)
        assert slow.wait() == 10
        assert umount.wait(TIMEOUT_SECONDS) == 10
        assert umount.stderr is not None
        waiting = umount.stderr.read()
    assert slow.process.stderr is not None
    for text in (slow.log, slow.process.stderr.read(), waiting):
        assert LOST in text
        assert STAYS in text
        assert r"a\x1b/b: the store is away" in text
    assert "ERROR mountfs.command.drain: ending with" in slow.log


def test_sigterm_says_what_is_dirty_since_sigkill_may_follow(slow: SlowMount) -> None:
    """There are no more words then."""
    slow.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "SIGTERM: unmounting; 3 files (4.0 KiB) to be published" in slow.log)
    assert "among them open/file" in slow.log
    slow.publish()
    assert slow.wait() == 0


def test_a_busy_mount_that_is_detached_publishes_and_its_users_do_not_hang(
    slow: SlowMount,
) -> None:
    """They get ENOTCONN while the process is still there."""
    with open(slow.mountpoint / "file", "rb", buffering=0) as file:
        slow.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "publishing 3 files" in slow.log)
        assert not slow.is_mounted()
        with pytest.raises(OSError, match=r".*") as caught:
            file.read()
        assert caught.value.errno in {errno.ENOTCONN, errno.ECONNABORTED}
        slow.publish()
        assert slow.wait() == 9
    assert "everything is published" in slow.log


def test_ctrl_c_ends_the_waiting_not_the_publishing(slow: SlowMount) -> None:
    """Whoever runs umount does not decide about the data."""
    with slow.unmounting() as umount:
        wait_until(lambda: "publishing 3 files" in slow.log)
        assert umount.stderr is not None
        umount.stderr.readline()
        umount.send_signal(signal.SIGINT)
        assert umount.wait(TIMEOUT_SECONDS) == 130
        assert "the mount process goes on until everything is published" in umount.stderr.read()
    assert slow.process.poll() is None
    slow.publish()
    assert slow.wait() == 0


def test_a_fault_while_publishing_does_not_hide_what_is_left(slow: SlowMount) -> None:
    """It is logged, and so is the rest."""
    (slow.folder / FAIL).touch()
    slow.process.send_signal(signal.SIGTERM)
    assert slow.wait() == 10
    assert "RuntimeError: a bug" in slow.log
    assert LOST in slow.log


def test_status_and_metrics_show_what_is_dirty(slow: SlowMount) -> None:
    """Count, bytes, age, and what fails and why."""
    done = run_mountfs("status", env=slow.env)
    assert "1 being written (1.0 KiB), 2 waiting for their upload (3.0 KiB)" in done.stdout
    assert "the oldest for 0:01:30" in done.stdout
    assert r"failing: a\x1b/b: the store is away" in done.stdout
    control = slow.mountpoint / ".mountfs"
    metrics = (control / "metrics").read_text()
    assert "mountfs_write_pending_files{" in metrics
    assert "mountfs_write_publish_failures_total{" in metrics
    assert "a\x1b" not in (control / "stats").read_text()


def test_sync_asks_the_mount(slow: SlowMount) -> None:
    """And only a mount of ours."""
    assert run_mountfs("sync", str(slow.mountpoint), env=slow.env).returncode == 0
    done = run_mountfs("sync", str(slow.folder), env=slow.env)
    assert (done.returncode, "is not a mount of mountfs" in done.stderr) == (8, True)
