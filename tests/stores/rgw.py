"""Ceph RGW from the distribution's packages: a production S3 store, on this machine, for an hour.

One monitor, one manager, one OSD (BlueStore on a sparse file) and one gateway, all on 127.0.0.1 and
below one directory. By hand::

    python -m tests.stores.rgw

prints ``export AWS_...`` lines and serves until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stores.ceph_conf import write_ceph_conf
from tests.stores.client import REGION
from tests.stores.processes import (
    LOCALHOST,
    Server,
    ServerError,
    find_free_port,
    is_listening,
    read_tail,
    run_command,
    running_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("ceph", "ceph-mgr", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

DEFAULT_SIZE_GIB = 24
"""Of the sparse file: room for the largest test several times over; it takes what is written."""

START_SECONDS = 90.0
"""The deadline of each step; all of them together take about 5 s on an idle 2-core machine."""

ALLOCATOR = "libtcmalloc.so.4"
"""What Ceph is made for: Debian's packages depend on it, though their programs are not linked with
it. With glibc's, `malloc` and `free` took a seventh of the processor time of 1,000 copies and
deletes. Where it is missing the loader says so, and goes on."""

MAX_REFUSALS = 5
"""Of `run_ceph`; each is rare by itself."""

EXPECTED_HEALTH = {
    "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED",  # no authentication at all
    "MGR_MODULE_ERROR",  # we load none
    "MON_DISK_LOW",  # the machine's disk, not ours
    "POOL_NO_REDUNDANCY",  # one copy
    "TOO_FEW_OSDS",
}


def find_missing_ceph() -> list[str]:
    """Return which of Ceph's commands are not installed."""
    return [command for command in COMMANDS if shutil.which(command) is None]


def run_ceph(conf_path: Path, *arguments: str) -> str:
    """Run ``ceph`` and return what it printed.

    Now and then (one start in twenty) it asks before the monitor has told it the cluster's fsid,
    and is refused with EPERM. Nobody has to authenticate here, so EPERM means nothing else.
    """
    command = ["ceph", "-c", str(conf_path), "--connect-timeout", "10", *arguments]
    for _ in range(MAX_REFUSALS):
        try:
            return run_command(command)
        except ServerError as error:
            if "EPERM" not in str(error):
                raise
    return run_command(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The key pair of a user."""

    access_key: str
    secret_key: str


class Rgw:
    """A running gateway and the right to administer it.

    Attributes:
        endpoint_url: for S3 clients; path-style.
        credentials: of the first user.
    """

    def __init__(self, *, conf_path: Path, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.credentials = Credentials(access_key="", secret_key="")
        self._conf_path = conf_path

    @property
    def access_key(self) -> str:
        """The first user's."""
        return self.credentials.access_key

    @property
    def secret_key(self) -> str:
        """The first user's."""
        return self.credentials.secret_key

    def create_user(self, name: str) -> Credentials:
        """Create a user that owns nothing yet; it can make buckets of its own."""
        credentials = Credentials(
            access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_urlsafe(30)
        )
        self.administer(
            "user", "create", f"--uid={name}", f"--display-name={name}",
            f"--access-key={credentials.access_key}", f"--secret-key={credentials.secret_key}",
        )  # fmt: skip
        return credentials

    def suspend_user(self, name: str) -> None:
        """Refuse every request of this user with 403 from now on."""
        self.administer("user", "suspend", f"--uid={name}")

    def enable_user(self, name: str) -> None:
        """Undo `suspend_user`."""
        self.administer("user", "enable", f"--uid={name}")

    def purge_bucket(self, name: str) -> None:
        """Delete a bucket with everything in it, at once: the space is free when this returns."""
        self.administer("bucket", "rm", f"--bucket={name}", "--purge-objects", "--bypass-gc")

    def administer(self, *arguments: str) -> str:
        """Run ``radosgw-admin`` and return what it printed."""
        return run_command(["radosgw-admin", "-c", str(self._conf_path), *arguments])

    def describe_health(self) -> str:
        """Return what Ceph complains about, unexpectedly; empty when all is well.

        A store that is 95 % full lets a PUT hang instead of refusing it: ask this when one does.
        """
        health = json.loads(run_ceph(self._conf_path, "health", "detail", "-f", "json"))
        return "\n".join(
            f"{code}: {check['summary']['message']}"
            for code, check in health["checks"].items()
            if code not in EXPECTED_HEALTH
        )


@contextlib.contextmanager
def running_rgw(directory: Path, *, size_gib: int = DEFAULT_SIZE_GIB) -> Iterator[Rgw]:
    """Start a cluster and its gateway below *directory*; end them with the block, whatever happens.

    The stored data is deleted at the end, the logs stay. Call it from a thread that outlives the
    block (see `running_server`).

    Raises:
        ServerError: something did not start; the message holds the tail of its log.
    """
    home = Path(tempfile.mkdtemp(prefix="rgw-", dir=directory))
    mon_port, rgw_port = find_free_port(), find_free_port()
    fsid = str(uuid.uuid4())
    conf_path = write_ceph_conf(
        home, fsid=fsid, mon_port=mon_port, rgw_port=rgw_port, size_bytes=size_gib << 30
    )
    rgw = Rgw(conf_path=conf_path, endpoint_url=f"http://{LOCALHOST}:{rgw_port}")
    data = [home / name for name in ("mon", "mgr", "mgr_modules", "osd")]
    try:
        for path in data:
            path.mkdir()
        with contextlib.ExitStack() as servers:
            _start_cluster(servers, conf_path, fsid=fsid, mon_port=mon_port)
            # Waits for the OSD, and creates the zone and its pools, which two processes must not do
            # at the same time: so before the gateway.
            rgw.credentials = rgw.create_user("tester")
            gateway = _start_daemon(servers, conf_path, "radosgw", "-n", "client.rgw")
            gateway.wait_until(lambda: is_listening(rgw_port), timeout_seconds=START_SECONDS)
            yield rgw
    except ServerError as error:
        # The command that failed may only have waited for a daemon that did not start.
        logs = [f"--- {path}\n{read_tail(path)}" for path in sorted(home.glob("ceph-*.out"))]
        raise ServerError("\n".join([str(error), *logs])) from error
    finally:
        for path in data:
            shutil.rmtree(path, ignore_errors=True)


def _start_cluster(
    servers: contextlib.ExitStack, conf_path: Path, *, fsid: str, mon_port: int
) -> None:
    """Start monitor, manager and OSD, whose file system takes longest and is made meanwhile."""
    conf = ["-c", str(conf_path)]
    osd_uuid = str(uuid.uuid4())
    monmap = str(conf_path.with_name("monmap"))
    address = f"[v1:{LOCALHOST}:{mon_port}]"
    run_command(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap])
    with _running_command(
        ["ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid, "--no-mon-config"]
    ):
        run_command(["ceph-mon", *conf, "-i", "a", "--mkfs", "--monmap", monmap])
        monitor = _start_daemon(servers, conf_path, "ceph-mon", "-i", "a")
        monitor.wait_until(lambda: is_listening(mon_port), timeout_seconds=START_SECONDS)
        _start_daemon(servers, conf_path, "ceph-mgr", "-i", "x")
        run_ceph(conf_path, "osd", "new", osd_uuid)
        run_ceph(conf_path, "osd", "crush", "add", "osd.0", "1", "root=default", "host=here")
    _start_daemon(servers, conf_path, "ceph-osd", "-i", "0", "--osd-uuid", osd_uuid)


def _start_daemon(
    servers: contextlib.ExitStack, conf_path: Path, program: str, *arguments: str
) -> Server:
    """Start one of Ceph's daemons; SIGKILL will end it: nothing that it holds is worth a wait."""
    return servers.enter_context(
        running_server(
            program,
            [program, "-c", str(conf_path), *arguments, "-f"],
            log_path=conf_path.with_name(f"{program}.out"),
            environment={**os.environ, "LD_PRELOAD": ALLOCATOR},
        )
    )


@contextlib.contextmanager
def _running_command(command: list[str]) -> Iterator[None]:
    """Run a set-up command beside the block, whose end waits for it and raises what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            run_command(command, timeout_seconds=START_SECONDS)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=command[0])
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]


def main() -> None:
    """Serve until Ctrl-C."""
    missing = find_missing_ceph()
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; scripts/test installs what is needed")
    # SIGTERM ends it as Ctrl-C does, so that the temporary directory goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="mountfs-rgw-") as directory,
        running_rgw(Path(directory)) as rgw,
        contextlib.suppress(KeyboardInterrupt),
    ):
        sys.stdout.write(
            f"export AWS_ENDPOINT_URL={rgw.endpoint_url}\n"
            f"export AWS_ACCESS_KEY_ID={rgw.access_key}\n"
            f"export AWS_SECRET_ACCESS_KEY={rgw.secret_key}\n"
            f"export AWS_DEFAULT_REGION={REGION}\n"
        )
        sys.stdout.flush()
        sys.stderr.write("serving until Ctrl-C\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()
