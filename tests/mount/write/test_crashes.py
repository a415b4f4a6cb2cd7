"""The mount is killed while something is saved: what was acknowledged is there, and whole."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import ROOT, run_mountfs, wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.place import read_bucket
from tests.mount.write.saver import outcome_of_step
from tests.mount.write.tree import list_keys, list_uploads
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.mount.write.conftest import Writing
    from tests.mount.write.place import WritableMount
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount

PARTS = ("--part-size", "5M", "--memory-limit", "64M")


def save_until_killed(mount: WritableMount, seed: int, step_count: int) -> list[dict[str, Any]]:
    """Run the save loop, kill the mount somewhere in the step after *step_count*; return the lines.

    Where in the step is left to the scheduler.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mount.write.saver", str(mount.path), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as saver:
        assert saver.stdout is not None
        lines: list[dict[str, Any]] = []
        try:
            for line in saver.stdout:
                lines.append(json.loads(line))
                if "begin" in lines[-1] and len(lines) >= 2 * step_count:
                    break
            mount.mount.process.kill()
            mount.mount.process.wait()
            lines += [json.loads(line) for line in saver.stdout]
        finally:
            saver.kill()
    assert "error" in lines[-1], "the mount was killed, and the loop did not notice"
    return lines


def acceptable_files(
    before: dict[str, bytes], lines: list[dict[str, Any]]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return what the files hold without and with the step that was not acknowledged."""
    begun = [line["begin"] for line in lines if "begin" in line]
    done_count = sum("done" in line for line in lines)
    files = before
    for step in begun[:done_count]:
        files = outcome_of_step(files, step)
    return files, outcome_of_step(files, begun[done_count]) if done_count < len(begun) else files


def check_files(
    found: dict[str, bytes], without: dict[str, bytes], with_: dict[str, bytes]
) -> None:
    """Fail unless each file is as before the last step or as after it; others as they must be."""
    for name in without.keys() | with_.keys():
        allowed = (without.get(name), with_.get(name))
        assert found.get(name) in allowed, (
            f"{name}: {len(found[name]) if name in found else 'nothing'} instead of"
            f" {[None if a is None else len(a) for a in allowed]} bytes"
        )
    # The temporary file of a replacement that was interrupted may be there.
    others = set(found.keys() - without.keys() - with_.keys())
    assert {name for name in others if not name.endswith(".tmp")} == set()


def read_files(mount: WritableMount) -> dict[str, bytes]:
    """Return the objects of the bucket."""
    tree = read_bucket(mount.s3, mount.bucket, "")
    return {path: content for path, content in tree.items() if content is not None}


def kill_again_and_again(mount: WritableMount, rounds: int) -> None:
    """Save, kill, mount again, compare."""
    draw = random.Random(rounds)
    files: dict[str, bytes] = {}
    for directory in ("a", "b"):
        (mount.path / directory).mkdir()
    for number in range(rounds):
        for name in os.listdir(mount.path / "a") + os.listdir(mount.path / "b"):
            assert not name.endswith(".tmp"), name
        lines = save_until_killed(mount, number, draw.randrange(5, 60))
        without, with_ = acceptable_files(files, lines)
        mount.stop()
        mount.start()
        wait_until(lambda: is_acceptable(mount, without, with_), timeout_seconds=60)  # noqa: B023
        wait_until(lambda: not list_uploads(mount.s3, mount.bucket))
        files = read_files(mount)
        check_files(files, without, with_)
        for name in [name for name in files if name.endswith(".tmp")]:
            os.unlink(mount.path / name)
            del files[name]
        for name, content in files.items():
            assert content == (mount.path / name).read_bytes()


def is_acceptable(mount: WritableMount, without: dict[str, bytes], with_: dict[str, bytes]) -> bool:
    """Tell whether everything has been replayed."""
    try:
        check_files(read_files(mount), without, with_)
    except AssertionError:
        return False
    return True


def test_what_was_acknowledged_survives_kill_9(writing: Writing) -> None:
    """Twice, at places that chance chooses; then nothing is left in the journal."""
    mount = writing(*PARTS)
    kill_again_and_again(mount, 2)
    mount.remount()
    assert not [key for key in list_keys(mount.s3, mount.bucket) if "conflict" in key]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_survives_kill_9_fifty_times(writing: Writing) -> None:
    """The same, for long."""
    kill_again_and_again(writing(*PARTS), 50)


@pytest.fixture
def write_back(write_mode: str, writing: Writing) -> WritableMount:
    """Mount the bucket with `--write-back`."""
    if write_mode != "write-back":
        pytest.skip("nothing is acknowledged before it is in the store")
    return writing(*PARTS, may_log_errors=True)


def test_files_that_were_never_uploaded_are_replayed(
    write_back: WritableMount, proxy: Proxy
) -> None:
    """The store heard of nothing before the crash: contents, renames, an empty file."""
    large = make_bytes(11 * MIB)
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        (write_back.path / "small").write_bytes(b"content")
        (write_back.path / "empty").write_bytes(b"")
        (write_back.path / "large.tmp").write_bytes(large)
        os.rename(write_back.path / "large.tmp", write_back.path / "large")
        (write_back.path / "gone").write_bytes(b"gone")
        os.unlink(write_back.path / "gone")
        with (write_back.path / "twice").open("wb") as file:
            file.write(b"first")
        with (write_back.path / "twice").open("r+b") as file:
            file.write(b"F")
        write_back.kill()
    write_back.start()
    write_back.check_holds({"small": b"content", "empty": b"", "large": large, "twice": b"First"})
    write_back.remount()
    write_back.check_holds({"small": b"content", "empty": b"", "large": large, "twice": b"First"})


def test_after_a_crash_a_file_is_seen_from_the_first_answer_on(
    write_back: WritableMount, proxy: Proxy
) -> None:
    """The next mount shows what was acknowledged, however slowly the store takes it."""
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        (write_back.path / "f").write_bytes(b"content")
        write_back.kill()
    with proxy.faulty(Faults(latency_ms=1000, only="^(PUT|POST)")):
        write_back.start()
        assert b"content" == (write_back.path / "f").read_bytes()
    write_back.check_holds({"f": b"content"})


def test_after_a_crash_an_object_of_somebody_else_is_kept_beside_ours(
    s3: S3Client, bucket: str, write_back: WritableMount, proxy: Proxy
) -> None:
    """Ours gets another name, and the log tells."""
    put_objects(s3, bucket, {"f": b"old", "d/g": b"old"})
    assert b"old" == (write_back.path / "f").read_bytes()
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        (write_back.path / "f").write_bytes(b"ours")
        (write_back.path / "new").write_bytes(b"ours too")
        (write_back.path / "d/g").write_bytes(b"nobody touched the old one")
        write_back.kill()
    put_objects(s3, bucket, {"f": b"theirs", "new": b"theirs too"})
    write_back.start()
    wait_until(lambda: len(list_keys(s3, bucket)) == 5)
    wait_until(lambda: read_files(write_back)["d/g"] == b"nobody touched the old one")
    files = read_files(write_back)
    assert (b"theirs", b"theirs too") == (files.pop("f"), files.pop("new"))
    del files["d/g"]
    kept = {name.partition(".conflict-")[0]: content for name, content in files.items()}
    assert {"f": b"ours", "new": b"ours too"} == kept
    assert all(".conflict-" in name for name in files)
    assert ".conflict-" in write_back.mount.log_path.read_text()


def test_a_second_mount_with_the_same_staging_directory_waits_or_is_refused(
    write_back: WritableMount, writing: Writing
) -> None:
    """Two processes never share a journal."""
    (write_back.path / "f").write_bytes(b"content")
    refused = run_mountfs(
        f"s3://{write_back.bucket}/", str(write_back.mountpoint), "--write-back",
        "--cache-dir", str(write_back.cache_dir),
        "--endpoint-url", write_back.endpoint.endpoint_url,
        environment={
            **os.environ,
            "AWS_ACCESS_KEY_ID": write_back.endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": write_back.endpoint.secret_key,
        },
    )  # fmt: skip
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    write_back.check_holds({"f": b"content"})


def test_leftovers_of_a_crash_are_aborted_and_nobody_elses(
    s3: S3Client, bucket: str, writing: Writing, proxy: Proxy
) -> None:
    """Uploads that this host began; one that another program began stays."""
    mount = writing(*PARTS)
    s3.create_multipart_upload(Bucket=bucket, Key="f")
    foreign = s3.create_multipart_upload(Bucket=bucket, Key="theirs")
    with (mount.path / "f").open("wb", buffering=0) as file:
        file.write(make_bytes(11 * MIB))
        if mount.mode == "close":
            wait_until(lambda: len(list_uploads(s3, bucket)) == 3)
        mount.mount.process.kill()
        mount.mount.process.wait()
        assert outcome_of(lambda: os.fsync(file.fileno())) != "done"
        outcome_of(file.close)
    mount.stop()
    mount.start()
    wait_until(lambda: sorted(list_uploads(s3, bucket)) == ["f", "theirs"])
    s3.abort_multipart_upload(Bucket=bucket, Key="theirs", UploadId=foreign["UploadId"])
    assert [] == [key for key in list_keys(s3, bucket) if not key.endswith("/")]


def test_a_staging_directory_is_private(writing: Writing) -> None:
    """Mode 0700: what is staged is as secret as the bucket."""
    mount = writing()
    (mount.path / "f").write_bytes(b"content")
    assert 0o700 == mount.cache_dir.stat().st_mode & 0o777
