"""What is expected of a file because of the others in its directory."""

from __future__ import annotations

import trio
import trio.testing

from mountfs.data.config import MIB, ReadConfig
from mountfs.data.habits import MAX_DIRECTORIES, Habits
from mountfs.data.read_ahead import SMALL_FILE_BYTES
from mountfs.store.fake import FakeStore
from tests.data.test_reading import cache_on, content, read, reader_on

SIZE = 128 * MIB
READ_BYTES = MIB
MAX_READ_AHEAD_BYTES = ReadConfig().max_read_ahead_bytes
CONSUME_SECONDS = 0.001
"""What the reader does with each read."""


def read_whole(habits: Habits, key: str, size_bytes: int = SIZE) -> bool:
    """Begin to read, and do it to the end; return what was expected."""
    expected = habits.begin(key, size_bytes)
    habits.note_whole(key, size_bytes)
    return expected


def test_the_third_of_three_that_are_read_wholly_is_expected_to_be() -> None:
    """Two are needed for a habit."""
    habits = Habits()
    assert [read_whole(habits, f"shards/{number}") for number in range(4)] == [
        False,
        False,
        True,
        True,
    ]


def test_one_that_was_not_read_to_its_end_ends_the_habit() -> None:
    """What is fetched in vain is fetched in vain once."""
    habits = Habits()
    for number in range(10):
        read_whole(habits, f"shards/{number}")
    assert habits.begin("shards/some", SIZE)
    assert not habits.begin("shards/more", SIZE)


def test_every_other_file_makes_no_habit() -> None:
    """Whoever reads heads of files in between would fetch a window for each of them."""
    habits = Habits()
    for number in range(20):
        assert not read_whole(habits, f"shards/{number}")
        assert not habits.begin(f"shards/{number}.head", SIZE)


def test_readers_beside_one_another_form_one_habit() -> None:
    """Workers read several shards at a time; the first of each is read with caution."""
    habits = Habits()
    for number in range(4):
        assert not habits.begin(f"shards/{number}", SIZE)
    expected = []
    for number in range(4, 12):
        habits.note_whole(f"shards/{number - 4}", SIZE)
        expected.append(habits.begin(f"shards/{number}", SIZE))
    assert expected[2:] == [True] * 6


def test_directories_have_habits_of_their_own() -> None:
    """Checkpoints are not read as shards are, and the root is a directory, too."""
    habits = Habits()
    for number in range(4):
        read_whole(habits, f"data/shards/{number}")
        read_whole(habits, f"{number}")
    assert not habits.begin("data/0", SIZE)
    assert not habits.begin("data/shards/deep/0", SIZE)
    assert habits.begin("last", SIZE)


def test_small_files_are_not_counted() -> None:
    """They are one request, whatever is expected of them; their directories are many."""
    habits = Habits()
    for number in range(4):
        assert not read_whole(habits, f"images/{number}", SMALL_FILE_BYTES)
    assert not habits.begin("images/large", SIZE)


def test_directories_that_were_not_used_for_long_are_forgotten() -> None:
    """Memory stays bounded; a directory in use stays known, however long ago it was first seen."""
    habits = Habits()
    for number in range(2):
        read_whole(habits, f"old/{number}")
    for number in range(MAX_DIRECTORIES + 10):
        read_whole(habits, f"shards/{number}")
        read_whole(habits, f"{number}/shard")
    assert habits.begin("shards/last", SIZE)
    assert not habits.begin("old/last", SIZE)
    habits.note_whole("1/shard", SIZE)  # forgotten meanwhile
    assert len(habits._scores) <= MAX_DIRECTORIES


async def test_a_shard_that_is_expected_to_be_read_gets_the_whole_window_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Less waiting and fewer requests; a file of another directory begins with caution."""
    size = 24 * MIB
    body = content(size)
    store = FakeStore(latency_seconds=0.02)
    seconds: list[float] = []
    requests: list[int] = []
    async with cache_on(store, 512 * MIB) as cache:
        for inode, key in enumerate(["a/1", "a/2", "a/3", "b/1"], 2):
            reader = reader_on(cache, store, key, body, inode)
            began, before = autojump_clock.current_time(), cache.fill_count
            for start in range(0, size, READ_BYTES):
                stop = start + READ_BYTES
                assert await read(reader, start, stop) == body[start:stop]
                await trio.sleep(CONSUME_SECONDS)
            seconds.append(autojump_clock.current_time() - began)
            requests.append(cache.fill_count - before)
    waited = [round(each - size // READ_BYTES * CONSUME_SECONDS, 3) for each in seconds]
    assert waited[2] < waited[0] == waited[1] == waited[3]
    assert requests[2] < requests[0] == requests[1] == requests[3]


async def test_a_shard_that_is_opened_ahead_is_fetched_twice_as_far(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """While the one before it is read; but never farther than the memory allows."""
    size = 3 * MAX_READ_AHEAD_BYTES
    body = content(size)
    fetched: list[int] = []
    for limit in (16 * MAX_READ_AHEAD_BYTES, 2 * MAX_READ_AHEAD_BYTES):
        store = FakeStore(latency_seconds=0.02)
        async with cache_on(store, limit) as cache:
            for inode, key in enumerate(["a/1", "a/2"], 2):
                reader = reader_on(cache, store, key, body, inode)
                for start in range(0, size, READ_BYTES):
                    await read(reader, start, start + READ_BYTES)
                cache.drop_reader(inode)
            for inode, key in enumerate(["b/1", "a/3"], 4):
                reader, before = reader_on(cache, store, key, body, inode), cache.fetched_bytes
                for start in range(0, 32 * MIB, READ_BYTES):
                    await read(reader, start, start + READ_BYTES)
                await trio.sleep(1)
                fetched.append(cache.fetched_bytes - before - 32 * MIB)
                cache.drop_reader(inode)
    part = FakeStore().part_size_bytes
    assert MAX_READ_AHEAD_BYTES - part < fetched[0] <= MAX_READ_AHEAD_BYTES
    assert 2 * MAX_READ_AHEAD_BYTES - part < fetched[1] <= 2 * MAX_READ_AHEAD_BYTES
    assert max(fetched[2:]) <= 2 * MAX_READ_AHEAD_BYTES * 2 // 3


async def test_a_lone_read_at_the_start_costs_no_window() -> None:
    """In a second epoch the kernel asks for pages that it has dropped, here and there."""
    store = FakeStore()
    body = content(8 * MIB)
    async with cache_on(store, 512 * MIB) as cache:
        for number in range(4):
            reader = reader_on(cache, store, f"a/{number}", body, 2 + number)
            for start in range(0, len(body), READ_BYTES):
                await read(reader, start, start + READ_BYTES)
        reader = reader_on(cache, store, "a/again", body, 9)
        before = cache.fetched_bytes
        await read(reader, 0, 128 * 1024)
        await trio.testing.wait_all_tasks_blocked()
        assert cache.fetched_bytes - before <= 3 * MIB


async def test_files_of_which_head_and_tail_are_read_end_the_habit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was fetched for nothing counts as if it had not been."""
    store = FakeStore(latency_seconds=0.02)
    body = content(24 * MIB)
    fetched: list[int] = []
    async with cache_on(store, 512 * MIB) as cache:
        for number in range(8):
            before = cache.fetched_bytes
            reader = reader_on(cache, store, f"a/{number}", body, 2 + number)
            is_whole = number < 3
            for start in range(0, len(body) if is_whole else READ_BYTES, READ_BYTES):
                await read(reader, start, start + READ_BYTES)
            await read(reader, len(body) - 65536, len(body))
            await trio.sleep(0.5)
            cache.drop_reader(2 + number)
            fetched.append((cache.fetched_bytes - before) // MIB)
    assert fetched[:4] == [24] * 4  # once for nothing
    assert max(fetched[4:]) < 8


async def test_one_file_that_is_read_again_and_again_is_one_file() -> None:
    """Each rank reads the same; that says nothing of the next file."""
    store = FakeStore()
    body = content(12 * MIB)
    async with cache_on(store) as cache:
        reader = reader_on(cache, store, "a/model", body)
        for _ in range(8):
            for start in range(0, len(body), READ_BYTES):
                await read(reader, start, start + READ_BYTES)
        assert not cache.habits.begin("a/other", SIZE)


def test_a_directory_in_use_is_not_the_oldest() -> None:
    """It was seen first, and used again since."""
    habits = Habits()
    for _ in range(4):
        read_whole(habits, "shards/0")
    for number in range(MAX_DIRECTORIES - 1):
        habits.begin(f"{number}/shard", SIZE)
    read_whole(habits, "shards/1")
    habits.begin("more/shard", SIZE)
    assert habits.begin("shards/2", SIZE)
