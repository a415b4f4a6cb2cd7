from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from mountfs.data.budget import Budget
from mountfs.data.conflict import conflict_key
from mountfs.data.generation import Generation
from mountfs.data.journal import open_journal
from mountfs.data.publisher import Edition, open_publisher
from mountfs.data.replay import replay_journal
from mountfs.data.upload_record import open_upload_record
from mountfs.errors import (
    AccessDeniedError,
    RequestRejectedError,
    StoreUnavailableError,
)
from mountfs.keys import KEY_MAX_BYTES, NAME_MAX_BYTES, sort_key
from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.fake import HANG, FakeStore
from tests.data.journal_content import SinglePuts, leave, put, read_bucket, replay

if TYPE_CHECKING:
    from pathlib import Path

    import trio.testing

    from mountfs.data.stored_draft import StoredDraft
    from mountfs.objects import ObjectInfo
    from mountfs.store.fake import Hang, Request


async def test_what_a_dead_mount_acknowledged_is_published(tmp_path: Path) -> None:
    """New files, changed files, with their headers; nothing is left on disk."""
    store = FakeStore()
    old = await put(store, "changed", b"old")
    await leave(tmp_path, ("new", b"1", ""), ("changed", b"2", old), ("unknown", b"3", None))
    seen: list[int] = []
    async with open_journal(tmp_path) as journal:
        report = await replay_journal(
            journal, store, SinglePuts(store).publish_draft, lambda report: seen.append(report.done)
        )
    assert (3, 3, [], []) == (report.total, report.published, report.conflicts, report.failed)
    assert [1, 2, 3] == seen
    assert {"new": b"1", "changed": b"2", "unknown": b"3"} == await read_bucket(store)
    details = await store.head_details("new")
    assert ("text/plain", {"colour": "grün"}) == (
        details.headers.content_type,
        dict(details.headers.metadata),
    )
    assert [] == os.listdir(tmp_path)


async def test_of_the_generations_of_one_key_the_youngest_is_published(tmp_path: Path) -> None:
    """It replaces the older ones, as it would have done before the crash."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"first", ""), ("key", b"second", ""))
    report = await replay(tmp_path, store)
    assert (1, 1, []) == (report.published, report.replaced, report.conflicts)
    assert report.total == report.done
    assert {"key": b"second"} == await read_bucket(store)
    assert {"HEAD": 1, "PUT": 1} == {kind: store.requests[kind] for kind in ("HEAD", "PUT")}
    assert [] == os.listdir(tmp_path)


async def test_a_file_that_somebody_else_changed_is_kept_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Theirs keeps its name; ours is beside it, and the log names both."""
    store = FakeStore()
    old = await put(store, "dir/model.pt", b"old")
    await leave(tmp_path, ("dir/model.pt", b"ours", old), ("made", b"ours", ""))
    await put(store, "dir/model.pt", b"theirs")
    await put(store, "made", b"theirs, longer")
    report = await replay(tmp_path, store)
    names = dict(report.conflicts)
    assert {"dir/model.pt", "made"} == set(names)
    assert names["dir/model.pt"].startswith("dir/model.conflict-2")
    assert names["dir/model.pt"].endswith("Z.pt")
    assert {
        "dir/model.pt": b"theirs",
        "made": b"theirs, longer",
        names["dir/model.pt"]: b"ours",
        names["made"]: b"ours",
    } == await read_bucket(store)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 2 == len(warnings)
    assert [] == os.listdir(tmp_path)


async def test_a_file_that_was_deleted_comes_back_under_its_name(tmp_path: Path) -> None:
    """Nothing is there that ours could replace: somebody else's deletion, or ours half done."""
    store = FakeStore()
    old = await put(store, "key", b"old")
    await leave(tmp_path, ("key", b"ours", old))
    await store.delete("key")
    report = await replay(tmp_path, store)
    assert (1, []) == (report.published, report.conflicts)
    assert {"key": b"ours"} == await read_bucket(store)


async def test_what_landed_before_the_crash_is_no_conflict(tmp_path: Path) -> None:
    """The ETag tells, so nothing is sent or read."""
    store = FakeStore()
    old = await put(store, "key", b"old")
    await leave(tmp_path, ("key", b"ours", old))
    await put(store, "key", b"ours")
    store.requests.clear()
    report = await replay(tmp_path, store)
    assert (1, []) == (report.published, report.conflicts)
    assert {"HEAD": 1} == store.requests


async def test_what_landed_in_parts_is_compared_by_its_bytes(tmp_path: Path) -> None:
    """The ETag is none of the content; equal bytes are no conflict, others of that size are."""
    store = FakeStore(min_part_bytes=1, part_size_bytes=4)

    async def put_in_parts(key: str, *bodies: bytes) -> None:
        upload_id = await store.create_upload(key, ObjectHeaders())
        parts = [
            await store.upload_part(key, upload_id, number, [body])
            for number, body in enumerate(bodies, 1)
        ]
        await store.complete_upload(key, upload_id, parts)

    await leave(tmp_path, ("same", b"our content", ""), ("other", b"our content", ""))
    await put_in_parts("same", b"our co", b"ntent")
    await put_in_parts("other", b"our co", b"nteNT")
    report = await replay(tmp_path, store)
    assert (1, ["other"]) == (report.published, [key for key, _ in report.conflicts])


async def test_a_change_between_the_look_and_the_put_is_noticed(tmp_path: Path) -> None:
    """The PUT is conditional."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"ours", ""))
    puts = SinglePuts(store)
    is_first = True

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        nonlocal is_first
        if is_first:
            is_first = False
            await put(store, "key", b"theirs")
        return await puts.publish_draft(draft, key, expected_etag)

    async with open_journal(tmp_path) as journal:
        report = await replay_journal(journal, store, publish)
    ((_, ours),) = report.conflicts
    assert {"key": b"theirs", ours: b"ours"} == await read_bucket(store)


async def test_a_store_without_conditional_writes_gets_plain_ones(tmp_path: Path) -> None:
    """It answers 501; we have looked a moment ago."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"ours", ""))
    puts = SinglePuts(store)

    async def publish(draft: StoredDraft, key: str, expected_etag: str | None) -> ObjectInfo:
        if expected_etag is not None:
            raise RequestRejectedError("what?", code="NotImplemented", status=501)
        return await puts.publish_draft(draft, key, None)

    async with open_journal(tmp_path) as journal:
        assert 1 == (await replay_journal(journal, store, publish)).published


async def test_what_the_store_refuses_stays_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An ERROR says where the bytes are; the next mount tries again."""
    store = FakeStore()
    await leave(tmp_path, ("denied", b"1", ""), ("denied", b"2", ""), ("fine", b"3", ""))

    def deny(request: Request) -> AccessDeniedError | None:
        return AccessDeniedError("no") if request.key == "denied" else None

    store.fault_for = deny
    report = await replay(tmp_path, store)
    assert (1, ["denied", "denied"]) == (report.published, [key for key, _, _ in report.failed])
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert all(str(tmp_path / "journal-") in message for message in errors)
    assert 2 == len(errors)
    store.fault_for = None
    report = await replay(tmp_path, store)
    assert (1, 1) == (report.published, report.replaced)
    assert {"denied": b"2", "fine": b"3"} == await read_bucket(store)


async def test_an_outage_is_waited_for_but_not_for_ever(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A few attempts a file; what remains is not lost."""
    store = FakeStore()
    await leave(tmp_path, ("key", b"ours", ""))
    fault: StoreUnavailableError | Hang = StoreUnavailableError("down")
    store.faults.extend([fault, HANG])
    assert 1 == (await replay(tmp_path, store)).published
    await leave(tmp_path, ("other", b"ours", ""))
    store.fault_for = lambda request: fault
    assert 1 == len((await replay(tmp_path, store)).failed)
    store.fault_for = None
    assert 1 == (await replay(tmp_path, store)).published


async def test_the_real_publisher_sends_what_is_stored_and_copies_the_base(tmp_path: Path) -> None:
    """An append whose base is in the bucket: parts of it are copied there, the rest is sent."""
    store = FakeStore(min_part_bytes=10, part_size_bytes=20)
    base = await put(store, "key", bytes(range(95)))
    folder = tmp_path / "folder"
    folder.mkdir()
    generation = Generation(
        key="key",
        size_bytes=120,
        headers=ObjectHeaders(),
        extents=((3, 5), (95, 100)),
        expected_etag=base,
        base=ObjectId("key", base),
        base_bytes=95,
    )
    async with open_journal(folder) as journal:
        await journal.append(generation, body=[b"AB", b"CDEFG"])
    with open_upload_record(tmp_path) as uploads:
        async with (
            open_publisher(store, Budget(10**6), uploads) as publisher,
            open_journal(folder) as journal,
        ):

            async def publish(draft: StoredDraft, key: str, expected: str | None) -> ObjectInfo:
                edition = Edition(
                    key=key,
                    headers=draft.generation.headers,
                    base=draft.generation.base,
                    expected_etag=expected,
                )
                return await publisher.publish(draft, edition)

            report = await replay_journal(journal, store, publish)
    assert (1, []) == (report.published, report.failed)
    expected = bytearray(bytes(range(95)) + b"CDEFG" + bytes(20))
    expected[3:5] = b"AB"
    assert {"key": bytes(expected)} == await read_bucket(store)


@pytest.mark.parametrize(
    ("key", "number", "expected"),
    [
        ("a/model.pt", 0, "a/model.conflict-T.pt"),
        ("model", 2, "model.conflict-T-2"),
        ("a.b/.hidden", 0, "a.b/.hidden.conflict-T"),
        ("x.tar.gz", 0, "x.tar.conflict-T.gz"),
    ],
)
def test_the_name_of_a_conflict_keeps_its_extension(key: str, number: int, expected: str) -> None:
    """So that programs still know what it is."""
    assert expected == conflict_key(key, "T", number)


@pytest.mark.parametrize("key", ["ü" * 127 + ".x", "d/" * 400 + "n" * 200 + ".pt", "s" * 255])
def test_the_name_of_a_conflict_is_never_too_long(key: str) -> None:
    """Neither for S3 nor for the kernel; it is cut between characters."""
    ours = conflict_key(key, "20250131T235959Z")
    assert len(sort_key(ours)) <= KEY_MAX_BYTES
    assert len(sort_key(ours.rsplit("/", 1)[-1])) <= NAME_MAX_BYTES
    assert ours.encode().decode() == ours
