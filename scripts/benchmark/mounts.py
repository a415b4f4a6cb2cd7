"""Fresh mounts of a bucket: by mountfs, and by those who do the same."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmark.subjects import mount_command, mount_environment
from tests.stores.mounts import find_mounts_below, unmount_all_below
from tests.stores.processes import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.subjects import Subject
    from tests.stores.client import Endpoint

MOUNT_SECONDS = 60.0
"""Imports, a first request, the mount: a second, on an idle machine."""

PUBLISH_SECONDS = 300.0
"""Many times what it takes."""

UNMOUNT_SECONDS = 30.0
"""A mount may be busy for a moment after the last process has closed its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted bucket.

    Attributes:
        path: the mountpoint.
        server: the process behind it.
        staging: where it may put what it has no room for in memory.
    """

    path: Path
    server: Server
    staging: Path

    def stats(self) -> dict[str, Any]:
        """Return the mount's own figures; only mountfs has some."""
        parsed: dict[str, Any] = json.loads((self.path / ".mountfs" / "stats").read_bytes())
        return parsed

    def requests(self) -> dict[str, int]:
        """Return how many requests mountfs says that it has sent, by kind."""
        return {kind.upper(): int(n) for kind, n in self.stats()["requests"].items()}

    def wait_until_published(self) -> None:
        """Wait until mountfs has nothing left to upload.

        Raises:
            ServerError: the process ended, or it takes too long.
        """

        def is_published() -> bool:
            write = self.stats()["write"]
            return not (write["dirty_files"] or write["pending_files"])

        self.server.wait_until(is_published, timeout_seconds=PUBLISH_SECONDS)

    def memory_bytes(self, field: str) -> int:
        """Return ``VmRSS`` or ``VmHWM`` (the peak) of the process behind the mount."""
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
        raise LookupError(field)


@contextlib.contextmanager
def mounted(
    subject: Subject,
    bucket: str,
    endpoint: Endpoint,
    directory: Path,
    staging: Path | None = None,
) -> Iterator[Mount]:
    """Mount *bucket* below *directory* and unmount it with the block, whatever happens.

    Args:
        subject: who mounts.
        bucket: what to mount.
        endpoint: of the store.
        directory: for the mountpoint, the log and whatever else the program writes.
        staging: the staging directory of an earlier mount; by default a new one in *directory*.

    Raises:
        ServerError: it was not mounted; the message holds the tail of the log.
    """
    path = directory / "mnt"
    path.mkdir()
    log_path = directory / f"{subject.program}.log"
    staging = staging or directory / "staging"
    command = mount_command(subject, bucket, endpoint, path, staging)
    try:
        with running_server(
            subject.name,
            command,
            log_path=log_path,
            politely=True,
            environment=mount_environment(endpoint, directory),
        ) as server:
            server.wait_until(lambda: _is_mounted(path), timeout_seconds=MOUNT_SECONDS)
            try:
                yield Mount(path=path, server=server, staging=staging)
            finally:
                _unmount(path, server)
    finally:
        unmount_all_below(directory)
        path.rmdir()


def _is_mounted(path: Path) -> bool:
    return path in find_mounts_below(path)


def _unmount(path: Path, server: Server) -> None:
    """Unmount, and wait until the process has ended by itself, within bounds."""
    deadline = time.monotonic() + UNMOUNT_SECONDS
    while _is_mounted(path) and time.monotonic() < deadline:
        subprocess.run(["fusermount3", "-u", "--", str(path)], check=False, capture_output=True)
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(max(0.0, deadline - time.monotonic()))
