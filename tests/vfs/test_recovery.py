from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mountfs.data.budget import Budget
from mountfs.data.journal import open_journal
from mountfs.data.publisher import open_publisher
from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.data.upload_record import RECORD_NAME, open_upload_record
from mountfs.errors import AccessDeniedError
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore
from mountfs.vfs.recovery import recover
from tests.data.journal_content import make_generation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from mountfs.data.replay import ReplayReport
    from mountfs.data.staging_directory import StagingDirectory

SOURCE = "fake bucket"


def config_in(path: Path) -> StagingConfig:
    """Return the staging directory of all mounts of a test."""
    return StagingConfig(directory=str(path / "cache"))


@asynccontextmanager
async def dying_mount(
    path: Path, store: FakeStore, key: str, body: bytes
) -> AsyncIterator[StagingDirectory]:
    """Leave an upload of *key*, and *body* in the journal for it, at the end of the block."""
    async with open_staging(config_in(path), SOURCE) as staging:
        with open_upload_record(staging.path) as uploads:
            uploads.note_begun(key, await store.create_upload(key, ObjectHeaders()))
            async with open_journal(staging.path) as journal:
                await journal.append(make_generation(key, body), body=[body])
            yield staging


async def recover_all(path: Path, store: FakeStore) -> list[ReplayReport]:
    """Do what a mount does before it is one; return what was reported of the progress."""
    reports: list[ReplayReport] = []
    async with open_staging(config_in(path), SOURCE) as staging:
        with open_upload_record(staging.path) as uploads:
            async with open_publisher(store, Budget(64 << 20), uploads) as publisher:
                await recover(staging, store, publisher, reports.append)
    return reports


async def test_leftovers_of_all_dead_mounts_are_dealt_with(tmp_path: Path) -> None:
    """Their uploads are aborted, their files published, their folders gone; nobody else's are."""
    store = FakeStore()
    await store.create_upload("theirs", ObjectHeaders())
    async with dying_mount(tmp_path, store, "a", b"1"), dying_mount(tmp_path, store, "b", b"2"):
        pass
    assert 3 == len(store.bucket.uploads())
    reports = await recover_all(tmp_path, store)
    assert {"a": b"1", "b": b"2"} == {key: store.bucket.read(key) for key in store.bucket.keys}
    assert ["theirs"] == [upload.key for upload in store.bucket.uploads()]
    assert [] == os.listdir(config_in(tmp_path).directory)
    assert reports
    assert [] == reports[-1].failed


async def test_there_is_nothing_to_do_for_who_died_clean(tmp_path: Path) -> None:
    """No request, no report."""
    store = FakeStore()
    assert [] == await recover_all(tmp_path, store)
    assert {} == dict(store.requests)


async def test_mounts_that_live_keep_what_is_theirs(tmp_path: Path) -> None:
    """A second mount of the source touches nothing of the first."""
    store = FakeStore()
    async with dying_mount(tmp_path, store, "a", b"1"):
        before = dict(store.requests)
        assert [] == await recover_all(tmp_path, store)
        assert before == dict(store.requests)


async def test_what_is_refused_stays_for_the_next_mount(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The mount comes up all the same, an error is logged, and nothing is lost."""
    store = FakeStore()
    async with dying_mount(tmp_path, store, "a", b"1"):
        pass
    store.fault_for = lambda request: AccessDeniedError("no") if request.key == "a" else None
    reports = await recover_all(tmp_path, store)
    assert ["a"] == [failed[0] for failed in reports[-1].failed]
    assert [] == store.bucket.keys
    assert any(record.levelno >= logging.WARNING for record in caplog.records)
    store.fault_for = None
    await recover_all(tmp_path, store)
    assert b"1" == store.bucket.read("a")
    assert [] == store.bucket.uploads()


async def test_a_folder_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log and stays as it is."""
    store = FakeStore()
    async with (
        dying_mount(tmp_path, store, "a", b"1") as broken,
        dying_mount(tmp_path, store, "b", b"2"),
    ):
        pass
    (broken.path / RECORD_NAME).unlink()
    (broken.path / RECORD_NAME).mkdir()
    await recover_all(tmp_path, store)
    assert ["b"] == store.bucket.keys
    assert str(broken.path) in caplog.text
    assert [broken.path.name] == os.listdir(config_in(tmp_path).directory)
