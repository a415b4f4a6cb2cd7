from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mountfs.data import upload_record
from mountfs.data.upload_record import (
    RECORD_NAME,
    BegunUpload,
    abort_leftovers,
    open_upload_record,
    read_leftovers,
)
from mountfs.errors import AccessDeniedError
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from mountfs.store.fake import Request


def test_what_was_begun_and_not_ended_is_found(tmp_path: Path) -> None:
    """Keys may hold anything, also what is not UTF-8 or looks like the end of a line."""
    with open_upload_record(tmp_path) as record:
        record.note_begun("a", "1")
        record.note_begun('line\nbreak "quoted" \udcff', "2")
        record.note_ended("1")
        record.note_ended("unknown")
        assert [BegunUpload('line\nbreak "quoted" \udcff', "2")] == read_leftovers(tmp_path)
        assert 1 == len(record)


def test_a_mount_that_ended_all_leaves_no_record(tmp_path: Path) -> None:
    """So that its folder can go."""
    with open_upload_record(tmp_path) as record:
        record.note_begun("a", "1")
        record.note_ended("1")
    assert [] == os.listdir(tmp_path)
    assert [] == read_leftovers(tmp_path)


def test_a_torn_line_harms_nothing(tmp_path: Path) -> None:
    """Every prefix of the record gives the uploads that are whole in it."""
    with open_upload_record(tmp_path) as record:
        record.note_begun("a", "1")
        record.note_begun("b", "2")
    path = tmp_path / RECORD_NAME
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        # The line break itself is no part of what is needed.
        whole = sum(size >= len(b"".join(lines[: n + 1])) - 1 for n in range(2))
        assert ["1", "2"][:whole] == [upload.upload_id for upload in read_leftovers(tmp_path)]


def test_the_record_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written anew from time to time, with what is still under way."""
    monkeypatch.setattr(upload_record, "COMPACT_BYTES", 1000)
    with open_upload_record(tmp_path) as record:
        record.note_begun("kept", "kept")
        for number in range(200):
            record.note_begun("key", str(number))
            record.note_ended(str(number))
        assert (tmp_path / RECORD_NAME).stat().st_size < 1100
        assert [BegunUpload("kept", "kept")] == read_leftovers(tmp_path)


async def test_only_leftovers_of_the_dead_mount_are_aborted(tmp_path: Path) -> None:
    """Uploads of other programs stay; so does what the store refuses, for the next mount."""
    store = FakeStore()
    ids = [await store.create_upload(key, ObjectHeaders()) for key in ("a", "b", "c")]
    gone = await store.create_upload("gone", ObjectHeaders())
    await store.abort_upload("gone", gone)
    with open_upload_record(tmp_path) as record:
        record.note_begun("a", ids[0])
        record.note_begun("gone", gone)
        record.note_begun("b", ids[1])

    def deny(request: Request) -> AccessDeniedError | None:
        return AccessDeniedError("no") if request.key == "b" else None

    store.fault_for = deny
    assert 2 == await abort_leftovers(tmp_path, store)
    assert [BegunUpload("b", ids[1])] == read_leftovers(tmp_path)
    store.fault_for = None
    assert 1 == await abort_leftovers(tmp_path, store)
    assert [] == os.listdir(tmp_path)
    assert [ids[2]] == [upload.upload_id for upload in await store.list_uploads("")]
