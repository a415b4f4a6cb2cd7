"""A mount of the fake store, served by a thread of this process: for what no test store can hold.

Never map a file of it: a page fault holds the interpreter's lock, which the answer needs.
"""

from __future__ import annotations

import contextlib
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import trio

from mountfs.data.block_cache import open_block_cache
from mountfs.data.config import ReadConfig, WriteConfig
from mountfs.data.publisher import open_publisher
from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.data.upload_record import open_upload_record
from mountfs.filesystem import FilesystemConfig
from mountfs.fuse.changes import ChangeOperations
from mountfs.fuse.device import SessionConfig, unmount_device
from mountfs.fuse.last_close import LastClose
from mountfs.fuse.operations import Operations
from mountfs.fuse.session import open_session
from mountfs.fuse.written_pages import WrittenPages
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace
from mountfs.vfs.assembly import open_vfs
from mountfs.vfs.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mountfs.store.fake import FakeStore

T = TypeVar("T")

START_SECONDS = 30.0
END_SECONDS = 30.0


class NoTexts:
    """An empty control directory."""

    def names(self) -> list[bytes]:
        """Return no names."""
        return []

    def read(self, name: bytes) -> bytes | None:
        """Find nothing."""
        return None


@dataclass(slots=True)
class FakeMount:
    """A mount of a `FakeStore`.

    Attributes:
        path: the mountpoint.
        store: what it shows.
        token: of the event loop that serves it.
        errors: what ended it, if anything did.
    """

    path: Path
    store: FakeStore
    token: trio.lowlevel.TrioToken | None = None
    errors: list[BaseException] = field(default_factory=list)

    def call(self, function: Callable[[], T]) -> T:
        """Run *function* in the serving thread, e.g. to change the store between two requests."""
        assert self.token is not None
        return trio.from_thread.run_sync(function, trio_token=self.token)


@contextlib.contextmanager
def mounting_fake(
    store: FakeStore,
    mountpoint: Path,
    *,
    metadata: MetadataConfig | None = None,
    read: ReadConfig | None = None,
    write: WriteConfig | None = None,
    is_read_only: bool = False,
    is_posix: bool = False,
) -> Iterator[FakeMount]:
    """Mount *store* at *mountpoint* while the block runs; drain it at the end.

    The staging directory of *write* is not used: there is one beside the mountpoint.
    """
    mountpoint.mkdir(exist_ok=True)
    mount = FakeMount(mountpoint, store)
    is_ready = threading.Event()

    async def serve() -> None:
        config = SessionConfig(mountpoint=str(mountpoint), source="fake", read_only=is_read_only)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            namespace = await enter(open_namespace(metadata or MetadataConfig(), store))
            limits = read or ReadConfig(memory_limit_bytes=256 << 20)
            blocks = await enter(open_block_cache(limits, store))
            staging = publisher = None
            if not is_read_only:
                directory = f"{mountpoint}.staging"
                staging = await enter(open_staging(StagingConfig(directory=directory), "fake"))
                uploads = stack.enter_context(open_upload_record(staging.path))
                publisher = await enter(open_publisher(store, blocks.budget, uploads))
                await recover(staging, store, publisher, lambda _: None)
            session = await enter(open_session(config))
            vfs = await enter(
                open_vfs(
                    FilesystemConfig(read_only=is_read_only, is_posix=is_posix),
                    write or WriteConfig(),
                    namespace,
                    blocks,
                    store,
                    staging,
                    publisher,
                    NoTexts(),
                    session.notifier,
                )
            )
            changes = None
            if vfs.changes is not None:
                pages = WrittenPages(session.notifier.drop_pages, vfs.changes.is_alone)
                changes = ChangeOperations(vfs.changes, LastClose(str(mountpoint)), pages)
            operations = Operations(vfs.filesystem, vfs.filesystem.reading, changes, vfs.details)
            mount.token = trio.lowlevel.current_trio_token()
            async with trio.open_nursery() as nursery:
                await nursery.start(session.serve, operations)
                is_ready.set()
            if vfs.dirty is not None:
                await vfs.dirty.drain()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            mount.errors.append(error)
        is_ready.set()

    thread = threading.Thread(target=run, name="fake mount")
    thread.start()
    try:
        assert is_ready.wait(START_SECONDS)
        if mount.errors:
            raise mount.errors[0]
        yield mount
    finally:
        if thread.is_alive():
            unmount_device(str(mountpoint), lazy=True)
        thread.join(END_SECONDS)
        assert not thread.is_alive()
    assert mount.errors == []
