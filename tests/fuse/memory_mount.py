"""A real mount of `MemoryFiles`, served by a thread of this process.

Never map a file of it in this process: a page fault holds the interpreter's lock, which the answer
needs.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, cast

import trio

from mountfs.fuse.changes import ChangeOperations
from mountfs.fuse.device import SessionConfig, unmount_device
from mountfs.fuse.last_close import LastClose
from mountfs.fuse.operations import Operations
from mountfs.fuse.session import open_session
from mountfs.fuse.written_pages import WrittenPages
from tests.fuse.memory_files import MemoryFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mountfs.filesystem import Filesystem
    from mountfs.fuse.session import Request
    from mountfs.vfs.reading import Reading

WAIT_SECONDS = 30.0


class MemoryMount:
    """A mounted `MemoryFiles`.

    Attributes:
        path: the mountpoint.
        files: what is mounted.
    """

    def __init__(self, path: Path, files: MemoryFiles) -> None:
        self.path = path
        self.files = files
        self._handlers: dict[int, Callable[[Request], object]] = {}

    def settle(self) -> None:
        """Wait until no file is open to be written: the kernel releases a moment after a close."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.files.handles:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def handle_with(self, operations: Operations) -> None:
        """Note who answers the requests."""
        self._handlers = cast("dict[int, Callable[[Request], object]]", operations.handlers)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[int]]:
        """Give the opcodes of the requests that are answered while the block runs."""
        opcodes: list[int] = []
        originals = dict(self._handlers)

        def record(opcode: int) -> Callable[[Request], object]:
            def handle(request: Request) -> object:
                opcodes.append(opcode)
                return originals[opcode](request)

            return handle

        self._handlers.update({opcode: record(opcode) for opcode in originals})
        try:
            yield opcodes
        finally:
            self._handlers.update(originals)

    @property
    def published(self) -> list[tuple[str, bytes]]:
        """What was published, once all files are closed; nothing may have been left for later."""
        self.settle()
        assert self.files.late == []
        return self.files.published


@contextlib.contextmanager
def mounting_memory(
    mountpoint: Path, *, seconds: float = 60.0, allow_other: bool = False
) -> Iterator[MemoryMount]:
    """Mount a new `MemoryFiles` at *mountpoint* while the block runs."""
    mountpoint.mkdir(exist_ok=True)
    files = MemoryFiles(seconds=seconds)
    mount = MemoryMount(mountpoint, files)
    is_ready = threading.Event()
    errors: list[BaseException] = []

    async def serve() -> None:
        config = SessionConfig(mountpoint=str(mountpoint), source="mem", allow_other=allow_other)
        async with open_session(config) as session, trio.open_nursery() as nursery:
            pages = WrittenPages(session.notifier.drop_pages, files.is_alone)
            changes = ChangeOperations(files, LastClose(str(mountpoint)), pages)
            reads = cast("Filesystem", files), cast("Reading", files)
            operations = Operations(*reads, changes, files)
            mount.handle_with(operations)
            await nursery.start(session.serve, operations)
            is_ready.set()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            errors.append(error)
        is_ready.set()

    thread = threading.Thread(target=run, name="memory mount")
    thread.start()
    try:
        assert is_ready.wait(WAIT_SECONDS)
        if errors:
            raise errors[0]
        yield mount
    finally:
        if thread.is_alive():
            unmount_device(str(mountpoint), lazy=True)
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    assert errors == []
