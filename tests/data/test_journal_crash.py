from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.data import journal_record
from mountfs.data.journal import open_journal
from mountfs.data.journal_read_back import parse_segment
from mountfs.data.journal_record import DirtyRecord, EndRecord, RenameRecord
from mountfs.data.journal_segment import Addition, create_segment
from mountfs.data.journal_state import JournalState, Place
from mountfs.data.staging_directory import StagingConfig, open_staging
from tests.data.journal_content import commit, make_generation, read_all

if TYPE_CHECKING:
    from mountfs.data.journal_record import Record
    from mountfs.data.journal_segment import Segment

REPOSITORY = Path(__file__).resolve().parents[2]

KEYS = ("a", "b", "c")

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(KEYS), st.binary(max_size=40)),
        st.tuples(st.just("rename"), st.integers(1, 12), st.sampled_from(KEYS)),
        st.tuples(st.just("end"), st.integers(1, 12), st.sampled_from(("", '"e"'))),
    ),
    max_size=12,
)


def make_records(operations: list[tuple[str, object, object]]) -> list[tuple[Record, bytes]]:
    """Return the records of *operations*, with their data."""
    records: list[tuple[Record, bytes]] = []
    number = 0
    for order, operation in enumerate(operations, 1):
        match operation:
            case ("commit", str(key), bytes(body)):
                number += 1
                generation = make_generation(key, body)
                record = DirtyRecord(
                    number=number, generation=generation, committed_ns=1, order=order
                )
                records.append((record, body))
            case ("rename", int(target), str(key)):
                records.append((RenameRecord(number=target, key=key, order=order), b""))
            case ("end", int(target), str(etag)):
                records.append((EndRecord(number=target, etag=etag), b""))
    return records


def replay(segment: Segment, content: bytes) -> tuple[dict[int, tuple[str, bytes]], int, bool]:
    """Return what a journal with *content* holds, how many records, and whether it is damaged."""
    parsed = parse_segment(memoryview(content), segment.path.name)
    state = JournalState()
    for found in parsed.records:
        place = Place(
            segment=segment,
            data_start=found.data_start,
            data_bytes=found.data_bytes,
            data_checksum=found.data_checksum,
            record_bytes=found.stop - found.start,
        )
        state.apply(found.record, place)
    state.sort()
    held = {
        entry.number: (entry.key, content[entry.place.data_start :][: entry.place.data_bytes])
        for entry in state.entries.values()
    }
    return held, len(parsed.records), parsed.unreadable is not None


def model(records: list[tuple[Record, bytes]]) -> dict[int, tuple[str, bytes]]:
    """Return what is pending after *records*, by number, in the order in which it is published."""
    held: dict[int, tuple[str, bytes]] = {}
    for record, body in records:
        match record:
            case DirtyRecord():
                held[record.number] = (record.generation.key, body)
            case RenameRecord() if record.number in held:
                _, body = held.pop(record.number)
                held[record.number] = (record.key, body)
            case EndRecord() if record.number in held:
                key, _ = held[record.number]
                older = list(held)[: list(held).index(record.number)]
                superseded = [other for other in older if record.etag and held[other][0] == key]
                for ended in (*superseded, record.number):
                    del held[ended]
    return held


def write_batches(
    folder: Path, records: list[tuple[Record, bytes]], cuts: set[int]
) -> tuple[Segment, bytes, list[int], list[int]]:
    """Write *records*; return the segment, its bytes, and where records and batches end."""
    segment = create_segment(folder, 1)
    segment.live.add(0)
    batch: list[Addition] = []
    stops: list[int] = []
    batch_stops: list[int] = []
    for index, (record, body) in enumerate(records):
        batch.append(Addition(record=record, body=[body]))
        if index in cuts or index == len(records) - 1:
            segment.append(batch)
            stops += [item.data_start + item.data_bytes for item in batch]
            batch_stops.append(segment.size_bytes)
            batch = []
    content = segment.path.read_bytes()
    segment.close()
    segment.path.unlink()
    return segment, content, stops, batch_stops


@settings(deadline=None, max_examples=30)
@given(operations=OPERATIONS, cuts=st.sets(st.integers(0, 12)))
def test_a_journal_that_is_cut_anywhere_gives_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, object, object]],
    cuts: set[int],
) -> None:
    """At every byte: all records before the cut count, nothing else does, nothing is damaged."""
    records = make_records(operations)
    folder = tmp_path_factory.mktemp("journal")
    segment, content, stops, _ = write_batches(folder, records, cuts)
    expected = [model(records[:count]) for count in range(len(records) + 1)]
    for size in range(len(content) + 1):
        held, count, is_damaged = replay(segment, content[:size])
        assert sum(stop <= size for stop in stops) == count
        assert list(expected[count].items()) == list(held.items())
        assert not is_damaged


@settings(deadline=None, max_examples=80)
@given(
    operations=OPERATIONS,
    cuts=st.sets(st.integers(0, 12)),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_a_damaged_byte_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, object, object]],
    cuts: set[int],
    place: float,
    flip: int,
) -> None:
    """The replay stops before it, and calls it damage exactly if a later batch was begun."""
    records = make_records(operations)
    if not records:
        return
    folder = tmp_path_factory.mktemp("journal")
    segment, content, stops, batch_stops = write_batches(folder, records, cuts)
    offset = int(place * len(content))
    damaged = bytearray(content)
    damaged[offset] ^= flip
    held, count, is_damaged = replay(segment, bytes(damaged))
    assert sum(stop <= offset for stop in stops) == count
    assert list(model(records[:count]).items()) == list(held.items())
    assert (offset < (batch_stops[-2] if len(batch_stops) > 1 else 0)) == is_damaged


async def test_a_journal_of_a_later_version_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so; nothing of it is deleted."""
    async with open_journal(tmp_path) as journal:
        await commit(journal, "a", b"a")
        monkeypatch.setattr(journal_record, "_describe", lambda record: {"type": "magic"})
        await commit(journal, "b", b"b")
    monkeypatch.undo()
    before = read_files(tmp_path)
    with pytest.raises(OSError, match="unknown type 'magic'"):
        async with open_journal(tmp_path):
            raise AssertionError("it cannot be understood")
    assert before == read_files(tmp_path)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files in *folder*."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


COMMITTER = """
import sys, trio
from pathlib import Path
from mountfs.data.journal import open_journal
from mountfs.data.staging_directory import StagingConfig, open_staging
from tests.data.journal_content import make_generation

def body_of(key):
    return (key + ":").encode() * (len(key) * 991 % 4000)

async def write(journal, staging, writer):
    number = 0
    while True:
        key = f"{writer}-{number}"
        body = body_of(key)
        if number % 5 == 4:
            file = await staging.create_file()
            await file.write(0, [body])
            entry = await journal.append(make_generation(key, body), file=file)
            await file.close()
        else:
            entry = await journal.append(make_generation("tmp-" + key, body), body=[body])
            await journal.rename(entry.number, key)
        if number % 3 == 2:
            print("ending", key, flush=True)
            await journal.end(entry.number, "")
            print("ended", key, flush=True)
        else:
            print("safe", key, flush=True)
        number += 1

async def main():
    config = StagingConfig(directory=sys.argv[1])
    async with open_staging(config, "source") as staging:
        async with open_journal(staging.path) as journal, trio.open_nursery() as nursery:
            for writer in range(4):
                nursery.start_soon(write, journal, staging, writer)

trio.run(main)
"""


def body_of(key: str) -> bytes:
    """Return what the committing program puts into the file *key*."""
    return (key + ":").encode() * (len(key) * 991 % 4000)


def commit_until_killed(directory: str, lines: int) -> list[str]:
    """Run the committing program, kill it when it has said so many lines; return all it said."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMITTER, directory],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        return told + process.stdout.readlines()


@pytest.mark.parametrize("lines", [1, 20, 75, 150])
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, lines: int) -> None:
    """A process that commits in a loop is killed at some point; a heir finds all it was told of."""
    directory = str(tmp_path / "cache")
    told = commit_until_killed(directory, lines)
    words = [line.split() for line in told if line.endswith("\n")]
    safe = {key for verb, key in words if verb == "safe"}
    unsure = {key for verb, key in words if verb == "ending"}
    ended = {key for verb, key in words if verb == "ended"}
    async with open_staging(StagingConfig(directory=directory), "source") as staging:
        (folder,) = staging.dead_folders
        async with open_journal(folder.path) as journal:
            held = await read_all(journal)
            whole = {key: body for key, body in held.items() if not key.startswith("tmp-")}
            assert {key: body_of(key) for key in whole} == whole
            assert safe <= set(whole)
            assert not ended & set(whole)
            # At most one file of each writer was neither safe nor ended.
            assert len(set(held) - safe) <= 4
            assert unsure >= ended
