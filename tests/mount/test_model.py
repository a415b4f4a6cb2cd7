"""The mounted tree against a reference, while another client puts and deletes."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.mount.mounted import Mount, mounting
from tests.mount.outcome import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount

PATHS = ["a", "a-", "a0", "b", "a/a", "a/b", "b/a", "b/a/b", "c/", "a/c/", "b/a/"]
"""Few and related names: files that directories shadow, markers, and what sorts in between."""

CONTENTS = st.sampled_from([b"", b"x", b"y", b"longer", b"z" * 70_000])


class Reference:
    """What the tree should look like, computed in the most obvious way."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def directories(self) -> set[str]:
        """Return the paths of all directories; the root is empty."""
        found = {""}
        for key in self.objects:
            parts = key.split("/")[:-1]
            found |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
        return found

    def files(self) -> dict[str, bytes]:
        """Return all files by path; a directory of the same name shadows one."""
        shadows = self.directories()
        return {
            key: content
            for key, content in self.objects.items()
            if not key.endswith("/") and key not in shadows
        }


class OtherClient(RuleBasedStateMachine):
    """Changes the bucket and looks at the mount, which has a TTL of 0.

    Args:
        s3: the other client.
        bucket: empty at first.
        mount: of the bucket; the same for all runs, so the kernel's caches are full of old things.
    """

    def __init__(self, s3: S3Client, bucket: str, mount: Mount) -> None:
        super().__init__()
        self.s3 = s3
        self.bucket = bucket
        self.root = mount.path
        self.reference = Reference()
        self.handles: list[tuple[int, bytes]] = []

    def teardown(self) -> None:
        """Empty the bucket."""
        for descriptor, _ in self.handles:
            os.close(descriptor)
        for key in self.reference.objects:
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    @rule(key=st.sampled_from(PATHS), content=CONTENTS)
    def put(self, key: str, content: bytes) -> None:
        """Put an object, new or not."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        self.reference.objects[key] = content

    @rule(key=st.sampled_from(PATHS))
    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self.s3.delete_object(Bucket=self.bucket, Key=key)
        self.reference.objects.pop(key, None)

    @rule(path=st.sampled_from(PATHS))
    def look_up(self, path: str) -> None:
        """One path, without a listing."""
        path = path.rstrip("/")
        target = self.root / path
        files = self.reference.files()
        if path in self.reference.directories():
            assert target.is_dir()
        elif path in files:
            assert len(files[path]) == target.stat().st_size
            assert files[path] == target.read_bytes()
        else:
            assert outcome_of(target.stat) in {"ENOENT", "ENOTDIR"}

    @rule(path=st.sampled_from(["", "a", "b", "b/a"]))
    def list_directory(self, path: str) -> None:
        """One directory, with types and sizes."""
        if path not in self.reference.directories():
            assert outcome_of(lambda: os.listdir(self.root / path)) in {"ENOENT", "ENOTDIR"}
            return
        expected: dict[str, int | None] = {
            name: None
            for parent, _, name in (p.rpartition("/") for p in self.reference.directories() - {""})
            if parent == path
        }
        expected |= {
            name: len(content)
            for (parent, _, name), content in (
                (file.rpartition("/"), content) for file, content in self.reference.files().items()
            )
            if parent == path
        }
        with os.scandir(self.root / path) as entries:
            found = {
                entry.name: None if entry.is_dir() else entry.stat().st_size for entry in entries
            }
        assert expected == found

    @rule()
    def walk(self) -> None:
        """Everything, with contents."""
        directories, files = {""}, {}
        for top, names, leaves in os.walk(self.root):
            below = os.path.relpath(top, self.root).removeprefix(".")
            directories |= {os.path.join(below, name) for name in names}
            for leaf in leaves:
                with open(os.path.join(top, leaf), "rb") as file:
                    files[os.path.join(below, leaf)] = file.read()
        assert (self.reference.directories(), self.reference.files()) == (directories, files)

    @rule(path=st.sampled_from(PATHS))
    def open_file(self, path: str) -> None:
        """Keep a file open; nothing is read yet."""
        content = self.reference.files().get(path)
        if content is not None and len(self.handles) < 8:
            self.handles.append((os.open(self.root / path, os.O_RDONLY), content))

    @rule(start=st.sampled_from([0, 1, 69_999]))
    def read_from_an_open_file(self, start: int) -> None:
        """It is the version that was opened, or ESTALE; whatever the name shows by now."""
        for descriptor, content in self.handles:
            got: list[bytes] = []
            outcome = outcome_of(lambda: got.append(os.pread(descriptor, 100_000, start)))  # noqa: B023
            assert outcome in {"done", "ESTALE"}
            assert got in ([], [content[start:]])

    @rule()
    def close_all(self) -> None:
        """Close what is open."""
        for descriptor, _ in self.handles:
            os.close(descriptor)
        self.handles.clear()


@pytest.fixture(scope="module", params=["--no-read-only", "--read-only"])
def changing(
    request: pytest.FixtureRequest,
    rgw: Rgw,
    s3: S3Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Mount]]:
    """Mount a bucket, without and with `open` left to the kernel; return its name and the mount."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    mountpoint: Path = tmp_path_factory.mktemp("model") / "mnt"
    with contextlib.ExitStack() as stack:
        stack.callback(rgw.purge_bucket, bucket)
        options = (request.param, "--metadata-ttl", "0")
        yield (
            bucket,
            stack.enter_context(mounting(f"s3://{bucket}", mountpoint, *options, endpoint=rgw)),
        )


def check_model(
    s3: S3Client, changing: tuple[str, Mount], *, max_examples: int, step_count: int
) -> None:
    """Let the other client do as it likes, and compare."""
    bucket, mount = changing

    class ThisClient(OtherClient):
        def __init__(self) -> None:
            super().__init__(s3, bucket, mount)

    run_state_machine_as_test(  # type: ignore[no-untyped-call, unused-ignore]
        ThisClient,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=step_count,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_tree_follows_another_client(changing: tuple[str, Mount], s3: S3Client) -> None:
    """With a TTL of 0 every look shows the bucket as it is."""
    bucket, mount = changing
    run_state_machine_as_test(
        lambda: OtherClient(s3, bucket, mount),  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_tree_follows_another_client_for_long(
    changing: tuple[str, Mount], s3: S3Client
) -> None:
    """The same, forty times as long."""
    bucket, mount = changing
    run_state_machine_as_test(
        lambda: OtherClient(s3, bucket, mount),  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=500,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
