"""Where the tests of datasets read and write: a local directory, and a mount over RGW.

A test that asks for a `place` runs in both. The mounts are shared by all tests of this folder: two
buckets whose names are those of ``docs/migrating.md``, which hold what its examples read. Every
place is a directory of its own in the second.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.datasets.loading import COUNTS, SAMPLES, make_files, make_shards
from tests.datasets.migration_data import contents_of_buckets
from tests.mount.content import put_objects
from tests.mount.mounted import ROOT
from tests.mount.write.place import MountedPlace, WritableMount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Rgw

pytest.register_assert_rewrite("tests.datasets.migration_outcomes")

settings.register_profile("untimed", deadline=None)  # how busy the machine is proves nothing
settings.load_profile("untimed")

MOUNT = [pytest.mark.mount, pytest.mark.rgw]

BOTH = ["directory", pytest.param("mount", marks=MOUNT)]
"""Kinds of places. The marks are written here since fixtures of one kind are asked for late."""


@dataclass(frozen=True, slots=True)
class MountedBuckets:
    """Two mounts: of ``s3://bucket``, which holds what examples read, and of ``s3://bucket-2``."""

    first: WritableMount
    second: WritableMount

    def new_place(self) -> MountedPlace:
        """Return a directory that nobody has used."""
        return MountedPlace(within=self.second, name=f"work-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="package")
def mounted_buckets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MountedBuckets]:
    """Mount both buckets, through the proxy, for all tests of this folder."""
    rgw: Rgw = request.getfixturevalue("rgw")
    s3: S3Client = request.getfixturevalue("s3")
    endpoint: Proxy = request.getfixturevalue("_proxy_of_the_session")
    home = tmp_path_factory.mktemp("buckets")
    mounts = []
    with contextlib.ExitStack() as stack:
        for bucket, objects in contents_of_buckets().items():
            s3.create_bucket(Bucket=bucket)
            stack.callback(rgw.purge_bucket, bucket)
            put_objects(s3, bucket, objects)
            mount = WritableMount(
                s3=s3,
                bucket=bucket,
                mode="close",
                mountpoint=home / bucket,
                cache_dir=home / f"{bucket}.cache",
                endpoint=endpoint,
            )
            mount.start()
            stack.callback(mount.stop)
            mounts.append(mount)
        yield MountedBuckets(*mounts)


@pytest.fixture
def mounted_place(mounted_buckets: MountedBuckets, proxy: Proxy) -> MountedPlace:
    """Return an empty directory of a mount, not yet made; the proxy is without faults."""
    return mounted_buckets.new_place()


def new_directory(request: pytest.FixtureRequest, kind: str) -> Path:
    """Return an empty directory of a kind of `BOTH`, for a fixture of any scope.

    On a mount it stays until the end, like everything else there.
    """
    if kind == "directory":
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        return factory.mktemp("place")
    buckets: MountedBuckets = request.getfixturevalue("mounted_buckets")
    path = buckets.new_place().path
    path.mkdir()
    return path


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an empty directory: a local one, and one of a mount."""
    return tmp_path if request.param == "directory" else new_directory(request, request.param)


def run_ranks(program: str, count: int, root: Path) -> None:
    """Let torchrun run a program of this folder, which reads ``data`` and writes to *root*."""
    make_files(root / "data" / "files", SAMPLES)
    make_shards(root / "data" / "shards", COUNTS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1"]
    done = subprocess.run(
        [*launcher, f"--nproc-per-node={count}", "-m", f"tests.datasets.{program}", str(root)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert 0 == done.returncode, done.stderr


def seen_by_ranks(root: Path) -> list[dict[str, Any]]:
    """Return what each rank has written."""
    return [json.loads(path.read_text()) for path in sorted(root.glob("rank-*.json"))]


@pytest.fixture(
    scope="package", params=[(2, "directory"), pytest.param((3, "mount"), marks=MOUNT)], ids=str
)
def ranks(request: pytest.FixtureRequest) -> Path:
    """Run what several ranks do, two and three of them, and return their directory."""
    count, kind = request.param
    root = new_directory(request, kind)
    run_ranks("saving_ranks", count, root)
    return root
