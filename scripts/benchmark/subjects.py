"""Who mounts buckets: mountfs, and those who do the same, and how each is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark.crew import ROOT, python_module
from tests.stores.client import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.stores.client import Endpoint


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
LIMITED = Subject(name="mountfs", program="mountfs", options=("--memory-limit", "1G"))
WRITE_BACK = Subject(name="mountfs --write-back", program="mountfs", options=("--write-back",))
LIMITED_WRITE_BACK = Subject(
    name="mountfs --write-back",
    program="mountfs",
    options=("--write-back", "--memory-limit", "1G"),
)
READ_ONLY = Subject(name="mountfs --read-only", program="mountfs", options=("--read-only",))

S3FS_OPTIONS = (
    "use_path_request_style",
    "sigv4",
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

PEERS = (
    Subject(name="s3fs", program="s3fs", options=("ro",)),
    Subject(name="rclone mount", program="rclone", options=("--read-only", *RCLONE_OPTIONS)),
    # As most people run it: a HEAD before each GET, to learn the time.
    Subject(name="rclone mount, defaults", program="rclone", options=("--read-only",)),
)
"""Each with the settings that make it fastest here, as far as we know, and rclone without too."""

RCLONE_WRITER = Subject(
    name="rclone mount",
    program="rclone",
    options=(
        *RCLONE_OPTIONS,
        # What is written goes to the store at once, and is there when close returns.
        "--vfs-cache-mode=off",
        # or it would send a HEAD after each PUT
        "--s3-no-head",
        "--s3-chunk-size=8M",
        "--s3-upload-concurrency=16",
    ),
)

WRITING_PEERS = (Subject(name="s3fs", program="s3fs"), RCLONE_WRITER)
"""Those who write, as fast as they can, and have written when close returns."""


CONNECTOR = "s3torchconnector"
"""Does not mount, but gives datasets of a bucket; the name of module, package and subject."""


def find_missing_peers() -> list[str]:
    """Return which of the programs of `PEERS` are not installed."""
    return [peer.program for peer in PEERS if find_program(peer.program) is None]


def find_missing_connector() -> list[str]:
    """Return the name of Amazon's connector for PyTorch, unless it is installed."""
    return [] if importlib.util.find_spec(CONNECTOR) else [CONNECTOR]


def find_program(name: str) -> str | None:
    """Return the path of a program, from beside the interpreter or from ``PATH``."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def mount_command(
    subject: Subject, bucket: str, endpoint: Endpoint, path: Path, staging: Path
) -> Sequence[str]:
    """Return the command that mounts *bucket* on *path* and stays in the foreground.

    Args:
        subject: whose.
        bucket: what to mount.
        endpoint: of the store.
        path: where to.
        staging: a directory for what has no room in memory; need not exist.
    """
    url = endpoint.endpoint_url
    if subject.program == "mountfs":
        arguments = ["--foreground", "--endpoint-url", url, "--region", REGION]
        arguments += ["--cache-dir", str(staging), *subject.options]
        return [*python_module("mountfs"), f"s3://{bucket}", str(path), *arguments]
    program = find_program(subject.program)
    assert program is not None, "was looked for before"
    if subject.program == "s3fs":
        staging.mkdir(exist_ok=True)
        options = ",".join([f"url={url}", f"tmpdir={staging}", *S3FS_OPTIONS, *subject.options])
        return [program, bucket, str(path), "-f", "-o", options]
    return [program, "mount", f"store:{bucket}", str(path), *subject.options]


def mount_environment(endpoint: Endpoint, directory: Path) -> Mapping[str, str]:
    """Return the environment of all programs, without this machine's own settings for them."""
    foreign = ("AWS", "MOUNTFS_", "RCLONE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory),
        **aws_environment(endpoint),
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


def aws_environment(endpoint: Endpoint) -> dict[str, str]:
    """Return what AWS's own libraries look at: these credentials, and no others."""
    return {
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
