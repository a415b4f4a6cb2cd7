from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mountfs.attributes import Caller
from mountfs.errors import ObjectNotFoundError
from mountfs.store.fake import FakeStore
from mountfs.vfs.creators import MAX_THREADS, Creators
from tests.vfs.opened import ROOT, opening_vfs

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.vfs.assembly import Vfs

THREAD = 1 << 30
"""More than a thread number can be: it cannot be seen."""


def see_nothing(thread: int) -> None:
    """Answer as where `/proc` shows no other user's threads."""


def test_what_is_seen_counts_and_not_what_was_done_before() -> None:
    """A thread that replaces files is believed at once, one that does not never is."""
    seen = {1: True, 2: False}
    creators = Creators(seen.get)
    assert creators.may_believe(1, ROOT)
    assert creators.may_believe(1, ROOT)
    creators.note_missed(2, ROOT, b"a")
    creators.note_created(2, ROOT, b"a")
    assert not creators.may_believe(2, ROOT)


def test_a_create_gives_credit_for_one_look_up() -> None:
    """And only to the thread, in the directory, and after a look-up of the very name."""
    creators = Creators(see_nothing)
    creators.note_created(THREAD, ROOT, b"never looked up")
    assert not creators.may_believe(THREAD, ROOT)
    creators.note_missed(THREAD, ROOT, b"a")
    creators.note_created(THREAD, ROOT, b"b")
    assert not creators.may_believe(THREAD, ROOT)
    creators.note_missed(THREAD, ROOT, b"c")
    creators.note_created(THREAD, ROOT, b"c")
    assert not creators.may_believe(THREAD + 1, ROOT)
    assert not creators.may_believe(THREAD, ROOT + 1)
    assert creators.may_believe(THREAD, ROOT)
    assert not creators.may_believe(THREAD, ROOT)


def test_creating_the_same_name_twice_needs_two_look_ups() -> None:
    """One miss is worth one credit."""
    creators = Creators(see_nothing)
    creators.note_missed(THREAD, ROOT, b"a")
    creators.note_created(THREAD, ROOT, b"a")
    creators.note_created(THREAD, ROOT, b"a")
    assert creators.may_believe(THREAD, ROOT)
    assert not creators.may_believe(THREAD, ROOT)


def test_of_many_threads_the_oldest_are_forgotten() -> None:
    """A mount that lives for months sees millions of thread numbers."""
    creators = Creators(see_nothing)
    for thread in range(1, MAX_THREADS + 2):
        creators.note_missed(thread, ROOT, b"a")
        creators.note_created(thread, ROOT, b"a")
    assert not creators.may_believe(1, ROOT)
    assert creators.may_believe(2, ROOT)
    assert creators.may_believe(MAX_THREADS + 1, ROOT)


async def miss(vfs: Vfs, name: bytes, thread: int = THREAD) -> None:
    """Look *name* up as the kernel does, and find nothing."""
    try:
        entry = vfs.filesystem.lookup_if_ready(ROOT, name, thread)
        entry = entry or await vfs.filesystem.lookup(ROOT, name, thread)
    except (ObjectNotFoundError, FileNotFoundError):
        return
    raise AssertionError(f"{name!r} is there: {entry}")


async def create(vfs: Vfs, name: bytes, thread: int = THREAD) -> None:
    """Look *name* up and create it, as ``open(O_CREAT)`` does, and close it."""
    assert vfs.changes is not None
    await miss(vfs, name, thread)
    _, handle = await vfs.changes.create(
        ROOT, name, os.O_WRONLY, 0o644, 0o022, Caller(0, 0, thread)
    )
    await vfs.changes.flush(handle)
    vfs.changes.release_writer(handle)


async def test_who_creates_many_files_asks_once(tmp_path: Path) -> None:
    """One LIST tells that the first is not there; from then on each create pays for the next."""
    store = FakeStore()
    store.bucket.put("old", b"x")
    async with opening_vfs(store, tmp_path) as vfs:
        for number in range(20):
            await create(vfs, b"%d" % number)
        assert {"LIST": 1, "PUT": 20} == dict(store.requests)


async def test_who_polls_asks_each_time(tmp_path: Path) -> None:
    """Also right after having created something: a checkpoint of another host is found."""
    store = FakeStore()
    async with opening_vfs(store, tmp_path) as vfs:
        await create(vfs, b"mine")
        await miss(vfs, b"theirs")  # takes the credit
        before = store.requests["LIST"]
        await miss(vfs, b"theirs")
        assert before + 1 == store.requests["LIST"]
        store.bucket.put("theirs", b"x")
        entry = await vfs.filesystem.lookup(ROOT, b"theirs", THREAD)
        assert 1 == entry.attributes.size_bytes
        before = store.requests["LIST"]
        await miss(vfs, b"another", THREAD + 1)
        assert before + 1 == store.requests["LIST"]
