"""The conversation with the kernel: reads requests, lets `Operations` answer them, writes replies.

Why not a binding of libfuse: pyfuse3 hands no inode number to ``read`` (only the file handle,
which is 0 for every file once ``open`` was answered with ENOSYS), so the no-open mode cannot be
had with it; it also waits once for each request, cannot be interrupted, offers no
``FOPEN_NOFLUSH`` and needs a compiler to install.

Concurrency: one trio task reads the device. A request that can be answered from memory is answered
before the next one is read, without a task; the others get a task each. A handler must take what
it needs out of the request before it returns, since the buffer is used again.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from mountfs.errors import MountError, MountfsError
from mountfs.fuse import abi
from mountfs.fuse.abi import InitFlag, Opcode
from mountfs.fuse.device import SessionConfig, mount_device, unmount_device
from mountfs.fuse.errno_map import errno_of
from mountfs.fuse.interrupt import is_interruption_wanted
from mountfs.fuse.kernel import raise_read_ahead
from mountfs.fuse.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Body = bytes | tuple[memoryview, ...]
    Handlers = Mapping[int, Callable[["Request"], "Body | Awaitable[Body]"]]

log = logging.getLogger(__name__)

MAX_PAGES = 256
"""The largest request, in pages: 1 MiB, the kernel's default limit
(``fs.fuse.max_pages_limit``)."""
MAX_WRITE_BYTES = MAX_PAGES * 4096
BUFFER_BYTES = MAX_WRITE_BYTES + 4096
"""The kernel wants room for the largest write and its headers."""
MAX_BACKGROUND = 256
"""Read-ahead requests in flight; the kernel's default of 12 starves parallel readers."""
BATCH_REQUESTS = 64
"""Requests answered before other tasks get their turn; fills and time-outs need it too."""
MAX_READ_AHEAD_BYTES = 16 * 1024 * 1024
"""The kernel takes the smaller of this and what the device is set to."""

WANTED_FLAGS = (
    InitFlag.ASYNC_READ
    | InitFlag.ATOMIC_O_TRUNC
    | InitFlag.BIG_WRITES
    | InitFlag.DO_READDIRPLUS
    | InitFlag.ASYNC_DIO
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.MAX_PAGES
    | InitFlag.CACHE_SYMLINKS
    | InitFlag.HANDLE_KILLPRIV_V2
)
"""``HANDLE_KILLPRIV_V2``: without it the kernel asks for ``security.capability`` ahead of every
single write. ``DONT_MASK`` is not among them: the kernel applies the umask."""

_NO_REPLY = frozenset((Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT))


class Request:
    """One request of the kernel.

    Attributes:
        unique: its number, to be repeated in the reply.
        inode: the inode that it is about.
        uid, gid, pid: of the thread that asks (pid is 0 when it lives in another namespace).
        body: the arguments; valid until the handler returns.
    """

    __slots__ = ("body", "gid", "inode", "pid", "uid", "unique")

    def __init__(
        self, unique: int, inode: int, uid: int, gid: int, pid: int, body: memoryview
    ) -> None:
        self.unique = unique
        self.inode = inode
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.body = body


class RequestHandlers(Protocol):
    """What a session needs of the code that answers: a handler for each opcode.

    A handler returns the reply's body (one buffer or a tuple of them), or an awaitable of it; it
    raises `OSError` or `MountfsError` to refuse.
    """

    @property
    def handlers(self) -> Handlers:
        """The handlers, by opcode."""
        ...


class Session:
    """A mounted FUSE device.

    Attributes:
        request_count: requests of the kernel so far.
        notifier: tells the kernel what it did not ask.
    """

    def __init__(self, device: int, config: SessionConfig) -> None:
        self.request_count = 0
        self._device = device
        self._config = config
        self._running: dict[int, tuple[int, trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None
        self._is_mounted = True
        self.notifier = Notifier(device)

    async def serve(
        self,
        operations: RequestHandlers,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer the kernel until the file system is unmounted.

        Reports started when the kernel's first request, INIT, has been answered.

        Raises:
            MountError: the kernel is too old.

        Cancellation: requests in flight are given up; the caller unmounts then.
        """
        buffer = bytearray(BUFFER_BYTES)
        await self._answer_init(buffer)
        raise_read_ahead(self._config.mountpoint)
        task_status.started()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while await self._answer_batch(operations.handlers, buffer):
                pass
            self._is_mounted = False
            nursery.cancel_scope.cancel()

    def unmount(self, *, lazy: bool) -> None:
        """Ask the kernel to unmount, upon which `serve` returns; blocks, so call it in a thread.

        Raises:
            BusyError: somebody uses the mount.
            MountError: the mount cannot be unmounted.
        """
        if self._is_mounted:
            unmount_device(self._config.mountpoint, lazy=lazy)
            # Detached lazily it may live on, but what is on the path now is not ours to unmount.
            self._is_mounted = False

    def disconnect(self) -> None:
        """Make the kernel answer whoever still uses the mount (ENOTCONN); `serve` must be over.

        Otherwise they would wait for as long as this process lives.
        """
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        # The number stays taken, so a notification that comes late writes into nothing.
        os.dup2(null, self._device, inheritable=False)
        os.close(null)

    async def _answer_init(self, buffer: bytearray) -> None:
        await trio.lowlevel.wait_readable(self._device)
        try:
            os.readv(self._device, [buffer])
        except OSError as error:
            raise MountError(f"the kernel sent no INIT: {error.strerror}") from error
        header = abi.IN_HEADER.unpack_from(buffer)
        if header[1] != Opcode.INIT:
            raise MountError(f"the kernel began with request {header[1]} instead of INIT")
        _, minor, read_ahead, flags = abi.INIT_IN.unpack_from(buffer, abi.IN_HEADER.size)
        if minor < abi.MIN_MINOR:
            self._reply(header[2], -errno.EPROTO, ())
            raise MountError(
                f"the kernel speaks FUSE 7.{minor}; mountfs needs 7.{abi.MIN_MINOR} (Linux 5.4)"
            )
        answer = abi.INIT_OUT.pack(
            abi.MAJOR,
            min(minor, abi.MINOR),
            max(read_ahead, MAX_READ_AHEAD_BYTES),
            flags & WANTED_FLAGS,
            MAX_BACKGROUND,
            MAX_BACKGROUND * 3 // 4,
            MAX_WRITE_BYTES,
            1,
            MAX_PAGES,
            *([0] * 9),
        )
        self._reply(header[2], 0, (answer,))

    async def _answer_batch(self, handlers: Handlers, buffer: bytearray) -> bool:
        """Answer what the kernel has queued; return False when the file system is unmounted."""
        await trio.lowlevel.wait_readable(self._device)
        view = memoryview(buffer)
        for _ in range(BATCH_REQUESTS):
            try:
                length = os.readv(self._device, [buffer])
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return False
                if error.errno in {errno.EINTR, errno.ENOENT}:  # ENOENT: the asking process died
                    continue
                raise
            self.request_count += 1
            self._answer(handlers, view[:length])
        return True

    def _answer(self, handlers: Handlers, message: memoryview) -> None:
        _, opcode, unique, inode, uid, gid, pid, _, _ = abi.IN_HEADER.unpack_from(message)
        if opcode in _NO_REPLY:
            self._take_note(handlers, opcode, Request(unique, inode, uid, gid, pid, message[40:]))
            return
        handler = handlers.get(opcode)
        if handler is None:
            self._reply(unique, -errno.ENOSYS, ())
            return
        try:
            reply = handler(Request(unique, inode, uid, gid, pid, message[40:]))
        except Exception as error:
            self._refuse(unique, opcode, error)
            return
        if isinstance(reply, bytes):
            self._reply(unique, 0, (reply,))
        elif isinstance(reply, tuple):
            self._reply(unique, 0, reply)
        else:
            assert self._nursery is not None
            # Before the task runs: INTERRUPT may be the next request of this batch.
            scope = trio.CancelScope()
            self._running[unique] = (pid, scope)
            self._nursery.start_soon(self._answer_later, unique, opcode, scope, reply)

    def _take_note(self, handlers: Handlers, opcode: int, request: Request) -> None:
        if opcode == Opcode.INTERRUPT:
            (target,) = abi.INTERRUPT_IN.unpack_from(request.body)
            running = self._running.get(target)
            if running is not None and is_interruption_wanted(running[0]):
                running[1].cancel()
        elif opcode in handlers:
            try:
                handlers[opcode](request)
            except Exception:  # nobody waits for an answer, and the mount must live on
                log.exception("%s failed", Opcode(opcode).name)

    async def _answer_later(
        self,
        unique: int,
        opcode: int,
        scope: trio.CancelScope,
        awaitable: Awaitable[Body],
    ) -> None:
        with scope:
            try:
                reply = await awaitable
            except Exception as error:
                self._refuse(unique, opcode, error)
            else:
                self._reply(unique, 0, reply if isinstance(reply, tuple) else (reply,))
                return
            finally:
                del self._running[unique]
        if scope.cancelled_caught:
            self._reply(unique, -errno.EINTR, ())

    def _refuse(self, unique: int, opcode: int, error: Exception) -> None:
        number = errno_of(error)
        if not isinstance(error, (OSError, MountfsError)):
            # A bug of ours: the one request fails, the mount lives on.
            log.error("%s failed", Opcode(opcode).name, exc_info=error)
        elif number == errno.EIO:
            log.warning("%s failed: %s", Opcode(opcode).name, error)
        self._reply(unique, -number, ())

    def _reply(self, unique: int, error: int, buffers: tuple[bytes | memoryview, ...]) -> None:
        length = 16
        for buffer in buffers:
            length += len(buffer)
        try:
            os.writev(self._device, (abi.OUT_HEADER.pack(length, error, unique), *buffers))
        except OSError as reason:
            # ENOENT: the request was given up meanwhile. ENODEV: unmounted. Nobody is left to tell.
            if reason.errno not in {errno.ENOENT, errno.ENODEV}:
                log.error("the kernel refused the reply to request %d: %s", unique, reason)
                if error == 0:
                    self._reply(unique, -errno.EIO, ())


@asynccontextmanager
async def open_session(config: SessionConfig) -> AsyncIterator[Session]:
    """Mount; unmount when the block is left, whatever happened, lazily if need be.

    Raises:
        MountError: the mount was refused.
    """
    device = await trio.to_thread.run_sync(mount_device, config)
    session = Session(device, config)
    try:
        yield session
    finally:
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(lambda: session.unmount(lazy=True))
            except MountError as error:  # somebody else unmounted it at the same moment
                log.debug("%s", error)
            os.close(device)
