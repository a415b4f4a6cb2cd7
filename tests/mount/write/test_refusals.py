"""No room, no right: what cannot be stored is an error, and harms nothing else."""

from __future__ import annotations

import os
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.ways_to_write import (
    content_of,
    wait_for_content,
    write_backwards,
    write_stream,
)
from tests.stores.client import make_client
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.conftest import Writing
    from tests.mount.write.place import WritableMount
    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount


@pytest.fixture
def revocable(
    rgw: Rgw, writing: Writing
) -> Iterator[tuple[WritableMount, Callable[[], None], Callable[[], None]]]:
    """Return a mount whose user can be suspended and enabled again, and what does that."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    keys = rgw.create_user(name)
    owner = make_client(rgw, access_key=keys.access_key, secret_key=keys.secret_key)
    owner.create_bucket(Bucket=name)
    put_objects(owner, name, {"f": b"old"})
    mount = writing(
        "--deadline", "2s", bucket=name, endpoint=rgw, credentials=keys, may_log_errors=True
    )
    mount.s3 = owner
    yield mount, lambda: rgw.suspend_user(name), lambda: rgw.enable_user(name)
    rgw.enable_user(name)
    mount.stop()
    owner.close()
    rgw.purge_bucket(name)


def test_revoked_credentials_are_eacces_until_they_are_back(
    revocable: tuple[WritableMount, Callable[[], None], Callable[[], None]],
) -> None:
    """In the middle of writing; with `--write-back` nothing is given up."""
    mount, suspend, enable = revocable
    assert ["f"] == os.listdir(mount.path)
    with (mount.path / "g").open("wb", buffering=0) as file:
        file.write(b"content of g")
        suspend()
        outcome = outcome_of(lambda: os.fsync(file.fileno()))
        assert outcome == "EACCES"
        outcome_of(file.close)
    outcome = outcome_of(lambda: (mount.path / "f").write_bytes(b"new"))
    assert outcome == ("EACCES" if mount.mode == "close" else "done")
    assert outcome_of((mount.path / "d").mkdir) == "EACCES"
    enable()
    assert b"old" == content_of(mount, "f") or mount.mode == "write-back"
    if mount.mode == "close":
        (mount.path / "f").write_bytes(b"new")
    wait_until(lambda: content_of(mount, "f") == b"new")
    (mount.path / "d").mkdir()


def test_a_quota_that_is_used_up_is_edquot(
    rgw: Rgw, revocable: tuple[WritableMount, Callable[[], None], Callable[[], None]]
) -> None:
    """The old object stays, and smaller ones can be written."""
    mount, _, _ = revocable
    user = mount.bucket
    rgw.administer("quota", "set", "--quota-scope=user", f"--uid={user}", "--max-size=100000")
    rgw.administer("quota", "enable", "--quota-scope=user", f"--uid={user}")
    with (mount.path / "f").open("r+b", buffering=0) as file:
        file.write(make_bytes(MIB))
        assert outcome_of(lambda: os.fsync(file.fileno())) == "EDQUOT"
        assert b"old" == content_of(mount, "f")
        outcome_of(lambda: os.ftruncate(file.fileno(), 0))
        outcome_of(file.close)
    write_stream(mount.path / "f", b"new")
    wait_for_content(mount, "f", b"new")


@pytest.fixture
def small_directory(tmp_path: Path) -> Iterator[Path]:
    """Return a directory that takes 16 MiB and no more."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    directory = tmp_path / "small"
    directory.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


def test_a_full_staging_directory_is_enospc_and_harms_nothing_else(
    small_directory: Path, writing: Writing, s3: S3Client, bucket: str
) -> None:
    """A file that fits nowhere fails; others are written meanwhile and afterwards."""
    put_objects(s3, bucket, {"other": b"old"})
    mount = writing(
        "--memory-limit", "64M", cache_dir=small_directory / "cache", may_log_errors=True
    )
    outcome = outcome_of(lambda: write_backwards(mount.path / "f", bytes(MIB) * 160))
    assert outcome == "ENOSPC"
    assert b"old" == (mount.path / "other").read_bytes()
    for number in range(3):
        write_backwards(mount.path / f"g{number}", make_bytes(4 * MIB, number))
        wait_for_content(mount, f"g{number}", make_bytes(4 * MIB, number))
    write_stream(mount.path / "f", b"new")
    wait_for_content(mount, "f", b"new")


def test_with_write_back_a_full_staging_directory_is_enospc_until_something_is_published(
    small_directory: Path, write_mode: str, writing: Writing, proxy: Proxy
) -> None:
    """While the store hangs, only so much can be acknowledged; all of that arrives."""
    if write_mode != "write-back":
        pytest.skip("nothing is acknowledged before it is in the store")
    mount = writing(cache_dir=small_directory / "cache", may_log_errors=True)
    acknowledged: dict[str, bytes] = {}
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        for number in range(12):
            content = make_bytes(3 * MIB, number)
            outcome = outcome_of(lambda: write_stream(mount.path / f"f{number}", content))  # noqa: B023
            assert outcome in {"done", "ENOSPC"}
            if outcome == "ENOSPC":
                break
            acknowledged[f"f{number}"] = content
        assert 1 <= len(acknowledged) <= 5
    for name, content in acknowledged.items():
        wait_for_content(mount, name, content)
    wait_until(lambda: outcome_of(lambda: write_stream(mount.path / "g", bytes(MIB))) == "done")
