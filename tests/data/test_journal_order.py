"""The order of the generations of one key: the one that was committed last is published last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.data import journal_writer
from mountfs.data.journal import open_journal
from mountfs.data.journal_record import DirtyRecord, EndRecord, RenameRecord
from mountfs.data.journal_segment import Segment, create_segment
from mountfs.data.journal_state import JournalState, Place
from mountfs.data.staging_directory import StagingConfig, open_staging
from tests.data.journal_content import commit, make_generation, read_all, read_back

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.data.journal import Journal


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little junk be much, so that what is alive is soon written again."""
    monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(journal_writer, "IDLE_SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(journal_writer, "COMPACT_BYTES", 40_000)


async def fill(journal: Journal, count: int) -> None:
    """Make junk: files of 6,000 bytes that come and go."""
    for _ in range(count):
        await journal.end(await commit(journal, "junk", b"x" * 6000), "")


async def orders_of(path: Path) -> list[bytes]:
    """Return what a heir would publish, in this order; the keys are all the same."""
    async with open_journal(path) as journal:
        assert 1 == len({entry.key for entry in journal.entries.values()})
        return [await read_back(journal, entry) for entry in journal.entries.values()]


async def test_what_is_written_again_stays_older_than_what_was_younger(tmp_path: Path) -> None:
    """The old one's upload is under way, and its record comes behind the young one's."""
    async with open_journal(tmp_path) as journal:
        old = await commit(journal, "k", b"old")
        await fill(journal, 2)
        await commit(journal, "k", b"new")
        before = journal.entries[old].place.segment
        await fill(journal, 10)
        assert before is not journal.entries[old].place.segment
        assert {"k": b"new"} == await read_all(journal)
    assert [b"old", b"new"] == await orders_of(tmp_path)


async def test_what_was_renamed_is_the_youngest_of_its_key_wherever_it_is_written(
    tmp_path: Path,
) -> None:
    """It has the smallest number of all; the record of its rename goes with an old segment."""
    async with open_journal(tmp_path) as journal:
        renamed = await commit(journal, "tmp", b"renamed")
        await commit(journal, "k", b"old")
        await journal.rename(renamed, "k", "")
        await fill(journal, 30)
    assert [b"old", b"renamed"] == await orders_of(tmp_path)


async def test_dying_while_much_is_written_again_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the last segment ends: some are in both places, others in one."""
    path, after = tmp_path / "before", tmp_path / "after"
    path.mkdir()
    async with open_journal(path) as journal:
        numbers = [await commit(journal, "k", bytes([65 + n]) * 500) for n in range(4)]
        await journal.rename(numbers[1], "k", "")  # the youngest now
        await fill(journal, 2)
        newest = await commit(journal, "k", b"new")
        # What is to be deleted stays, as it does when it dies before.
        monkeypatch.setattr(Segment, "remove", lambda segment: None)
        before = journal.entries[numbers[0]].place.segment
        while before is journal.entries[numbers[0]].place.segment:
            await fill(journal, 1)
        assert before is not journal.entries[newest].place.segment
        expected = [await read_back(journal, entry) for entry in journal.entries.values()]
        assert [b"A" * 500, b"C" * 500, b"D" * 500, b"B" * 500, b"new"] == expected
        moved = journal.entries[numbers[0]].place.segment.path
        content = {file.name: file.read_bytes() for file in path.glob("journal-*")}
    monkeypatch.undo()
    whole = content[moved.name]
    for size in range(0, len(whole) + 1, 97):
        after.mkdir()
        for name, data in content.items():
            if name <= moved.name:
                (after / name).write_bytes(data[:size] if name == moved.name else data)
        async with open_journal(after) as journal:
            held = [
                await read_back(journal, entry)
                for entry in journal.entries.values()
                if entry.key == "k"
            ]
            assert expected == held
        for file in after.iterdir():
            file.unlink()
        after.rmdir()


async def test_what_is_published_tells_the_younger_ones_wherever_they_are_written(
    tmp_path: Path,
) -> None:
    """What the key holds then is no conflict to them, before and after a crash."""
    async with open_journal(tmp_path) as journal:
        old = await commit(journal, "k", b"old")
        await fill(journal, 2)
        new = await commit(journal, "k", b"new")
        other = await commit(journal, "other", b"other")
        await fill(journal, 10)
        await journal.end(old, '"e"')
        assert '"e"' == journal.entries[new].expected_etag
        assert "" == journal.entries[other].expected_etag
    async with open_journal(tmp_path) as journal:
        assert [new, other] == sorted(journal.entries)
        assert '"e"' == journal.entries[new].expected_etag
        assert "" == journal.entries[other].expected_etag


async def test_what_is_published_ends_the_older_ones_of_its_key(tmp_path: Path) -> None:
    """Also those whose own end could not be noted; their bytes go after that is durable."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging, open_journal(staging.path) as journal:
        file = await staging.create_file()
        await file.write(0, [b"large"])
        old = await journal.append(make_generation("k", b"large"), file=file)
        await file.close()
        new = await commit(journal, "k", b"new")
        other = await commit(journal, "other", b"other")
        syncs = journal.sync_count
        await journal.end(new, '"e"')
        assert syncs + 1 == journal.sync_count
        assert [other] == list(journal.entries)
        await journal.end(old.number, "")  # nothing is left to do
    async with open_journal(staging.path) as journal:
        assert {"other": b"other"} == await read_all(journal)
        await journal.end(other, "")


async def test_what_was_durable_first_is_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file takes a while; what was committed meanwhile does not come behind it."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging, open_journal(staging.path) as journal:
        file = await staging.create_file()
        await file.write(0, [b"large"])
        sync = file.sync

        async def commit_meanwhile(_: object) -> None:
            await commit(journal, "k", b"small")
            await sync()

        monkeypatch.setattr(type(file), "sync", commit_meanwhile)
        await journal.append(make_generation("k", b"large"), file=file)
        await file.close()
        held = list(journal.entries.values())
        assert [b"small", b"large"] == [await read_back(journal, entry) for entry in held]
    async with open_journal(staging.path) as journal:
        held = list(journal.entries.values())
        assert [b"small", b"large"] == [await read_back(journal, entry) for entry in held]
        await journal.end(held[-1].number, '"e"')
        assert {} == journal.entries


async def test_nothing_is_deleted_before_what_it_led_to_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published need not be durable at once; the younger ones rely on it afterwards."""
    write, sync, unlink = os.pwritev, os.fdatasync, os.unlink
    unsynced: set[int] = set()
    removed: list[str] = []

    def note_write(fd: int, buffers: list[memoryview], offset: int) -> int:
        unsynced.add(fd)
        return write(fd, buffers, offset)

    def note_sync(fd: int) -> None:
        sync(fd)
        unsynced.discard(fd)

    def note_unlink(path: Path) -> None:
        if path.name.startswith("journal-"):
            removed.append(path.name)
            assert not unsynced
        unlink(path)

    monkeypatch.setattr(os, "pwritev", note_write)
    monkeypatch.setattr(os, "fdatasync", note_sync)
    monkeypatch.setattr(os, "unlink", note_unlink)
    async with open_journal(tmp_path) as journal:
        for number in range(8):
            old = await commit(journal, "k", b"x" * 6000)
            await commit(journal, f"young-{number}", b"x" * 6000)
            await journal.end(old, '"e"')
        for number in list(journal.entries):
            await journal.end(number, '"e"')
        assert removed


async def test_an_order_is_never_given_twice(tmp_path: Path) -> None:
    """What a heir commits is younger than what was renamed last."""
    async with open_journal(tmp_path) as journal:
        first = await commit(journal, "tmp", b"first")
        for _ in range(3):
            await journal.rename(first, "k", "")
    async with open_journal(tmp_path) as journal:
        second = await commit(journal, "k", b"second")
        assert journal.entries[second].order > journal.entries[first].order
        assert [first, second] == list(journal.entries)


def test_the_end_of_one_of_very_many_files_looks_at_its_own_key_only(tmp_path: Path) -> None:
    """100,000 files that wait for an outage to end would make it take hours."""
    segment = create_segment(tmp_path, 1)
    place = Place(segment=segment, data_start=0, data_bytes=0, data_checksum=0, record_bytes=0)
    state = JournalState()
    looked_at: list[str] = []

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            looked_at.append(self)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    for number in range(1, 1001):
        generation = make_generation(Key(f"key-{number}"), b"")
        state.apply(DirtyRecord(number=number, generation=generation, committed_ns=1), place)
    looked_at.clear()
    state.apply(RenameRecord(number=500, key="other"), place)
    state.apply(EndRecord(number=300, etag='"e"'), place)
    assert len(looked_at) < 10
    segment.close()
