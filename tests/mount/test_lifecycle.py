"""How a mount begins and ends, whoever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import command_environment, run_mountfs, wait_until
from tests.mount.outcome import outcome_of
from tests.stores.client import REGION
from tests.stores.mounts import find_mounts_below

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount


def test_after_kill_9_umount_clears_the_mountpoint_and_it_can_be_used_again(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """ENOTCONN until then; nothing of the first mount is in the way of the second."""
    put_objects(s3, bucket, {"f": b"content"})
    with mounted() as mount:
        assert (mount.path / "f").read_bytes() == b"content"
        mount.process.kill()
        assert mount.wait_for_end() == -signal.SIGKILL
        assert outcome_of(lambda: os.listdir(mount.path)) in {"ENOTCONN", "ECONNABORTED"}
        assert mount.is_mounted()
        done = run_mountfs("umount", str(mount.path))
        assert (done.returncode, done.stderr) == (0, "")
        assert not mount.is_mounted()
    with mounted() as again:
        assert (again.path / "f").read_bytes() == b"content"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_cleanly(
    s3: S3Client, bucket: str, mounted: Mounter, number: signal.Signals
) -> None:
    """Exit code 0, no mount, an empty directory."""
    put_objects(s3, bucket, {"f": b"content"})
    with mounted() as mount:
        assert (mount.path / "f").read_bytes() == b"content"
        mount.end(number)
        assert list(mount.path.iterdir()) == []


@pytest.mark.parametrize("command", [["fusermount3", "-u"], ["umount"]])
def test_whoever_unmounts_it_ends_the_process(
    s3: S3Client, bucket: str, mounted: Mounter, command: list[str]
) -> None:
    """The kernel's own tools do as well as ours."""
    if command == ["umount"] and os.geteuid() != 0:
        pytest.skip("umount of others' mounts is for root")
    with mounted() as mount:
        subprocess.run([*command, mount.path], check=True)
        assert mount.wait_for_end() == 0
        mount.check_log()


def test_a_busy_mount_says_who_holds_it_and_stays(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """`mountfs umount` refuses with the name of the process; `--lazy` detaches."""
    put_objects(s3, bucket, {"f": make_bytes(MIB)})
    with mounted() as mount:
        with subprocess.Popen(["sleep", "600"], cwd=mount.path) as holder:
            try:
                wait_until(lambda: os.readlink(f"/proc/{holder.pid}/cwd") == str(mount.path))
                done = run_mountfs("umount", str(mount.path))
                assert done.returncode == 9
                assert f"pid {holder.pid} (sleep)" in done.stderr
                assert make_bytes(MIB) == (mount.path / "f").read_bytes()
                assert run_mountfs("umount", "--lazy", str(mount.path)).returncode == 0
                assert not mount.is_mounted()
            finally:
                holder.kill()
        assert mount.wait_for_end() == 0
        mount.check_log()


def test_a_busy_mount_is_detached_after_the_grace_period(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """SIGTERM waits for who uses it, and then no longer; the exit code says so."""
    put_objects(s3, bucket, {"f": make_bytes(MIB)})
    with mounted("--unmount-grace", "500ms") as mount:
        with (mount.path / "f").open("rb"):
            mount.process.send_signal(signal.SIGTERM)
            assert mount.wait_for_end() == 9
            assert not mount.is_mounted()
        assert f"pid {os.getpid()}" in mount.log_path.read_text()
        mount.check_log()


def test_two_mounts_of_one_bucket_see_the_same(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """One of it all, one of a part of it; each goes its own way."""
    content = make_bytes(3 * MIB)
    put_objects(s3, bucket, {"d/f": content, "g": b"g"})
    with mounted() as whole, mounted("--read-only", prefix="d") as part:
        assert content == (whole.path / "d/f").read_bytes() == (part.path / "f").read_bytes()
        assert (whole.path / "d/f").stat().st_dev != (part.path / "f").stat().st_dev
        part.end()
        assert (whole.path / "g").read_bytes() == b"g"


def test_the_command_returns_when_the_mount_answers(
    s3: S3Client, bucket: str, rgw: Rgw, tmp_path: Path
) -> None:
    """In the background, which is the default; `status` shows it, `umount` ends it."""
    put_objects(s3, bucket, {"d/f": b"content"})
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    log_path = tmp_path / "log"
    environment = command_environment(rgw.access_key, rgw.secret_key)
    done = run_mountfs(
        f"s3://{bucket}/d", str(mountpoint), "--endpoint-url", rgw.endpoint_url,
        "--region", REGION, "--log-file", str(log_path), environment=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (mountpoint / "f").read_bytes() == b"content"
    status = run_mountfs("status")
    assert status.returncode == 0
    assert str(mountpoint) in status.stdout
    done = run_mountfs("umount", str(mountpoint))
    assert (done.returncode, done.stderr) == (0, "")
    assert find_mounts_below(tmp_path) == []
    assert "Traceback" not in log_path.read_text()


def test_a_program_can_start_in_the_mount_and_run_from_it(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """With `--file-mode 755`, scripts and modules are run from where they are."""
    put_objects(s3, bucket, {
        "run.sh": b"#!/bin/sh\ncat data/input\n",
        "data/input": b"hello\n",
        "package/__init__.py": b"from package.inner import value\n",
        "package/inner.py": b"value = 'imported'\n",
    })  # fmt: skip
    with mounted("--file-mode", "755") as mount:
        done = subprocess.run(["./run.sh"], cwd=mount.path, capture_output=True, check=True)
        assert done.stdout == b"hello\n"
        program = "import package; print(package.value)"
        done = subprocess.run(
            ["python3", "-c", program], cwd=mount.path, capture_output=True, check=True
        )
        assert done.stdout == b"imported\n"
