"""Where drafts and the journal live on the local disk, and who may use which part of it.

``--cache-dir`` holds a folder for each mount: ``<source>``, ``<source>.1``, ... where *source* is
made of endpoint, bucket and prefix. A mount has a folder of its own, so that several mounts of one
source do not meet. It also takes over the folders of the same source whose mounts are dead, and
nothing else; what is in them is for `UploadRecord` and the journal.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import logging
import os
import re
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from mountfs.data.staging_file import StagingFile, make_anonymous_file
from mountfs.data.staging_folder import (
    TEMPORARY_PREFIX,
    StagingFolder,
    create_folder,
    lock_folder,
    sync_directory,
)
from mountfs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

DISK_THREADS = 8
"""Drafts that write to the disk at once. A disk has queues, but few; more only take memory."""

MAX_FOLDERS = 10_000
"""Mounts of one source at once, dead ones included. Nobody has so many; something is wrong then."""

READABLE_LENGTH = 80
"""Of a source in the name of its folder; the rest is in the hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingConfig:
    """Where to put what does not fit into memory, and the journal.

    Attributes:
        directory: an absolute path; created if need be, with its parents.
    """

    directory: str


class StagingDirectory:
    """The folder of this mount, and those of dead mounts of the same source.

    Attributes:
        path: the folder of this mount.
        dead_folders: locked by us; their owners are dead.
    """

    def __init__(self, folder: StagingFolder, dead_folders: list[StagingFolder]) -> None:
        self.path = folder.path
        self.dead_folders = dead_folders
        self._folder = folder
        self._limiter = trio.CapacityLimiter(DISK_THREADS)
        self._numbers = itertools.count(1)

    async def create_file(self) -> StagingFile:
        """Create an empty file without a name; `StagingFile.keep` gives it one.

        Raises:
            OSError: the directory cannot be changed, or the disk is full.

        Cancellation: nothing is left.
        """
        name = f"{TEMPORARY_PREFIX}{next(self._numbers)}"
        with trio.CancelScope(shield=True):  # or the descriptor would be lost
            fd, temporary_name = await trio.to_thread.run_sync(
                make_anonymous_file, self.path, name, limiter=self._limiter
            )
        return StagingFile(fd, self.path, self._limiter, temporary_name=temporary_name)

    async def free_bytes(self) -> int:
        """Return how much the disk has left for us.

        Raises:
            OSError: the disk failed.
        """
        facts = await trio.to_thread.run_sync(os.statvfs, self.path, limiter=self._limiter)
        return facts.f_bavail * facts.f_frsize


@asynccontextmanager
async def open_staging(config: StagingConfig, identity: str) -> AsyncIterator[StagingDirectory]:
    """Provide the staging directory of the source *identity*, locked while the block lasts.

    Folders in which nothing is left are removed at the end.

    Args:
        config: where it is.
        identity: endpoint, bucket and prefix, in any form that differs between sources.

    Raises:
        UsageError: the directory cannot be used; the message says why and what to do.
    """
    try:
        folder, dead_folders = await trio.to_thread.run_sync(_claim, config, identity)
    except OSError as error:
        raise UsageError(_explain(config.directory, error)) from error
    try:
        yield StagingDirectory(folder, dead_folders)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_give_back, [folder, *dead_folders])


def _claim(config: StagingConfig, identity: str) -> tuple[StagingFolder, list[StagingFolder]]:
    root = Path(config.directory)
    if not root.is_absolute():
        raise UsageError(f"--cache-dir {config.directory}: give an absolute path")
    _prepare(root)
    name = _folder_name(identity)
    pattern = re.compile(re.escape(name) + r"(\.[0-9]+)?")
    dead_folders: list[StagingFolder] = []
    try:
        for found in sorted(os.listdir(root)):
            folder = lock_folder(root / found) if pattern.fullmatch(found) else None
            if folder is None:
                continue
            folder.remove_temporary_files()
            if folder.remove_if_empty():
                folder.release()
            else:
                dead_folders.append(folder)
        return _create(root, name), dead_folders
    except BaseException:
        for folder in dead_folders:
            folder.release()
        raise


def _create(root: Path, name: str) -> StagingFolder:
    """Create the folder of this mount under the first free name."""
    for number in range(MAX_FOLDERS):
        folder = create_folder(root / (f"{name}.{number}" if number else name))
        if folder is not None:
            return folder
    raise UsageError(
        f"--cache-dir {root}: there are {MAX_FOLDERS} folders {name}.* already; remove those that "
        "no mount uses"
    )


def _prepare(root: Path) -> None:
    """Create *root* where it is missing, and see that nobody else can look into it."""
    missing = []
    parent = root
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700 if path == root else 0o755, exist_ok=True)
        sync_directory(path.parent)
    facts = root.stat()
    if not stat.S_ISDIR(facts.st_mode):
        raise UsageError(f"--cache-dir {root}: not a directory")
    if facts.st_uid != os.geteuid():
        raise UsageError(
            f"--cache-dir {root}: it belongs to uid {facts.st_uid}, and this is uid "
            f"{os.geteuid()}; name a directory of your own, which may lie in it and is created"
        )
    if facts.st_mode & 0o077:
        raise UsageError(
            f"--cache-dir {root}: others may look into it (mode {stat.S_IMODE(facts.st_mode):04o})"
            f", and it holds what is in your files; chmod 700 {root}, or name another one"
        )


def _folder_name(identity: str) -> str:
    """Return a name that a human recognises and that no other source has."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", identity).strip("._")[:READABLE_LENGTH]
    return f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _explain(directory: str, error: OSError) -> str:
    match error.errno:
        case errno.EROFS:
            reason = "the file system is read-only; name a directory on a local disk"
        case errno.EACCES | errno.EPERM:
            reason = "no permission; name a directory of your own"
        case errno.ENOSPC | errno.EDQUOT:
            reason = "the disk is full; make room or name another one"
        case errno.ENOLCK | errno.ENOTSUP:
            reason = "the file system knows no locks; name a directory on a local disk"
        case _:
            reason = error.strerror or str(error)
    return f"--cache-dir {directory}: {reason}"


def _give_back(folders: list[StagingFolder]) -> None:
    for folder in folders:
        try:
            folder.remove_temporary_files()
            folder.remove_if_empty()
        except OSError as error:
            log.warning("%s could not be cleaned up: %s", folder.path, error)
        folder.release()
