"""The command as a user runs it: a process of its own, with nothing in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.stores.client import Endpoint

TIMEOUT_SECONDS = 60


def environment(home: Path, endpoint: Endpoint | None = None, **variables: str) -> dict[str, str]:
    """Return the command's environment: an empty home, the keys of *endpoint*, *variables*."""
    keys = (
        {}
        if endpoint is None
        else {
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "MOUNTFS_ENDPOINT_URL": endpoint.endpoint_url,
            "MOUNTFS_REGION": "us-east-1",
        }
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **keys,
        **variables,
    }


def run_mountfs(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``mountfs`` with *arguments* and return when nobody writes to its output any more."""
    return subprocess.run(
        [sys.executable, "-m", "mountfs", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
