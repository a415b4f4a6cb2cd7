"""Mounts for the tests of this folder."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.mount.mounted import mounting

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.mount.mounted import Mount
    from tests.stores.client import Endpoint
    from tests.stores.proxy import Proxy


class Mounter(Protocol):
    """What the fixture `mounted` is."""

    def __call__(
        self,
        *options: str,
        prefix: str = "",
        endpoint: Endpoint | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> AbstractContextManager[Mount]:
        """Mount the test's bucket, through the proxy unless *endpoint* says otherwise."""


@pytest.fixture
def mounted(bucket: str, proxy: Proxy, tmp_path: Path) -> Mounter:
    """Return what mounts `bucket` with the real command; each time at a mountpoint of its own.

    ``with mounted("--read-only") as mount:`` unmounts at the end and checks how the process ended.
    """
    numbers = itertools.count()

    def mount_bucket(
        *options: str,
        prefix: str = "",
        endpoint: Endpoint | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> AbstractContextManager[Mount]:
        return mounting(
            f"s3://{bucket}/{prefix}",
            tmp_path / f"mnt{next(numbers)}",
            *options,
            endpoint=endpoint or proxy,
            access_key=access_key,
            secret_key=secret_key,
        )

    return mount_bucket
