"""A mount of the fake store, served by a thread of this process: for what no test store can hold.

Never map a file of it: a page fault holds the interpreter's lock, which the answer needs.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import trio

from mountfs.data.block_cache import open_block_cache
from mountfs.data.config import ReadConfig
from mountfs.filesystem import Filesystem, FilesystemConfig
from mountfs.fuse.device import SessionConfig, unmount_device
from mountfs.fuse.operations import Operations
from mountfs.fuse.session import open_session
from mountfs.meta.config import MetadataConfig
from mountfs.meta.namespace import open_namespace

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
    is_read_only: bool = False,
) -> Iterator[FakeMount]:
    """Mount *store* at *mountpoint* while the block runs."""
    mountpoint.mkdir(exist_ok=True)
    mount = FakeMount(mountpoint, store)
    is_ready = threading.Event()

    async def serve() -> None:
        config = SessionConfig(mountpoint=str(mountpoint), source="fake", read_only=is_read_only)
        async with (
            open_namespace(metadata or MetadataConfig(), store) as namespace,
            open_block_cache(read or ReadConfig(memory_limit_bytes=256 << 20), store) as blocks,
            open_session(config) as session,
        ):
            filesystem = Filesystem(
                FilesystemConfig(read_only=is_read_only), namespace, blocks, NoTexts(), session
            )
            mount.token = trio.lowlevel.current_trio_token()
            async with trio.open_nursery() as nursery:
                await nursery.start(session.serve, Operations(filesystem))
                is_ready.set()

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
