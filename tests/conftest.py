"""What every test may use: real stores, a fresh bucket, a clean environment, no leftovers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.stores.client import empty_bucket, make_client
from tests.stores.moto import running_moto
from tests.stores.mounts import unmount_all_below
from tests.stores.nginx_conf import find_missing_nginx
from tests.stores.processes import ServerError
from tests.stores.proxy import NO_FAULTS, running_proxy
from tests.stores.rgw import find_missing_ceph, running_rgw
from tests.virtual_time import make_autojump_clock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from trio.testing import MockClock

    from tests.stores.moto import Moto
    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Rgw

RGW_IS_MISSING = """\
These tests need Ceph RGW behind nginx, and this machine lacks: {commands}.
Run scripts/test, which installs what the tests need, or leave them out with --no-rgw."""

ORDER = ("vfs", "data", "meta", "fuse", "cli", "store", "stores", "mount", "datasets")
"""Folders in the order in which they are tested: what takes seconds and tells most comes first."""

SMALL_BYTES = 32 << 20
"""Of a bucket whose data may wait for the store's garbage collector."""

FOREIGN_VARIABLES = ("AWS_", "MOUNTFS_", "BOTO_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Prefixes of variables, in upper case, that change what the tested code does."""


def find_missing_programs() -> list[str]:
    """Return what the fixtures `rgw` and `proxy` need and this machine does not have."""
    return [*find_missing_ceph(), *find_missing_nginx()]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--no-rgw``."""
    parser.addoption(
        "--no-rgw",
        action="store_true",
        help="skip the tests that need Ceph RGW; they count as skipped",
    )


def pytest_configure() -> None:
    """Undo what the caller's environment would change, for the children too."""
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN_VARIABLES):
            del os.environ[name]
    # Neither ~/.aws nor the metadata service of the cloud that the tests may run in.
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # A shell that runs the tests in the background makes them, and their children, ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark whatever uses the fixture `rgw`, directly or not, before ``-m`` selects; and sort."""
    skip = pytest.mark.skip(reason="--no-rgw was given")
    for item in items:
        if "rgw" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.rgw)
        if config.getoption("no_rgw") and item.get_closest_marker("rgw"):
            item.add_marker(skip)
    items.sort(key=rank_of)


def rank_of(item: pytest.Item) -> int:
    """Return the place of the item's folder in `ORDER`; what belongs to none comes before all."""
    ranks = (n for n, folder in enumerate(ORDER) if item.nodeid.startswith(f"tests/{folder}/"))
    return next(ranks, -1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """End the session before it starts when it needs RGW and there is none: no silent skip."""
    if session.config.getoption("no_rgw") or session.config.getoption("collectonly"):
        return
    missing = find_missing_programs()
    if missing and any(item.get_closest_marker("rgw") for item in session.items):
        message = RGW_IS_MISSING.format(commands=", ".join(missing))
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add Ceph's own complaints to a failure: a full store hangs instead of answering."""
    report = yield
    rgw: Rgw | None = getattr(item, "funcargs", {}).get("rgw")
    if report.failed and rgw is not None:
        try:
            health = rgw.describe_health()
        except ServerError as error:
            health = str(error)
        if health:
            report.sections.append(("ceph health", health))
    return report


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Return virtual time, instead of pytest-trio's, which runs while a thread works."""
    return make_autojump_clock(monkeypatch)


@pytest.fixture(scope="session")
def rgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rgw]:
    """Start a Ceph RGW for this session."""
    missing = find_missing_programs()
    if missing:  # asked for by `getfixturevalue`, which the collection does not see
        pytest.exit(RGW_IS_MISSING.format(commands=", ".join(missing)), pytest.ExitCode.USAGE_ERROR)
    with running_rgw(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def _proxy_of_the_session(rgw: Rgw, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("nginx"), rgw) as running:
        yield running


@pytest.fixture
def proxy(_proxy_of_the_session: Proxy) -> Iterator[Proxy]:
    """Start a proxy in front of `rgw` (once a session); every test finds it without faults."""
    _proxy_of_the_session.set_faults(NO_FAULTS)
    yield _proxy_of_the_session
    _proxy_of_the_session.set_faults(NO_FAULTS)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Start a moto server for this session."""
    with running_moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture(scope="session")
def s3(rgw: Rgw) -> Iterator[S3Client]:
    """Make a boto3 client of `rgw`, not through the proxy."""
    client = make_client(rgw)
    yield client
    client.close()


@pytest.fixture(scope="session")
def moto_s3(moto: Moto) -> Iterator[S3Client]:
    """Make a boto3 client of `moto`."""
    client = make_client(moto)
    yield client
    client.close()


@pytest.fixture
def bucket(rgw: Rgw, s3: S3Client) -> Iterator[str]:
    """Create a bucket on `rgw`, return its name, and delete it afterwards with all it holds."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name
    with contextlib.suppress(ClientError):  # of odd keys, or when somebody still writes to it
        if is_small(s3, name):
            empty_bucket(s3, name)
            s3.delete_bucket(Bucket=name)
            return
    rgw.purge_bucket(name)


def is_small(s3: S3Client, bucket: str) -> bool:
    """Tell whether requests empty a bucket in less time than the store's own command needs."""
    page = s3.list_objects_v2(Bucket=bucket)
    size_bytes = sum(found["Size"] for found in page.get("Contents", []))
    return not page["IsTruncated"] and size_bytes <= SMALL_BYTES


@pytest.fixture
def moto_bucket(moto_s3: S3Client) -> Iterator[str]:
    """Create a bucket on `moto`, return its name, and delete it afterwards with all it holds."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    moto_s3.create_bucket(Bucket=name)
    yield name
    empty_bucket(moto_s3, name)
    moto_s3.delete_bucket(Bucket=name)


@pytest.fixture(autouse=True)
def _no_leftover_mounts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unmount what a test left mounted below its temporary directory, whatever happened."""
    uses_tmp_path = "tmp_path" in request.fixturenames and shutil.which("fusermount3")
    # Asked for first, so torn down last: after the test's own fixtures had their chance.
    directory: Path | None = request.getfixturevalue("tmp_path") if uses_tmp_path else None
    yield
    if directory is not None:
        unmount_all_below(directory)


@pytest.fixture(scope="session", autouse=True)
def _no_leftover_mounts_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Do the same for fixtures of modules and of the session."""
    yield
    if shutil.which("fusermount3"):
        unmount_all_below(tmp_path_factory.getbasetemp())


def pytest_report_header() -> list[str]:
    """Say what the stores are, since a run without RGW proves less."""
    missing = find_missing_programs()
    return [f"rgw: {'missing ' + ', '.join(missing) if missing else 'installed'}"]
