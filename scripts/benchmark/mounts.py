"""Fresh mounts of a bucket: by mountfs, and by those who do the same."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmark.crew import ROOT, python_module
from tests.stores.client import REGION
from tests.stores.mounts import find_mounts_below, unmount_all_below
from tests.stores.processes import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.stores.client import Endpoint

MOUNT_SECONDS = 60.0
"""Imports, a first request, the mount: a second, on an idle machine."""

UNMOUNT_SECONDS = 30.0
"""A mount may be busy for a moment after the last process has closed its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that mounts a bucket.

    Attributes:
        name: for the table.
        program: ``mountfs``, ``s3fs`` or ``rclone``.
        options: that differ from the program's usual ones.
    """

    name: str
    program: str
    options: tuple[str, ...] = ()


MOUNTFS = Subject(name="mountfs", program="mountfs")
READ_ONLY = Subject(name="mountfs --read-only", program="mountfs", options=("--read-only",))
PEERS = (
    Subject(name="s3fs", program="s3fs"),
    Subject(name="rclone mount", program="rclone"),
    # The listing has said what the HEAD before each GET would. Hardly anybody knows the option.
    Subject(name="rclone mount, no HEAD", program="rclone", options=("--s3-no-head-object",)),
)

S3FS_OPTIONS = (
    "use_path_request_style",
    "sigv4",
    "ro",
    "kernel_cache",
    "enable_noobj_cache",
    "max_stat_cache_size=2000000",
    "stat_cache_expire=86400",
    # as many requests at a time as it can
    "multireq_max=100",
    "parallel_count=16",
    "multipart_size=8",
)

RCLONE_OPTIONS = (
    "--read-only",
    "--dir-cache-time=24h",
    "--attr-timeout=24h",
    "--poll-interval=0",
    # the time of the listing will do: otherwise each file is asked for its own
    "--use-server-modtime",
    "--no-checksum",
    # parts of a file at the same time, as mountfs
    "--vfs-read-chunk-size=8M",
    "--vfs-read-chunk-streams=8",
    "--max-read-ahead=4M",
    "--buffer-size=16M",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted bucket.

    Attributes:
        path: the mountpoint.
        server: the process behind it.
    """

    path: Path
    server: Server

    def stats(self) -> dict[str, Any]:
        """Return the mount's own figures; only mountfs has some."""
        parsed: dict[str, Any] = json.loads((self.path / ".mountfs" / "stats").read_bytes())
        return parsed

    def requests(self) -> dict[str, int]:
        """Return how many requests mountfs says that it has sent, by kind."""
        return {kind.upper(): int(n) for kind, n in self.stats()["requests"].items()}

    def memory_bytes(self, field: str) -> int:
        """Return ``VmRSS`` or ``VmHWM`` (the peak) of the process behind the mount."""
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
        raise LookupError(field)


@contextlib.contextmanager
def mounted(subject: Subject, bucket: str, endpoint: Endpoint, directory: Path) -> Iterator[Mount]:
    """Mount *bucket* below *directory* and unmount it with the block, whatever happens.

    Raises:
        ServerError: it was not mounted; the message holds the tail of the log.
    """
    path = directory / "mnt"
    path.mkdir()
    log_path = directory / f"{subject.program}.log"
    command = _command(subject, bucket, endpoint, path, directory)
    try:
        with running_server(
            subject.name,
            command,
            log_path=log_path,
            politely=True,
            environment=_environment(endpoint, directory),
        ) as server:
            server.wait_until(lambda: _is_mounted(path), timeout_seconds=MOUNT_SECONDS)
            try:
                yield Mount(path=path, server=server)
            finally:
                _unmount(path, server)
    finally:
        unmount_all_below(directory)
        path.rmdir()


def find_missing_peers() -> list[str]:
    """Return which of the programs of `PEERS` are not installed."""
    return [peer.program for peer in PEERS if find_program(peer.program) is None]


def find_program(name: str) -> str | None:
    """Return the path of a program, from beside the interpreter or from ``PATH``."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def _command(
    subject: Subject, bucket: str, endpoint: Endpoint, path: Path, directory: Path
) -> Sequence[str]:
    url = endpoint.endpoint_url
    if subject.program == "mountfs":
        arguments = ["--foreground", "--endpoint-url", url, "--region", REGION, *subject.options]
        return [*python_module("mountfs"), f"s3://{bucket}", str(path), *arguments]
    program = find_program(subject.program)
    assert program is not None, "was looked for before"
    if subject.program == "s3fs":
        options = ",".join([f"url={url}", f"tmpdir={directory}", *S3FS_OPTIONS])
        return [program, bucket, str(path), "-f", "-o", options]
    return [program, "mount", f"store:{bucket}", str(path), *RCLONE_OPTIONS, *subject.options]


def _environment(endpoint: Endpoint, directory: Path) -> Mapping[str, str]:
    """Return the environment of all three, without this machine's own settings for them."""
    foreign = ("AWS", "MOUNTFS_", "RCLONE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory),
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWSACCESSKEYID": endpoint.access_key,
        "AWSSECRETACCESSKEY": endpoint.secret_key,
        "RCLONE_CONFIG": str(directory / "rclone.conf"),
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Ceph",
        "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
        "RCLONE_CONFIG_STORE_REGION": REGION,
        "RCLONE_CONFIG_STORE_ENDPOINT": endpoint.endpoint_url,
        "RCLONE_CONFIG_STORE_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_STORE_LIST_VERSION": "2",
    }


def _is_mounted(path: Path) -> bool:
    return path in find_mounts_below(path)


def _unmount(path: Path, server: Server) -> None:
    """Unmount, and wait until the process has ended by itself, within bounds."""
    deadline = time.monotonic() + UNMOUNT_SECONDS
    while _is_mounted(path) and time.monotonic() < deadline:
        subprocess.run(["fusermount3", "-u", "--", str(path)], check=False, capture_output=True)
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(max(0.0, deadline - time.monotonic()))
