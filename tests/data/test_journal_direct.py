"""Large batches of the journal, which do not pass through the page cache."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.data import direct_file, journal_segment
from mountfs.data.direct_file import ALIGNMENT_BYTES, open_direct
from mountfs.data.journal import open_journal
from mountfs.data.journal_record import DirtyRecord, EndRecord
from mountfs.data.journal_segment import DIRECT_BYTES, Addition, create_segment
from mountfs.data.staging_file import write_fully
from tests.data.journal_content import commit, make_generation, read_all
from tests.data.test_journal_crash import replay, write_batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mountfs.data.journal_record import Record
    from mountfs.data.journal_segment import Segment
    from mountfs.objects import Body

LARGE = os.urandom(3 * DIRECT_BYTES + 5)
HUGE = os.urandom(2 * direct_file.BUFFER_BYTES + 5)


@pytest.fixture(autouse=True)
def direct_writing(tmp_path: Path) -> None:
    """Skip where the file system does not know it; there it is not used."""
    probe = tmp_path / "probe"
    probe.touch()
    direct = open_direct(probe)
    probe.unlink()
    if direct is None:
        pytest.skip("this file system does not know O_DIRECT")
    direct.close()


async def test_small_and_large_batches_are_read_back_in_any_order(tmp_path: Path) -> None:
    """Also by the heir; every large batch ends with a block."""
    bodies = {
        f"{number}": body
        for number, body in enumerate((b"a", LARGE, b"b", b"", LARGE[1:], HUGE[::-1], LARGE, b"c"))
    }
    async with open_journal(tmp_path) as journal:
        for key, body in bodies.items():
            await commit(journal, key, body)
            is_aligned = journal.size_bytes % ALIGNMENT_BYTES == 0
            assert is_aligned or len(body) < DIRECT_BYTES
        assert bodies == await read_all(journal)
    async with open_journal(tmp_path) as journal:
        assert bodies == await read_all(journal)
        assert not journal.is_damaged


def test_no_block_with_older_bytes_in_it_is_written_past_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power in the middle of it could take what was acknowledged along."""
    written: list[int] = []

    def note(fd: int, body: Body, offset: int) -> int:
        written.append(offset)
        return write_fully(fd, body, offset)

    monkeypatch.setattr(direct_file, "write_fully", note)
    segment = create_segment(tmp_path, 1)
    for number, body in enumerate((b"small", LARGE, b"small", LARGE), 1):
        end = segment.size_bytes
        segment.append([make_addition(number, body)])
        assert all(offset >= end for offset in written)
        assert bool(written) == (body is LARGE)
        written.clear()
    segment.close()


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=8),
    cuts=st.sets(st.integers(0, 8)),
    places=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_a_cut_anywhere_gives_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    cuts: set[int],
    places: list[float],
) -> None:
    """Whether a batch went past the cache or through it."""
    records: list[tuple[Record, bytes]] = []
    for number, size in enumerate(sizes, 1):
        body = bytes([number]) * size
        generation = make_generation(f"{number}", body)
        records.append((DirtyRecord(number=number, generation=generation, committed_ns=1), body))
    folder = tmp_path_factory.mktemp("journal")
    with mock.patch.object(journal_segment, "DIRECT_BYTES", 5000):
        segment, content, stops, _ = write_batches(folder, records, cuts)
    for place in places:
        size = round(place * len(content))
        held, count, is_damaged = replay(segment, content[:size])
        assert sum(stop <= size for stop in stops) == count
        assert {n + 1: (f"{n + 1}", records[n][1]) for n in range(count)} == held
        assert not is_damaged


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.EOPNOTSUPP])
@pytest.mark.parametrize("fails", ["open", "write"])
async def test_where_it_is_not_known_the_cache_takes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, reason: int
) -> None:
    """Some file systems refuse the flag, others the first write."""

    def refuse(*args: Any, **rest: Any) -> int:
        raise OSError(reason, os.strerror(reason))

    real_open, is_direct = os.open, os.O_DIRECT

    def open_without(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        return refuse() if flags & is_direct else real_open(path, flags, *rest, **more)

    if fails == "open":
        monkeypatch.setattr(os, "open", open_without)
    else:
        monkeypatch.setattr(direct_file, "write_fully", refuse)
    bodies = {"a": LARGE, "b": b"b", "c": HUGE}
    async with open_journal(tmp_path) as journal:
        for key, body in bodies.items():
            await commit(journal, key, body)
        assert bodies == await read_all(journal)
    monkeypatch.undo()
    async with open_journal(tmp_path) as journal:
        assert bodies == await read_all(journal)


async def test_a_full_disk_fails_the_large_file_and_not_the_small_one_of_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written of it is cut off again."""

    def write(fd: int, body: Body, offset: int) -> int:
        write_fully(fd, body, offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    segment = create_segment(tmp_path, 1)
    segment.append([make_addition(1, b"before")])
    monkeypatch.setattr(direct_file, "write_fully", write)
    batch = [make_addition(2, LARGE), make_addition(3, b"small")]
    segment.append(batch)
    monkeypatch.undo()
    segment.append([make_addition(4, LARGE)])
    assert [errno.ENOSPC, None] == [item.error and item.error.errno for item in batch]
    held, _, is_damaged = replay(segment, segment.path.read_bytes())
    segment.close()
    assert {1: b"before", 3: b"small", 4: LARGE} == {n: body for n, (_, body) in held.items()}
    assert not is_damaged


def begin(folder: Path) -> tuple[Segment, int]:
    """Write a file and a note that is not synced; return the segment and where the note begins."""
    segment = create_segment(folder, 1)
    segment.append([make_addition(1, LARGE)])
    acknowledged = segment.size_bytes
    note = EndRecord(number=1, etag='"e"', key="1", order=1)
    segment.append([Addition(record=note, needs_sync=False)])
    return segment, acknowledged


def test_a_note_that_a_loss_of_power_took_is_no_damage(tmp_path: Path) -> None:
    """Blocks behind it went past the cache and may be there; nobody was told of them either."""
    segment, acknowledged = begin(tmp_path)
    first_block = -(-segment.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    segment.append([make_addition(2, LARGE), make_addition(3, LARGE)])
    content = bytearray(segment.path.read_bytes())
    segment.close()
    content[acknowledged:first_block] = bytes(first_block - acknowledged)
    assert replay(segment, bytes(content)) == ({1: ("1", LARGE)}, 1, False)


def test_what_was_acknowledged_and_is_gone_is_damage(tmp_path: Path) -> None:
    """Whatever was written behind it, synced or not, knows that it was durable."""
    segment, acknowledged = begin(tmp_path)
    content = bytearray(segment.path.read_bytes())
    segment.close()
    content[acknowledged - ALIGNMENT_BYTES : acknowledged] = bytes(ALIGNMENT_BYTES)
    assert replay(segment, bytes(content)) == ({}, 0, True)


def test_an_error_of_closing_the_second_way_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system tells of failed writes there; the sync has told of them before."""
    segment = create_segment(tmp_path, 1)
    segment.append([make_addition(1, LARGE)])
    closed: list[int] = []

    def close(fd: int) -> None:
        closed.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        segment.seal()
        segment.seal()
    assert 1 == len(closed)
    os.close(closed[0])
    segment.close()


def test_a_segment_that_cannot_be_created_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, and no descriptor."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(journal_segment, "sync_directory", fail)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Input/output"):
        create_segment(tmp_path, 1)
    assert [] == list(tmp_path.iterdir())
    assert len(before) == len(os.listdir("/proc/self/fd"))


def make_addition(number: int, *body: bytes) -> Addition:
    """Return a file for the journal."""
    pieces: Sequence[bytes] = body
    generation = make_generation(f"{number}", b"".join(pieces))
    record = DirtyRecord(number=number, generation=generation, committed_ns=1)
    return Addition(record=record, body=pieces)
