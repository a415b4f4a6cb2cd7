"""Fixtures of the store's tests: each contract test runs on the fake, moto and RGW."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mountfs.store.s3 import open_s3_store
from tests.store.backends import FakeBackend, S3Backend, make_config
from tests.store.fault_server import running_fault_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.store.backends import Backend
    from tests.store.fault_server import FaultServer


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is dear to the fake and RGW: moto is slow, and proves the least."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        kind = callspec.params.get("backend") if callspec is not None else None
        if kind == "moto" and item.get_closest_marker("dear"):
            item.add_marker(pytest.mark.soak)


@pytest.fixture(params=["fake", "moto", "rgw"])
async def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Backend]:
    """An empty bucket, and somebody else who writes to it."""
    kind = request.param
    if kind == "fake":
        yield FakeBackend()
        return
    server = request.getfixturevalue(kind)
    client = request.getfixturevalue("s3" if kind == "rgw" else "moto_s3")
    bucket = request.getfixturevalue("bucket" if kind == "rgw" else "moto_bucket")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    async with open_s3_store(make_config(server, bucket)) as store:
        s3_backend = S3Backend(kind, store, client, bucket)
        yield s3_backend
        if kind == "moto":
            s3_backend.clear()


@pytest.fixture
async def fault_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultServer]:
    """A server that answers as it is told, and credentials for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    async with running_fault_server() as server:
        yield server
