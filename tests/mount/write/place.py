"""A directory to write to, and what another client of the store sees of it.

A test that writes to a place and looks at its tree says what a local directory does; whether the
place is one, or a mount, and in which write mode, it does not know.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.mount.mounted import Mount, mounting
from tests.mount.write.tree import (
    describe_difference,
    list_uploads,
    tree_of_bucket,
    tree_of_directory,
)
from tests.stores.processes import POLL_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.tree import Tree
    from tests.stores.client import Endpoint

PUBLISH_SECONDS = 30.0
"""For uploads in the background to be over; they take a second."""

MODE_OPTIONS = {"close": (), "write-back": ("--write-back",)}
"""The command's options by write mode."""


SMALL_STEPS = ("--part-size", "5M", "--memory-limit", "64M")
"""So that a few megabytes are several parts (it is the least that a store takes), and memory gets
short."""


FRESH = ("--metadata-ttl", "0", "--part-size", "5M")
"""So that what others change is seen at once."""

SHORT_DEADLINE = (*SMALL_STEPS, "--deadline", "2s")
"""So that what fails for good does so soon."""


class Place(Protocol):
    """Where a test writes."""

    @property
    def path(self) -> Path:
        """The directory; empty at first."""

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of the local file system: the reference for all others."""

    def check_holds(self, expected: Tree) -> None:
        """Fail unless this is what everybody sees: here and, if there is one, in the bucket."""


class Bucketed(Place, Protocol):
    """A place whose files are objects of a bucket."""

    @property
    def s3(self) -> S3Client:
        """Another client of the store."""

    @property
    def bucket(self) -> str:
        """Its name."""

    @property
    def prefix(self) -> str:
        """Of the keys; empty or with a slash at the end."""

    @property
    def mode(self) -> str:
        """The write mode."""

    @property
    def mount(self) -> Mount:
        """The mount of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace:
    """A local directory, for trying the tests themselves."""

    path: Path
    is_local: bool = True

    def check_holds(self, expected: Tree) -> None:
        """Compare with what is in the directory."""
        difference = describe_difference(expected, tree_of_directory(self.path))
        assert difference == "", difference


@dataclass(slots=True, kw_only=True)
class WritableMount:
    """A mount of a bucket in one write mode, which can be ended and begun again.

    Attributes:
        s3: another client, not through the proxy.
        bucket: what is mounted.
        mode: a key of `MODE_OPTIONS`.
        mountpoint: the same for all mounts.
        cache_dir: the staging directory; the same for all mounts.
        endpoint: through which the mount reaches the store.
        options: more of them for the command.
        prefix: what of the bucket is mounted; empty or with a slash at the end.
        may_log_errors: see `Mount`.
        access_key: instead of the endpoint's, with *secret_key*.
        secret_key: belongs to *access_key*.
        mount: the one of now.
    """

    s3: S3Client
    bucket: str
    mode: str
    mountpoint: Path
    cache_dir: Path
    endpoint: Endpoint
    options: tuple[str, ...] = ()
    prefix: str = ""
    may_log_errors: bool = False
    access_key: str | None = None
    secret_key: str | None = None
    mount: Mount = field(init=False)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    @property
    def path(self) -> Path:
        """The mountpoint."""
        return self.mountpoint

    @property
    def is_local(self) -> bool:
        """Never."""
        return False

    def start(self) -> None:
        """Mount the bucket."""
        self.mount = self._stack.enter_context(
            mounting(
                f"s3://{self.bucket}/{self.prefix}",
                self.mountpoint,
                *("--cache-dir", str(self.cache_dir)),
                *MODE_OPTIONS[self.mode],
                *self.options,
                endpoint=self.endpoint,
                access_key=self.access_key,
                secret_key=self.secret_key,
                may_log_errors=self.may_log_errors,
            )
        )

    def stop(self) -> None:
        """Unmount; fail if the process did not end well, or logged an error."""
        self._stack.close()

    def remount(self) -> None:
        """Unmount and mount again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the process as a crash would, and clear the mountpoint away."""
        self.mount.process.kill()
        self.mount.process.wait()
        self.stop()

    def check_holds(self, expected: Tree) -> None:
        """Compare with the bucket, which must have no unfinished upload, and with the mount."""
        self.check_directory_holds("", expected)

    def check_directory_holds(self, name: str, expected: Tree) -> None:
        """Do so for one directory; *name* is its path in the mount.

        In the mode ``write-back`` the bucket has some time; otherwise it must be so already.
        """
        publish_below(self.path / name, self.mode)
        check_bucket_holds(
            self.s3,
            self.bucket,
            expected,
            prefix=f"{self.prefix}{name}/" if name else self.prefix,
            is_eventual=self.mode != "close",
        )
        difference = describe_difference(expected, tree_of_directory(self.path / name))
        assert difference == "", f"through the mount:\n{difference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedPlace:
    """A directory of a mount that other tests use too.

    Attributes:
        within: the mount.
        name: of the directory, at the root of the mount.
    """

    within: WritableMount
    name: str
    is_local: bool = False

    @property
    def path(self) -> Path:
        """The directory; empty at first."""
        return self.within.path / self.name

    @property
    def prefix(self) -> str:
        """Of its keys in the bucket."""
        return f"{self.within.prefix}{self.name}/"

    @property
    def s3(self) -> S3Client:
        """Another client."""
        return self.within.s3

    @property
    def bucket(self) -> str:
        """What is mounted."""
        return self.within.bucket

    @property
    def mode(self) -> str:
        """A key of `MODE_OPTIONS`."""
        return self.within.mode

    @property
    def mount(self) -> Mount:
        """The mount of now."""
        return self.within.mount

    def check_holds(self, expected: Tree) -> None:
        """Compare with the bucket, which must have no unfinished upload, and with the mount."""
        self.within.check_directory_holds(self.name, expected)


def publish_below(directory: Path, mode: str) -> None:
    """Where closing does not publish, do it now: nobody needs to wait until files have rested.

    Whether it works is left to the caller to see.
    """
    if mode == "write-back":
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def check_bucket_holds(
    s3: S3Client, bucket: str, expected: Tree, *, prefix: str = "", is_eventual: bool = False
) -> None:
    """Fail unless the bucket holds *expected* below *prefix*, and no unfinished upload there.

    Args:
        s3: another client.
        bucket: its name.
        expected: the tree.
        prefix: ends with a slash, or is empty.
        is_eventual: wait for it, for `PUBLISH_SECONDS`.
    """
    deadline = time.monotonic() + (PUBLISH_SECONDS if is_eventual else 0.0)
    while True:
        difference = describe_difference(expected, read_bucket(s3, bucket, prefix))
        uploads = list_uploads(s3, bucket, prefix)
        if (difference, uploads) == ("", []) or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    assert difference == "", f"in the bucket:\n{difference}"
    assert uploads == [], f"unfinished uploads of {uploads}"


def is_held(place: Place, expected: Tree) -> bool:
    """Tell whether everybody sees *expected*, where nobody waits for the last close."""
    try:
        place.check_holds(expected)
    except AssertionError:
        return False
    return True


def read_bucket(s3: S3Client, bucket: str, prefix: str) -> Tree:
    """Return the tree of a bucket; what is deleted while it is read counts as not there."""
    while True:
        try:
            return tree_of_bucket(s3, bucket, prefix)
        except s3.exceptions.NoSuchKey:
            continue
