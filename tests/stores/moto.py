"""moto's S3 server: for what Ceph RGW lacks (checksums, storage classes), and where there is none.

It checks no credentials, and it is slow: never measure on it.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stores.processes import LOCALHOST, find_free_port, is_listening, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 60.0
"""The import of moto takes a second or two, more on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moto:
    """A running moto server. Any key pair is good."""

    endpoint_url: str
    access_key: str = "testing"
    secret_key: str = "testing"


@contextlib.contextmanager
def running_moto(directory: Path) -> Iterator[Moto]:
    """Start a moto server that logs into *directory*; end it with the block.

    Raises:
        ServerError: it did not start.
    """
    port = find_free_port()
    with running_server(
        "moto",
        [sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", str(port)],
        log_path=directory / "moto.log",
    ) as server:
        server.wait_until(lambda: is_listening(port), timeout_seconds=START_SECONDS)
        yield Moto(endpoint_url=f"http://{LOCALHOST}:{port}")
