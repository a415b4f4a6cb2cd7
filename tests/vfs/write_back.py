"""What the tests of ``--write-back`` share: saving again, answers that get lost, disks, kills."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from mountfs.data.budget import Budget
from mountfs.data.config import WriteConfig
from mountfs.data.journal import Journal
from mountfs.data.publisher import open_publisher
from mountfs.data.staged_bytes import StagedBytes
from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.data.upload_record import open_upload_record
from mountfs.store.fake import FakeStore, LostAnswer
from mountfs.vfs.recovery import recover
from tests.vfs.opened import ROOT
from tests.vfs.program import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mountfs.errors import StoreError
    from mountfs.store.fake import Fault, Request
    from tests.vfs.program import Program

WRITE_BACK = WriteConfig(write_back=True)
CAUTIOUS_WRITE_BACK = WriteConfig(write_back=True, conflict="fail")

LONG_SECONDS = 1000.0
"""Of virtual time; every upload that can succeed has done so by then."""

SLOW_WRITE_SECONDS = 5.0
"""Of virtual time; longer than a file that was closed waits for its upload."""


async def save_again(program: Program, name: bytes, content: bytes, parent: int = ROOT) -> None:
    """Do what a shell does for ``>``, on a file that exists."""
    handle = await program.open_to_write(name, parent, flags=os.O_WRONLY | os.O_TRUNC)
    try:
        await program.write(handle, 0, content)
    finally:
        await program.close(handle)


async def append(program: Program, name: bytes, data: bytes, *, size_bytes: int) -> None:
    """Do what a shell does for ``>>``, on a file of *size_bytes*."""
    handle = await program.open_to_write(name, flags=os.O_WRONLY | os.O_APPEND)
    try:
        await program.write(handle, size_bytes, data)
    finally:
        await program.close(handle)


def lose_first_answer(store: FakeStore, kind: str, error: StoreError) -> trio.Event:
    """Let *store* do the first request of *kind*, which ends in *error*; return an event for it."""
    is_lost = trio.Event()

    def watch(request: Request) -> Fault | None:
        if request.kind != kind or is_lost.is_set():
            return None
        is_lost.set()
        return LostAnswer(error)

    store.fault_for = watch
    return is_lost


@contextmanager
def failing_disk(code: int) -> Iterator[None]:
    """Let all writes to the staging directory fail in this block, with the errno *code*."""

    def refuse(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        raise OSError(code, os.strerror(code))

    with mock.patch.object(os, "pwritev", refuse):
        yield


@contextmanager
def full_journal(*names: str) -> Iterator[None]:
    """Let these methods of the journal fail in this block, as they do on a full disk."""

    async def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(Journal, name, refuse))
        yield


@contextmanager
def slow_disk(*, fast_writes: int = 0) -> Iterator[trio.Event]:
    """Let drafts reach the disk slowly in this block, after so many fast writes.

    Provides an event that is set when the first slow one begins.
    """
    is_writing = trio.Event()
    write = StagedBytes.write
    left = fast_writes

    async def write_slowly(staged: StagedBytes, chunks: Sequence[tuple[int, memoryview]]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            is_writing.set()
            await trio.sleep(SLOW_WRITE_SECONDS)
        await write(staged, chunks)

    with mock.patch.object(StagedBytes, "write", write_slowly):
        yield is_writing


@contextmanager
def slow_ends(seconds: float) -> Iterator[None]:
    """Let the journal take *seconds*, in this block, to note that something has ended."""
    end = Journal.end

    async def end_slowly(journal: Journal, number: int, etag: str) -> None:
        with trio.CancelScope(shield=True):  # as a sync of the disk is
            await trio.sleep(seconds)
        await end(journal, number, etag)

    with mock.patch.object(Journal, "end", end_slowly):
        yield


def killed(store: FakeStore, directory: Path, copy: Path) -> FakeStore:
    """Leave in *copy* what a mount leaves in *directory* that is killed now; return its store."""
    shutil.copytree(directory, copy)
    left = FakeStore()
    for key, content in contents(store).items():
        left.bucket.put(key, content)
    return left


async def recover_from(directory: Path, store: FakeStore) -> None:
    """Do what the next mount does before it is one, with the staging directory of a dead one."""
    async with open_staging(StagingConfig(directory=str(directory)), "fake") as staging:
        with open_upload_record(staging.path) as uploads:
            async with open_publisher(store, Budget(64 << 20), uploads) as publisher:
                await recover(staging, store, publisher, lambda report: None)
