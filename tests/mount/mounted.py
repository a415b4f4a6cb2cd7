"""The `mountfs` command as a child process, and what can be seen of it from the outside.

Nothing here imports mountfs: a mount is what the command makes, not what its modules could make.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stores.client import REGION
from tests.stores.mounts import find_mounts_below, unmount_all_below
from tests.stores.processes import POLL_SECONDS, read_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.stores.client import Endpoint

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "mountfs")

READY_SECONDS = 60.0
"""From the start to the first answer; a second or two, unless the machine is out of breath."""

END_SECONDS = 40.0
"""From SIGTERM to the end; more than all grace periods of the command together."""


def wait_until(is_true: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    """Return as soon as *is_true* says so; fail when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s"
        time.sleep(POLL_SECONDS)


def command_environment(
    access_key: str | None, secret_key: str | None, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment for the command, with these credentials and no others."""
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1", **(more or {})}
    if access_key and secret_key:
        environment |= {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    return environment


def run_mountfs(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout_seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, e.g. ``umount``, and return what came of it."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount and the process that serves it.

    Attributes:
        path: the mountpoint.
        process: the command, in the foreground.
        log_path: its log.
        may_log_errors: whether what the test does to it is worth an error in the log.
    """

    path: Path
    process: subprocess.Popen[bytes]
    log_path: Path
    may_log_errors: bool = False

    @property
    def pid(self) -> int:
        """Of the process that serves the mount."""
        return self.process.pid

    def stats(self) -> dict[str, Any]:
        """Return ``.mountfs/stats`` as of now."""
        stats: dict[str, Any] = json.loads((self.path / ".mountfs/stats").read_bytes())
        return stats

    def count_descriptors(self) -> int:
        """Return how many file descriptors the process holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def is_mounted(self) -> bool:
        """Tell whether the kernel shows a mount there, without touching it."""
        return self.path in find_mounts_below(self.path)

    def wait_for_end(self, timeout_seconds: float = END_SECONDS) -> int:
        """Return the exit code of the process, once it has ended."""
        return self.process.wait(timeout_seconds)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the mount by a signal, as an operator would.

        The process must end with 0, the mount must be gone, and no error may have been logged.
        """
        self.process.send_signal(number)
        assert self.wait_for_end() == 0, self.describe()
        assert not self.is_mounted()
        self.check_log()

    def check_log(self) -> None:
        """Fail if the log tells of an error of the store that was not provoked, or of a bug."""
        log = self.log_path.read_text(errors="replace")
        assert self.may_log_errors or " ERROR " not in log, self.describe()
        assert "Traceback" not in log, self.describe()

    def describe(self) -> str:
        """Return the end of the log."""
        return f"--- {self.log_path}\n{read_tail(self.log_path, 60)}"


@contextlib.contextmanager
def mounting(
    source: str,
    mountpoint: Path,
    *options: str,
    endpoint: Endpoint,
    access_key: str | None = None,
    secret_key: str | None = None,
    may_log_errors: bool = False,
) -> Iterator[Mount]:
    """Mount *source* with the real command while the block runs; check its end, leave nothing.

    A block that ends the mount itself is left alone; one that fails has its mount torn down, and
    the log goes to stderr beside the failure.

    Args:
        source: ``s3://bucket/prefix``.
        mountpoint: is made if need be.
        options: for the command.
        endpoint: the store.
        access_key: instead of the endpoint's, with *secret_key*.
        secret_key: belongs to *access_key*.
        may_log_errors: see `Mount`.
    """
    mountpoint.mkdir(exist_ok=True)
    log_path = mountpoint.with_name(f"{mountpoint.name}.log")
    command = [
        *("setpriv", "--pdeathsig", "TERM"),
        *(*COMMAND, source, str(mountpoint), "--foreground", "--log-file", str(log_path)),
        *("--endpoint-url", endpoint.endpoint_url, "--region", REGION, *options),
    ]
    environment = command_environment(
        access_key or endpoint.access_key, secret_key or endpoint.secret_key
    )
    with log_path.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the tests, whose end ends this one
        )
    mount = Mount(
        path=mountpoint, process=process, log_path=log_path, may_log_errors=may_log_errors
    )
    try:
        _wait_for_answer(mount)
        yield mount
        if process.poll() is None:
            mount.end()
    except BaseException:
        sys.stderr.write(mount.describe() + "\n")
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        unmount_all_below(mountpoint)


def _wait_for_answer(mount: Mount) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not mount.is_mounted():
        assert mount.process.poll() is None, f"no mount\n{mount.describe()}"
        assert time.monotonic() < deadline, f"no mount yet\n{mount.describe()}"
        time.sleep(POLL_SECONDS)
    # The kernel lets this wait until the session has begun.
    mount.stats()
