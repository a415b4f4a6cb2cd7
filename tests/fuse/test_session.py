"""The session against a kernel that the test plays, over a socket pair."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.errors import AccessDeniedError, MountError, StoreUnavailableError
from mountfs.fuse import abi, session
from mountfs.fuse.abi import Opcode
from mountfs.fuse.device import SessionConfig
from mountfs.fuse.interrupt import is_interruption_wanted
from mountfs.fuse.session import Request, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FIRST_UNIQUE = 2


class Kernel:
    """The other end: sends requests, receives replies."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def send(self, opcode: int, unique: int, body: bytes = b"", *, inode: int = 1) -> None:
        """Send one request, as thread 0 of another pid namespace."""
        length = abi.IN_HEADER.size + len(body)
        header = abi.IN_HEADER.pack(length, opcode, unique, inode, 0, 0, 0, 0, 0)
        self.end.send(header + body)

    async def receive(self) -> tuple[int, int, bytes]:
        """Return unique, error and body of the next reply."""
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(self.end)
        message = self.end.recv(1 << 21)
        length, error, unique = abi.OUT_HEADER.unpack_from(message)
        assert length == len(message)
        return unique, error, message[abi.OUT_HEADER.size :]


class Handlers:
    """Handlers that a test gives."""

    def __init__(self, **handlers: Callable[[Request], object]) -> None:
        self.handlers = {Opcode[name.upper()]: handler for name, handler in handlers.items()}


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, handlers: Handlers, *, minor: int = 38
) -> AsyncIterator[Kernel]:
    """Serve *handlers* to a `Kernel` that has said INIT."""
    monkeypatch.setattr(session, "raise_read_ahead", lambda mountpoint: None)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        theirs.setblocking(False)
        kernel = Kernel(ours)
        served = Session(theirs.fileno(), SessionConfig(mountpoint="/nowhere", source="test"))
        kernel.send(Opcode.INIT, FIRST_UNIQUE, abi.INIT_IN.pack(7, minor, 131072, 0xFFFFFFFF))
        async with trio.open_nursery() as nursery:
            await nursery.start(served.serve, handlers)
            _, error, body = await kernel.receive()
            assert error == 0
            assert abi.INIT_OUT.unpack(body)[0] == abi.MAJOR
            yield kernel
            nursery.cancel_scope.cancel()


async def test_an_answer_from_memory_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One buffer or several make one reply."""
    handlers = Handlers(getattr=lambda _: b"one", read=lambda _: (b"tw", memoryview(b"o")))
    async with running(monkeypatch, handlers) as kernel:
        kernel.send(Opcode.GETATTR, 4)
        kernel.send(Opcode.READ, 6)
        assert await kernel.receive() == (4, 0, b"one")
        assert await kernel.receive() == (6, 0, b"two")


async def test_a_slow_request_does_not_hold_up_a_quick_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request that has to wait has a task of its own."""
    gate = trio.Event()

    async def wait() -> bytes:
        await gate.wait()
        return b"late"

    async with running(monkeypatch, Handlers(read=lambda _: wait(), getattr=lambda _: b"x")) as k:
        k.send(Opcode.READ, 4)
        k.send(Opcode.GETATTR, 6)
        assert await k.receive() == (6, 0, b"x")
        gate.set()
        assert await k.receive() == (4, 0, b"late")


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ESTALE, "old"), errno.ESTALE),
        (AccessDeniedError("no"), errno.EACCES),
        (StoreUnavailableError("down"), errno.EIO),
    ],
)
async def test_an_error_becomes_an_errno(
    monkeypatch: pytest.MonkeyPatch, error: Exception, number: int
) -> None:
    """From a handler that answers at once, and from one that waits."""

    def refuse(_: Request) -> bytes:
        raise error

    async def refuse_later() -> bytes:
        await trio.lowlevel.checkpoint()
        raise error

    async with running(monkeypatch, Handlers(open=refuse, read=lambda _: refuse_later())) as k:
        k.send(Opcode.OPEN, 4)
        assert await k.receive() == (4, -number, b"")
        k.send(Opcode.READ, 6)
        assert await k.receive() == (6, -number, b"")


async def test_a_bug_fails_one_request_and_not_the_mount(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is EIO to the application and an ERROR with a traceback in the log."""

    def stumble(_: Request) -> bytes:
        raise ZeroDivisionError

    async with running(monkeypatch, Handlers(open=stumble, getattr=lambda _: b"x")) as kernel:
        kernel.send(Opcode.OPEN, 4)
        assert await kernel.receive() == (4, -errno.EIO, b"")
        kernel.send(Opcode.GETATTR, 6)
        assert await kernel.receive() == (6, 0, b"x")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_what_is_not_known_is_not_implemented(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSYS makes the kernel do without."""
    async with running(monkeypatch, Handlers()) as kernel:
        kernel.send(4095, 4)
        assert await kernel.receive() == (4, -errno.ENOSYS, b"")


async def test_forget_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel expects no reply, and would refuse one."""
    seen: list[int] = []

    def forget(request: Request) -> bytes:
        seen.append(request.inode)
        return b""

    async with running(monkeypatch, Handlers(forget=forget, getattr=lambda _: b"x")) as kernel:
        kernel.send(Opcode.FORGET, 0, abi.FORGET_IN.pack(1), inode=77)
        kernel.send(Opcode.GETATTR, 4)
        assert await kernel.receive() == (4, 0, b"x")
        assert seen == [77]


async def test_a_deadly_signal_interrupts_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiting program gets EINTR and can end; other signals change nothing."""
    is_deadly = False

    async def hang() -> bytes:
        await trio.sleep_forever()

    monkeypatch.setattr(session, "is_interruption_wanted", lambda pid: is_deadly)
    handlers = Handlers(read=lambda _: hang(), getattr=lambda _: b"x")
    async with running(monkeypatch, handlers) as kernel:
        kernel.send(Opcode.READ, 4)
        await trio.testing.wait_all_tasks_blocked()
        kernel.send(Opcode.INTERRUPT, 5, abi.INTERRUPT_IN.pack(4))
        kernel.send(Opcode.GETATTR, 6)
        assert await kernel.receive() == (6, 0, b"x")
        is_deadly = True
        kernel.send(Opcode.INTERRUPT, 7, abi.INTERRUPT_IN.pack(4))
        assert await kernel.receive() == (4, -errno.EINTR, b"")
        # In one batch with its request.
        kernel.send(Opcode.READ, 8)
        kernel.send(Opcode.INTERRUPT, 9, abi.INTERRUPT_IN.pack(8))
        assert await kernel.receive() == (8, -errno.EINTR, b"")


async def test_an_old_kernel_is_refused_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is needed."""
    with pytest.raises(ExceptionGroup) as caught:
        async with running(monkeypatch, Handlers(), minor=23):
            pass
    assert caught.group_contains(MountError, match=r"7\.23.*Linux 5\.4")


def test_the_structures_have_the_kernels_sizes() -> None:
    """As ``linux/fuse.h`` of protocol 7.31 and later defines them."""
    sizes = {
        abi.IN_HEADER: 40,
        abi.OUT_HEADER: 16,
        abi.INIT_OUT: 64,
        abi.ENTRY_OUT: 128,
        abi.ATTR_OUT: 104,
        abi.OPEN_OUT: 16,
        abi.READ_IN: 40,
        abi.RELEASE_IN: 24,
        abi.STATFS_OUT: 80,
        abi.DIRENT: 24,
        abi.INVAL_ENTRY_OUT: 16,
        abi.CREATE_IN: 16,
        abi.WRITE_IN: 40,
        abi.WRITE_OUT: 8,
        abi.FLUSH_IN: 24,
        abi.FSYNC_IN: 16,
        abi.FALLOCATE_IN: 32,
        abi.SETATTR_IN: 88,
        abi.MKNOD_IN: 16,
        abi.MKDIR_IN: 8,
        abi.RENAME_IN: 8,
        abi.RENAME2_IN: 16,
        abi.SETXATTR_IN: 8,
        abi.GETXATTR_IN: 8,
        abi.GETXATTR_OUT: 8,
    }
    assert list(sizes.values()) == [struct.size for struct in sizes]


def test_a_process_with_a_pending_kill_is_to_be_interrupted() -> None:
    """A living thread without pending signals is not; one that is gone neither."""
    assert not is_interruption_wanted(os.getpid())
    assert not is_interruption_wanted(2**22 + 1)
