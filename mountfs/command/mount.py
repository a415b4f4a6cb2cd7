"""One mount, from its configuration to its end: builds the object graph, all of it, here.

The order is that of the layers, and the way back is the reverse: first the store is asked whether
the bucket can be used at all, last comes the kernel. So what can fail fails before anything is
mounted.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import trio

from mountfs._version import __version__
from mountfs.command.control import Control
from mountfs.command.dirty import NothingDirty
from mountfs.command.drain import Drain
from mountfs.command.exit_code import ExitCode, exit_code_of
from mountfs.command.feed import Feed
from mountfs.command.figures import data_figures, kernel_figures, metadata_figures, store_figures
from mountfs.command.presence import listen
from mountfs.command.progress import PUBLISHING_TITLE, LineDisplay, make_display
from mountfs.command.shutdown import Shutdown
from mountfs.command.staging import open_recovered_staging
from mountfs.data.block_cache import open_block_cache
from mountfs.errors import MountError, MountfsError
from mountfs.filesystem import FilesystemConfig
from mountfs.fuse.changes import ChangeOperations
from mountfs.fuse.device import SessionConfig
from mountfs.fuse.last_close import LastClose
from mountfs.fuse.operations import Operations
from mountfs.fuse.session import Session, open_session
from mountfs.fuse.written_pages import WrittenPages
from mountfs.log import open_log, place_of
from mountfs.meta.namespace import open_namespace
from mountfs.mounts import read_mounts, top_mount_at
from mountfs.store.malloc import keep_freed_parts
from mountfs.store.s3 import open_s3_store
from mountfs.vfs.assembly import open_vfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.command.config import MountConfig
    from mountfs.command.daemonize import Reporter
    from mountfs.command.dirty import Drainable
    from mountfs.command.progress import Display
    from mountfs.store.protocol import ObjectStore
    from mountfs.vfs.assembly import Vfs

log = logging.getLogger(__name__)

ROOT_TIMEOUT_SECONDS = 30.0
"""For the first `stat` of the root, which no store has to answer: more means that it hangs."""

YOUNG_OBJECTS = 10_000
"""Made between two garbage collections; with Python's own 700 they are a tenth of the time that
small files take."""

CLOSE_TIMEOUT_SECONDS = 10.0
"""For the store and all threads to let go after the unmount; then the process ends without them."""


def run_mount(config: MountConfig, reporter: Reporter) -> ExitCode:
    """Mount, serve until unmounted, and return what the process should end with.

    Every error ends here, in one line to the log and to *reporter*; nothing is raised.
    """
    try:
        place = place_of(config.log, is_foreground=config.foreground, mountpoint=config.mountpoint)
        with open_log(place, config.log.level) as close_log, _BoundedEnd(close_log) as end:
            try:
                return trio.run(
                    _run,
                    config,
                    reporter,
                    end,
                    restrict_keyboard_interrupt_to_checkpoints=True,
                )
            except BaseException as error:
                return _conclude(error, config, reporter, is_stderr=place == "stderr")
    except MountfsError as error:  # the log itself cannot be opened
        reporter.failed(exit_code_of(error), str(error))
        return exit_code_of(error)


def root_cause(error: BaseException) -> BaseException:
    """Return the one exception of a group to report: a bug, if there is one, else the first."""
    leaves: list[BaseException] = []
    groups = [error]
    while groups:
        current = groups.pop(0)
        if isinstance(current, BaseExceptionGroup):
            groups.extend(current.exceptions)
        else:
            leaves.append(current)
    bugs = [leaf for leaf in leaves if not isinstance(leaf, (MountfsError, KeyboardInterrupt))]
    return (bugs or leaves)[0]


def _conclude(
    error: BaseException, config: MountConfig, reporter: Reporter, *, is_stderr: bool
) -> ExitCode:
    cause = root_cause(error)
    if isinstance(cause, KeyboardInterrupt):
        code, message = ExitCode.INTERRUPTED, "interrupted; nothing is mounted"
    elif isinstance(cause, MountfsError):
        code, message = exit_code_of(cause), str(cause)
    else:
        code = ExitCode.INTERNAL
        message = f"internal error: {type(cause).__name__}: {cause}"
    is_bug = code is ExitCode.INTERNAL
    # A traceback belongs into a log. Before a person on a terminal only if asked for.
    if config.log.level == "debug" or (is_bug and not is_stderr):
        log.error("%s", message, exc_info=error)
    elif not is_stderr:
        log.error("%s", message)
    reporter.failed(code, message)
    return code


class _BoundedEnd:
    """Ends the process if it takes longer than `CLOSE_TIMEOUT_SECONDS` once the end has begun.

    A thread that waits for a store that hangs cannot be cancelled, and trio waits for its threads.

    Attributes:
        exit_code: what to end the process with, then.
    """

    def __init__(self, close_log: Callable[[], None]) -> None:
        self.exit_code = ExitCode.OK
        self._close_log = close_log
        self._timer = threading.Timer(CLOSE_TIMEOUT_SECONDS, self._leave)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def begin(self, exit_code: ExitCode) -> None:
        """Start the clock; the first call counts."""
        if self._timer.ident is None:
            self.exit_code = exit_code
            self._timer.start()

    def _leave(self) -> None:
        log.warning("the store does not let go after %g s: leaving it", CLOSE_TIMEOUT_SECONDS)
        self._close_log()
        os._exit(self.exit_code)


async def _run(config: MountConfig, reporter: Reporter, end: _BoundedEnd) -> ExitCode:
    shutdown = Shutdown(config.mountpoint, config.unmount_grace_seconds)
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, shutdown, config.foreground)
        with shutdown.scope:
            await _mount(config, reporter, shutdown, end)
        nursery.cancel_scope.cancel()
    if shutdown.exit_code is ExitCode.INTERRUPTED:
        reporter.failed(shutdown.exit_code, "interrupted; nothing is mounted")
    elif shutdown.verdict and config.log.file is not None:  # the log says it in any case
        reporter.failed(shutdown.exit_code, f"ending with {shutdown.verdict}")
    return shutdown.exit_code


async def _watch_signals(
    shutdown: Shutdown, is_foreground: bool, task_status: trio.TaskStatus[None]
) -> None:
    await shutdown.watch_signals(is_foreground=is_foreground, task_status=task_status)


async def _mount(
    config: MountConfig, reporter: Reporter, shutdown: Shutdown, end: _BoundedEnd
) -> None:
    """Build everything, serve, publish what is left, and take it down again."""
    feed = Feed()
    async with AsyncExitStack() as stack:
        # First in, last out: whoever listens sees the end of the process, not of a connection.
        stack.callback(feed.close)
        try:
            session, vfs, source = await _build(config, stack, reporter)
            shutdown.attach(session, Drain(source, feed, _make_display(config)))
            try:
                with shutdown.serving:
                    await _serve(config, session, vfs, reporter, feed)
                log.info("%s is unmounted", config.mountpoint)
            finally:
                # Also if serving has failed: what was written is still here.
                session.disconnect()
                await shutdown.drain()
        except Exception as error:
            end.begin(exit_code_of(root_cause(error)))
            raise
        finally:
            end.begin(shutdown.exit_code)


async def _build(
    config: MountConfig, stack: AsyncExitStack, reporter: Reporter
) -> tuple[Session, Vfs, Drainable]:
    """Open every component, the store first and the mount last, and connect them.

    Returns the session, what answers its requests, and who keeps the changes.
    """
    keep_freed_parts()
    s3 = await stack.enter_async_context(open_s3_store(config.store))
    await s3.check(config.metadata.prefix)
    store: ObjectStore = s3
    if config.version_at_ns is not None:
        store = s3.as_of(config.version_at_ns)
    metadata = replace(config.metadata, lists_in_order=s3.lists_in_order)
    namespace = await stack.enter_async_context(open_namespace(metadata, store))
    blocks = await stack.enter_async_context(open_block_cache(config.read, store))
    staging, publisher = await open_recovered_staging(config, stack, store, blocks, reporter)
    control = Control(config)
    session = await stack.enter_async_context(open_session(_session_config(config)))
    vfs = await stack.enter_async_context(
        open_vfs(
            FilesystemConfig(
                attributes=config.attributes,
                read_only=config.read_only,
                is_posix=config.is_posix,
            ),
            config.write,
            namespace,
            blocks,
            store,
            staging,
            publisher,
            control,
            session.notifier,
        )
    )
    control.figures = [
        *store_figures(s3),
        *data_figures(blocks),
        *metadata_figures(namespace),
        *kernel_figures(session, vfs.filesystem.reading),
    ]
    control.dirty = vfs.dirty or NothingDirty()
    return session, vfs, control.dirty


def _session_config(config: MountConfig) -> SessionConfig:
    return SessionConfig(
        mountpoint=config.mountpoint,
        source=str(config.source),
        allow_other=config.allow_other,
        read_only=config.read_only,
        options=config.kernel_options,
    )


def _make_display(config: MountConfig) -> Display:
    """Return where the last publishes are shown: to who sits in front of it, else in the log."""
    if config.foreground and sys.stderr.isatty():
        return make_display(PUBLISHING_TITLE, sys.stderr)
    return LineDisplay(PUBLISHING_TITLE, log.info)


async def _serve(
    config: MountConfig,
    session: Session,
    vfs: Vfs,
    reporter: Reporter,
    feed: Feed,
) -> None:
    """Serve until the kernel has unmounted; report ready when the mount has answered."""
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[None]) -> None:
            operations = _make_operations(config, session, vfs)
            await session.serve(operations, task_status=task_status)
            nursery.cancel_scope.cancel()

        await nursery.start(serve)
        nursery.start_soon(_announce, config.mountpoint, feed)
        await _check_root(config.mountpoint)
        _spare_garbage_collections()
        log.info("mountfs %s: %s is mounted on %s", __version__, config.source, config.mountpoint)
        reporter.ready()


def _spare_garbage_collections() -> None:
    """Let those of young objects be rarer, and none look at what lives as long as the mount."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def _make_operations(config: MountConfig, session: Session, vfs: Vfs) -> Operations:
    changes = None
    if vfs.changes is not None:
        pages = WrittenPages(session.notifier.drop_pages, vfs.changes.is_alone)
        changes = ChangeOperations(vfs.changes, LastClose(config.mountpoint), pages)
    return Operations(vfs.filesystem, vfs.filesystem.reading, changes, vfs.details)


async def _check_root(mountpoint: str) -> None:
    """Look at the root as an application will, in a thread, since this one has to answer."""
    try:
        with trio.fail_after(ROOT_TIMEOUT_SECONDS):
            await trio.to_thread.run_sync(os.stat, mountpoint, abandon_on_cancel=True)
    except trio.TooSlowError as error:
        raise MountError(f"{mountpoint} is mounted and does not answer") from error
    except OSError as error:
        raise MountError(f"{mountpoint} is mounted and answers: {error.strerror}") from error


async def _announce(mountpoint: str, feed: Feed) -> None:
    """Be found as the process behind the mount, for as long as it is there.

    The mount is good without: ``status`` does not know the process, ``umount`` does not wait.
    """
    mount = top_mount_at(mountpoint, read_mounts())
    if mount is None:  # unmounted already
        return
    try:
        with listen(mount.device) as listener:
            try:
                while True:
                    await trio.lowlevel.wait_readable(listener)
                    feed.accept_all(listener)
            finally:
                # Who has connected just ahead of the unmount. From now on the name is another
                # mount's, since the kernel gives the device number away again.
                feed.accept_all(listener)
    except OSError as error:  # anybody can bind the name before us
        log.warning("not announced as the process of %s: %s", mountpoint, error)
