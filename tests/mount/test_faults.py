"""A store that refuses, breaks off, changes its mind about us, or says nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import mounting, run_mountfs, wait_until
from tests.mount.outcome import outcome_of
from tests.mount.pinned_pages import pinned_pages
from tests.stores.client import make_client
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount

GET_STUCK = "^GET .*/stuck"


@pytest.mark.parametrize("option", ["--no-read-only", "--read-only"])
def test_nothing_is_noticed_when_one_request_in_ten_fails(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter, option: str
) -> None:
    """503, resets and truncated bodies: every byte is right, and no application hears of it."""
    contents = {f"d{n % 7}/{n}": make_bytes(n * 3000, n) for n in range(60)}
    contents["large"] = make_bytes(48 * MIB)
    put_objects(s3, bucket, contents)
    faults = Faults(error_fraction=0.04, reset_fraction=0.03, truncate_fraction=0.03)
    with mounted(option, "--part-size", "512K", "--memory-limit", "64M") as mount:
        with proxy.faulty(faults), ThreadPoolExecutor(4) as readers:
            names = {
                os.path.relpath(os.path.join(top, leaf), mount.path)
                for top, _, leaves in os.walk(mount.path)
                for leaf in leaves
            }
            assert contents.keys() == names
            sums = dict(
                zip(names, readers.map(lambda n: sum_of(mount.path / n), names), strict=True)
            )
        assert {key: hashlib.sha256(body).hexdigest() for key, body in contents.items()} == sums
        assert mount.stats()["store"]["retries"] >= 5


def sum_of(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_revoked_credentials_are_eacces_until_they_are_back(rgw: Rgw, tmp_path: Path) -> None:
    """The mount survives; what the kernel has can still be read."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    keys = rgw.create_user(name)
    owner = make_client(rgw, access_key=keys.access_key, secret_key=keys.secret_key)
    owner.create_bucket(Bucket=name)
    contents = {f"d/{n}": make_bytes(50_000, n) for n in range(4)}
    put_objects(owner, name, contents)
    with mounting(
        f"s3://{name}",
        tmp_path / "mnt",
        endpoint=rgw,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
    ) as mount:
        files = [mount.path / key for key in contents]
        assert contents["d/0"] == files[0].read_bytes()
        with pinned_pages(files[:1]):
            rgw.suspend_user(name)
            assert outcome_of(files[1].read_bytes) == "EACCES"
            assert outcome_of((mount.path / "unlisted").stat) == "EACCES"
            assert contents["d/0"] == files[0].read_bytes()
        assert mount.stats()["pid"] == mount.pid
        rgw.enable_user(name)
        assert list(contents.values()) == [file.read_bytes() for file in files]
        assert outcome_of((mount.path / "unlisted").stat) == "ENOENT"
    owner.close()
    rgw.purge_bucket(name)


def test_a_request_that_hangs_ends_in_eio_and_holds_up_nobody(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """`--deadline` is the limit; other files are served meanwhile, and the mount recovers."""
    put_objects(s3, bucket, {"stuck": b"stuck", **{f"{n}": b"%d" % n for n in range(20)}})
    with mounted("--deadline", "3s") as mount:
        with proxy.faulty(Faults(hang=True, only=GET_STUCK)), ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(outcome_of, (mount.path / "stuck").read_bytes)
            wait_until(lambda: mount.stats()["store"]["in_flight"] >= 1)
            for number in range(20):
                assert b"%d" % number == (mount.path / str(number)).read_bytes()
            assert len(os.listdir(mount.path)) == 21
            assert not stuck.done()
            assert stuck.result(timeout=30) == "EIO"
        assert (mount.path / "stuck").read_bytes() == b"stuck"


def test_a_body_that_stalls_ends_in_eio(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """Silence after the first bytes is silence."""
    put_objects(s3, bucket, {"stuck": make_bytes(MIB)})
    with mounted("--deadline", "3s") as mount:
        with proxy.faulty(Faults(stall_fraction=1.0, only=GET_STUCK)):
            assert outcome_of((mount.path / "stuck").read_bytes) == "EIO"
        assert make_bytes(MIB) == (mount.path / "stuck").read_bytes()


def test_listings_that_fail_are_eio_and_are_asked_for_again(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """Never an empty or a short directory."""
    put_objects(s3, bucket, {f"d/{n}": b"" for n in range(5)})
    with mounted("--deadline", "1s") as mount:
        for faults in (
            Faults(error_fraction=1.0, only="list-type"),
            Faults(hang=True, only="list-type"),
            Faults(truncate_fraction=1.0, only="list-type"),
        ):
            with proxy.faulty(faults):
                assert outcome_of(lambda: os.listdir(mount.path / "d")) == "EIO"
                assert outcome_of((mount.path / "d/new").stat) == "EIO"
        assert ["0", "1", "2", "3", "4"] == sorted(os.listdir(mount.path / "d"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("option", ["--no-read-only", "--read-only"])
def test_a_reader_of_a_store_that_hangs_can_be_ended(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter, number: signal.Signals, option: str
) -> None:
    """At once, not at the deadline; then the mount can be unmounted, and its process ends."""
    put_objects(s3, bucket, {"stuck": make_bytes(MIB)})
    with mounted(option) as mount:
        with proxy.faulty(Faults(hang=True, only=GET_STUCK)):
            with subprocess.Popen(["cat", mount.path / "stuck"], stdout=subprocess.DEVNULL) as cat:
                try:
                    wait_until(lambda: mount.stats()["store"]["in_flight"] >= 1)
                    cat.send_signal(number)
                    assert cat.wait(timeout=10) == -number
                finally:
                    cat.kill()
            done = run_mountfs("umount", str(mount.path))
            assert (done.returncode, done.stderr) == (0, "")
            assert mount.wait_for_end() == 0
        mount.check_log()


def test_a_reader_is_not_disturbed_by_harmless_signals(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """A timer that goes off while a read waits does not fail it, as on a local disk."""
    put_objects(s3, bucket, {"stuck": make_bytes(MIB)})
    # Python itself would try again after EINTR, so the calls are those of libc.
    program = (
        "import ctypes, signal, sys\n"
        "signal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.siginterrupt(signal.SIGALRM, False)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "buffer = ctypes.create_string_buffer(1 << 20)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n"
        "descriptor = libc.open(sys.argv[1].encode(), 0)\n"
        "got = libc.read(descriptor, buffer, 1 << 20)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(descriptor > 0, got, ctypes.get_errno())\n"
    )
    with mounted() as mount, proxy.faulty(Faults(latency_ms=400, only=GET_STUCK)):
        done = subprocess.run(
            [sys.executable, "-c", program, mount.path / "stuck"],
            capture_output=True,
            check=False,
            text=True,
        )
        assert (0, f"True {MIB} 0\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_store_that_hangs_does_not_keep_the_mount_alive(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """SIGTERM ends it though a request waits for an answer, and so does a reader."""
    put_objects(s3, bucket, {"stuck": b"stuck", "other": b"other"})
    with mounted("--unmount-grace", "1s") as mount, proxy.faulty(Faults(hang=True)):
        with subprocess.Popen(
            ["cat", mount.path / "stuck"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as cat:
            wait_until(lambda: proxy_waits(mount.stats()))
            mount.process.send_signal(signal.SIGTERM)
            exit_code = mount.wait_for_end()
            assert cat.wait(timeout=10) != 0
        # 9: it was in use when it was detached.
        assert exit_code == 9
        assert not mount.is_mounted()
        mount.check_log()


def proxy_waits(stats: dict[str, dict[str, float]]) -> bool:
    """Tell whether a request was sent after those of the mount itself."""
    return stats["requests"]["list"] + stats["requests"]["get"] >= 1


def test_a_store_that_comes_back_is_used_again(
    s3: S3Client, bucket: str, proxy: Proxy, mounted: Mounter
) -> None:
    """A day of outages: nothing of one is remembered after it."""
    contents = {f"{n}": make_bytes(20_000, n) for n in range(6)}
    put_objects(s3, bucket, contents)
    with mounted("--deadline", "1s", "--metadata-ttl", "0") as mount:
        for number, (key, content) in enumerate(contents.items()):
            faults = (
                Faults(error_fraction=1.0),
                Faults(reset_fraction=1.0),
                Faults(hang=True),
            )[number % 3]
            with proxy.faulty(faults):
                assert outcome_of((mount.path / key).read_bytes) == "EIO"
            assert content == (mount.path / key).read_bytes()
