from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.data import journal_writer
from mountfs.data.journal import open_journal
from mountfs.data.staging_directory import StagingConfig, open_staging
from tests.data.journal_content import commit, make_generation, read_all, read_back

if TYPE_CHECKING:
    from pathlib import Path


def find_segments(path: Path) -> list[Path]:
    """Return the segments in a folder, in their order."""
    return sorted(path.glob("journal-*"))


async def test_what_was_appended_is_there_after_a_crash(tmp_path: Path) -> None:
    """Content, key, headers and what the key held before come back as they were."""
    generation = make_generation("dir/ü\udcff\n", b"content", expected_etag='"old"')
    async with open_journal(tmp_path) as journal:
        written = await journal.append(generation, body=[b"con", memoryview(b"tent")])
    async with open_journal(tmp_path) as journal:
        (entry,) = journal.entries.values()
        assert generation == entry.record.generation
        assert written.record == entry.record
        assert b"content" == await read_back(journal, entry)


async def test_concurrent_closes_share_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while a sync runs is in the next one: N closes at once are two syncs, not N."""
    synced: list[int] = []
    real_sync = os.fdatasync

    def count(fd: int) -> None:
        synced.append(fd)
        real_sync(fd)

    monkeypatch.setattr(os, "fdatasync", count)
    async with open_journal(tmp_path) as journal:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(commit, journal, f"key-{number}", b"x" * number)
        assert len(synced) <= 2
        assert len(synced) == journal.sync_count
        assert {f"key-{n}": b"x" * n for n in range(50)} == await read_all(journal)
    async with open_journal(tmp_path) as journal:
        assert {f"key-{n}": b"x" * n for n in range(50)} == await read_all(journal)


async def test_what_was_renamed_replaced_and_ended_is_so_after_a_crash(tmp_path: Path) -> None:
    """A replay finds what the mount knew."""
    async with open_journal(tmp_path) as journal:
        temporary = await commit(journal, "tmp", b"1")
        target = await commit(journal, "final", b"2")
        published = await commit(journal, "published", b"3")
        younger = await commit(journal, "published", b"4")
        await journal.rename(temporary, "final", '"e"', replaces=(target,))
        await journal.end(published, '"new"')
        dropped = await commit(journal, "dropped", b"5")
        await journal.end(dropped, "")
    async with open_journal(tmp_path) as journal:
        assert {"final": b"1", "published": b"4"} == await read_all(journal)
        assert '"e"' == journal.entries[temporary].expected_etag
        # What the key holds now is the older one of ours, and no conflict.
        assert '"new"' == journal.entries[younger].expected_etag


async def test_a_generation_takes_the_place_of_older_ones_in_one_step(tmp_path: Path) -> None:
    """One record ends the old and begins the new."""
    async with open_journal(tmp_path) as journal:
        old = await commit(journal, "key", b"old")
        await journal.append(make_generation("key", b"new"), body=[b"new"], replaces=(old,))
        assert 1 == len(journal.entries)
    async with open_journal(tmp_path) as journal:
        assert {"key": b"new"} == await read_all(journal)


async def test_a_large_file_stays_in_its_staging_file(tmp_path: Path) -> None:
    """It is named by the record, read from there, and deleted when it was published."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging:
        async with open_journal(staging.path) as journal:
            file = await staging.create_file()
            await file.write(0, [b"large content"])
            generation = make_generation("key", b"large content")
            entry = await journal.append(generation, file=file)
            await file.close()
            assert b"large content" == await read_back(journal, entry)
        async with open_journal(staging.path) as journal:
            assert {"key": b"large content"} == await read_all(journal)
            await journal.end(entry.number, '"etag"')
        assert ["lock"] == os.listdir(staging.path)


async def test_a_staging_file_that_no_record_names_is_removed(tmp_path: Path) -> None:
    """The mount died between the two: nobody was told that the file is safe."""
    (tmp_path / "data-7").write_bytes(b"never acknowledged")
    async with open_journal(tmp_path):
        assert not (tmp_path / "data-7").exists()


async def test_numbers_are_never_used_twice(tmp_path: Path) -> None:
    """Also not after a crash."""
    async with open_journal(tmp_path) as journal:
        first = await commit(journal, "a", b"1")
    async with open_journal(tmp_path) as journal:
        assert first < await commit(journal, "b", b"2")
    async with open_journal(tmp_path) as journal:
        assert {"a": b"1", "b": b"2"} == await read_all(journal)


async def test_nothing_is_left_when_all_is_done(tmp_path: Path) -> None:
    """The segments go with their last record."""
    async with open_journal(tmp_path) as journal:
        for number in range(10):
            await journal.end(await commit(journal, str(number), b"x"), '"e"')
    assert [] == os.listdir(tmp_path)


async def test_space_is_given_back_while_one_file_cannot_be_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written again in a younger segment, renames included, and the old one goes."""
    monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(journal_writer, "IDLE_SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(journal_writer, "COMPACT_BYTES", 40_000)
    async with open_journal(tmp_path) as journal:
        stuck = await commit(journal, "tmp", b"stuck")
        await journal.rename(stuck, "stuck", '"e"')
        for number in range(200):
            await journal.end(await commit(journal, str(number), bytes(1000)), '"e"')
        assert journal.size_bytes < 70_000
        assert {"stuck": b"stuck"} == await read_all(journal)
    async with open_journal(tmp_path) as journal:
        assert {"stuck": b"stuck"} == await read_all(journal)
        assert '"e"' == journal.entries[stuck].expected_etag
        await journal.end(stuck, '"e"')
    assert [] == os.listdir(tmp_path)


async def test_damage_in_the_middle_is_reported_and_never_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What lies before it is replayed; the segment stays, whatever happens to its entries."""
    async with open_journal(tmp_path) as journal:
        for number in range(3):
            await commit(journal, str(number), bytes([65 + number]) * 100)
    (segment,) = find_segments(tmp_path)
    content = segment.read_bytes()
    damaged = content.replace(b"B" * 100, b"B" * 99 + b"X")
    segment.write_bytes(damaged)
    async with open_journal(tmp_path) as journal:
        assert {"0": b"A" * 100} == await read_all(journal)
        assert journal.is_damaged
        for number in list(journal.entries):
            await journal.end(number, '"e"')
    assert damaged == segment.read_bytes()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    start = content.index(b"A" * 100) + 100
    assert f"{segment}: the journal is damaged: bytes {start} to" in record.getMessage()


async def test_bytes_that_changed_on_disk_are_not_served(tmp_path: Path) -> None:
    """The checksum is looked at when they are read, too."""
    async with open_journal(tmp_path) as journal:
        number = await commit(journal, "key", b"content")
        (segment,) = find_segments(tmp_path)
        segment.write_bytes(segment.read_bytes().replace(b"content", b"CONTENT"))
        with pytest.raises(OSError, match="have changed since"):
            await read_back(journal, journal.entries[number])


async def test_who_reads_while_space_is_given_back_gets_the_right_bytes_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment stays open as long as somebody reads from it; afterwards nothing is read."""
    monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr(journal_writer, "IDLE_SEGMENT_BYTES", 2000)
    monkeypatch.setattr(journal_writer, "COMPACT_BYTES", 10_000)
    async with open_journal(tmp_path) as journal:
        kept = journal.entries[await commit(journal, "kept", b"kept" * 100)]
        gone = journal.entries[await commit(journal, "gone", b"gone" * 100)]
        await journal.end(gone.number, "")
        outcomes: set[bytes | int | None] = set()

        async def read_on() -> None:
            while True:
                assert b"kept" * 100 == await read_back(journal, kept)
                try:
                    outcomes.add(await read_back(journal, gone))
                except OSError as error:
                    outcomes.add(error.errno)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read_on)
            for number in range(40):
                await journal.end(await commit(journal, str(number), bytes(1000)), '"e"')
            nursery.cancel_scope.cancel()
        assert outcomes <= {b"gone" * 100, errno.ESTALE}
        with pytest.raises(OSError, match="in the bucket, or were dropped"):
            await read_back(journal, gone)


async def test_a_failed_sync_fails_all_that_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody trusts that file again: what comes later is in another one."""
    async with open_journal(tmp_path) as journal:
        await commit(journal, "a", b"a")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail_with_io_error)
            with pytest.raises(OSError, match="broken"):
                await commit(journal, "b", b"b")
        await commit(journal, "c", b"c")
        assert 2 == len(find_segments(tmp_path))
    async with open_journal(tmp_path) as journal:
        assert {"a": b"a", "c": b"c"} == await read_all(journal)


async def test_a_large_file_whose_record_fails_can_be_committed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its staging file loses its name and gets one again."""
    config = StagingConfig(directory=str(tmp_path / "cache"))
    async with open_staging(config, "source") as staging, open_journal(staging.path) as journal:
        file = await staging.create_file()
        await file.write(0, [b"content"])
        generation = make_generation("key", b"content")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail_with_io_error)
            with pytest.raises(OSError, match="broken"):
                await journal.append(generation, file=file)
        assert {} == journal.entries
        entry = await journal.append(generation, file=file)
        await file.close()
        assert b"content" == await read_back(journal, entry)
        await journal.end(entry.number, "")


async def test_cancelling_a_close_does_not_lose_track_of_it(tmp_path: Path) -> None:
    """It waits for the disk: what is on disk is known, and the other way round."""
    async with open_journal(tmp_path) as journal:
        with trio.CancelScope() as scope:
            scope.cancel()
            await journal.append(make_generation("key", b"x"), body=[b"x"])
        assert {"key": b"x"} == await read_all(journal)


def fail_with_io_error(fd: int) -> None:
    """Fail as a broken disk does."""
    raise OSError(errno.EIO, f"broken: {fd}")
