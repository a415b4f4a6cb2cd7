"""Places to write to: directories of writable mounts of buckets on RGW, through the proxy.

One mount for each write mode serves all tests that need no options and break nothing; each gets a
directory of its own. The environment variable ``WRITE_MODES`` says which modes there are:
``close,write-back`` unless set; ``local`` is a local directory, to try the tests themselves, since
nothing may be asked of a mount that a local file system does not do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.mount.content import put_objects
from tests.mount.write.place import LocalPlace, MountedPlace, WritableMount
from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.place import Place
    from tests.stores.client import Endpoint
    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Credentials, Rgw

WRITE_MODES = os.environ.get("WRITE_MODES", "close,write-back").split(",")

HANG_SECONDS = 120.0
"""A test that takes so long, without a mark that allows it, waits for a mount for ever."""

MOUNTS = pytest.StashKey[list[WritableMount]]()
"""The mounts that a test uses, so that their logs can be shown when it fails."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs RGW, whose fixtures are asked for late, and what is dear in a second mode."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        mode = callspec.params.get("write_mode", "local") if callspec is not None else "local"
        if mode != "local":
            item.add_marker(pytest.mark.rgw)
        if mode == "write-back" and item.get_closest_marker("dear"):
            item.add_marker(pytest.mark.soak)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the mounts to a failure."""
    report = yield
    if report.failed:
        for mount in item.stash.get(MOUNTS, []):
            report.sections.append((f"log of {mount.mountpoint.name}", mount.mount.describe()))
    return report


@pytest.fixture(scope="session", params=WRITE_MODES)
def write_mode(request: pytest.FixtureRequest) -> str:
    """Return the write mode: ``close``, ``write-back`` or ``local``."""
    mode: str = request.param
    return mode


@contextlib.contextmanager
def mount_for_a_while(
    request: pytest.FixtureRequest, mode: str, home: Path, options: Sequence[str] = ()
) -> Iterator[WritableMount]:
    """Mount a bucket of its own, which is deleted afterwards, for several tests."""
    rgw: Rgw = request.getfixturevalue("rgw")
    s3: S3Client = request.getfixturevalue("s3")
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    mount = WritableMount(
        s3=s3,
        bucket=bucket,
        mode=mode,
        mountpoint=home / "mnt",
        cache_dir=home / "cache",
        endpoint=request.getfixturevalue("_proxy_of_the_session"),
        options=tuple(options),
    )
    try:
        mount.start()
        yield mount
        mount.stop()
    finally:
        rgw.purge_bucket(bucket)


class SharedMounts:
    """Mounts of one bucket in one write mode, each begun when a test first wants its options.

    Args:
        s3: another client.
        bucket: what is mounted.
        mode: the write mode.
        home: where mountpoints and staging directories go.
        endpoint: through which the mounts reach the store.
    """

    def __init__(
        self, s3: S3Client, bucket: str, mode: str, home: Path, endpoint: Endpoint
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._mode = mode
        self._home = home
        self._endpoint = endpoint
        self._mounts: dict[tuple[object, ...], WritableMount] = {}

    def get(self, options: tuple[str, ...], number: int, may_log_errors: bool) -> WritableMount:
        """Return the mount with these options; for each *number* another one."""
        key = (options, number, may_log_errors)
        mount = self._mounts.get(key)
        if mount is None:
            name = f"{len(self._mounts)}"
            mount = WritableMount(
                s3=self._s3,
                bucket=self._bucket,
                mode=self._mode,
                mountpoint=self._home / f"mnt{name}",
                cache_dir=self._home / f"cache{name}",
                endpoint=self._endpoint,
                options=options,
                may_log_errors=may_log_errors,
            )
            mount.start()
            self._mounts[key] = mount
        elif mount.mount.process.poll() is not None:
            mount.remount()  # the test before ended it, and has failed for it
        return mount

    def stop(self) -> None:
        """End all of them; fail if one did not end well."""
        with contextlib.ExitStack() as stack:
            for mount in self._mounts.values():
                stack.callback(mount.stop)


@pytest.fixture(scope="session")
def shared_mounts(
    request: pytest.FixtureRequest, write_mode: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedMounts | None]:
    """Return the mounts that tests of a mode share; None where it is local."""
    if write_mode == "local":
        yield None
        return
    rgw: Rgw = request.getfixturevalue("rgw")
    s3: S3Client = request.getfixturevalue("s3")
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    home = tmp_path_factory.mktemp(f"shared-{write_mode}")
    endpoint: Proxy = request.getfixturevalue("_proxy_of_the_session")
    mounts = SharedMounts(s3, bucket, write_mode, home, endpoint)
    try:
        yield mounts
        mounts.stop()
    finally:
        rgw.purge_bucket(bucket)


class Sharing(Protocol):
    """What the fixture `sharing` is."""

    def __call__(
        self,
        *options: str,
        objects: Mapping[str, bytes] | None = None,
        number: int = 0,
        may_log_errors: bool = False,
    ) -> MountedPlace:
        """Return the test's directory in a mount with these options.

        Args:
            options: for the command.
            objects: what another client has put there, by key below the directory. Without any,
                the directory is made through the mount, if it is not there.
            number: mounts with the same options and another number are other mounts.
            may_log_errors: see `Mount`.
        """


@pytest.fixture
def sharing(
    request: pytest.FixtureRequest, shared_mounts: SharedMounts | None
) -> Iterator[Sharing]:
    """Return what gives a test a directory of its own in mounts that it shares with others."""
    if shared_mounts is None:
        pytest.skip("needs a mount")
    request.getfixturevalue("proxy")  # without faults
    mounts = request.node.stash[MOUNTS] = []
    name = f"work-{uuid.uuid4().hex[:8]}"  # begins as no file of a test does

    def share(
        *options: str,
        objects: Mapping[str, bytes] | None = None,
        number: int = 0,
        may_log_errors: bool = False,
    ) -> MountedPlace:
        within = shared_mounts.get(options, number, may_log_errors)
        mounts.append(within)
        place = MountedPlace(within=within, name=name)
        if objects:
            contents = {f"{place.prefix}{key}": content for key, content in objects.items()}
            put_objects(within.s3, within.bucket, contents)
        else:
            place.path.mkdir(exist_ok=True)
        return place

    with ended_when_stuck(request.node):
        yield share


@pytest.fixture
def place(request: pytest.FixtureRequest, write_mode: str, tmp_path: Path) -> Place:
    """Return an empty directory: of a mount without further options, or a local one."""
    if write_mode == "local":
        (tmp_path / "place").mkdir()
        return LocalPlace(path=tmp_path / "place")
    share: Sharing = request.getfixturevalue("sharing")
    return share()


@contextlib.contextmanager
def ended_when_stuck(item: pytest.Item) -> Iterator[None]:
    """Kill the mounts of a test that takes too long; then its calls fail, and so does the test.

    Nothing else helps: no signal reaches who waits for a mount in the kernel.
    """
    mark = item.get_closest_marker("timeout")

    def kill_mounts() -> None:
        for mount in item.stash[MOUNTS]:
            mount.mount.process.kill()

    timer = threading.Timer(mark.args[0] - 10 if mark else HANG_SECONDS, kill_mounts)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Compared(Protocol):
    """What the fixture `compared` is."""

    def __call__(self, scenario: Callable[[Path], object]) -> None:
        """Run *scenario* in a local directory and in the place, and compare the outcomes."""


@pytest.fixture
def compared(place: Place, tmp_path: Path) -> Compared:
    """Return what runs a scenario twice and compares: what is in the bucket, and what is seen."""

    def compare(scenario: Callable[[Path], object]) -> None:
        local = tmp_path / "reference"
        local.mkdir()
        scenario(local)
        scenario(place.path)
        place.check_holds(tree_of_directory(local))

    return compare


class Writing(Protocol):
    """What the fixture `writing` is."""

    def __call__(
        self,
        *options: str,
        bucket: str | None = None,
        endpoint: Endpoint | None = None,
        credentials: Credentials | None = None,
        cache_dir: Path | None = None,
        prefix: str = "",
        may_log_errors: bool = False,
    ) -> WritableMount:
        """Mount the test's bucket, writable, in the test's mode; until the end of the test."""


@pytest.fixture
def writing(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    write_mode: str,
) -> Iterator[Writing]:
    """Return what mounts `bucket` with options; each time with a staging directory of its own."""
    if write_mode == "local":
        pytest.skip("needs a mount")
    own_bucket: str = request.getfixturevalue("bucket")
    proxy: Proxy = request.getfixturevalue("proxy")
    s3: S3Client = request.getfixturevalue("s3")
    numbers = itertools.count()
    mounts = request.node.stash[MOUNTS] = []
    stack = contextlib.ExitStack()

    def mount_bucket(
        *options: str,
        bucket: str | None = None,
        endpoint: Endpoint | None = None,
        credentials: Credentials | None = None,
        cache_dir: Path | None = None,
        prefix: str = "",
        may_log_errors: bool = False,
    ) -> WritableMount:
        number = next(numbers)
        mount = WritableMount(
            s3=s3,
            bucket=bucket or own_bucket,
            mode=write_mode,
            mountpoint=tmp_path / f"mnt{number}",
            cache_dir=cache_dir or tmp_path / f"cache{number}",
            endpoint=endpoint or proxy,
            options=options,
            prefix=prefix,
            may_log_errors=may_log_errors,
            access_key=credentials.access_key if credentials else None,
            secret_key=credentials.secret_key if credentials else None,
        )
        stack.callback(mount.stop)
        mount.start()
        mounts.append(mount)
        return mount

    with ended_when_stuck(request.node), stack:
        yield mount_bucket
