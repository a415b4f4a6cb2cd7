"""A file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from typing import TYPE_CHECKING

from mountfs.datasets.durable import sync_directory
from mountfs.datasets.paths import is_on_mount, local_path

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

BUFFER_BYTES = 8 << 20
"""Small writes are joined to this; what is larger goes through as it is."""

PARTIAL = ".partial"
"""How the names of unfinished files end. They start with a dot."""


class Writer(io.BufferedWriter):
    """A binary file that replaces *path* when it is closed, and not before.

    The bytes go to a hidden file in the same directory. ``close`` makes them durable and gives the
    file its name; what was there until then stays readable until then. Leaving a ``with`` by an
    exception, and forgetting to close, leave everything as it was.

    Missing directories are made. A process that was forked from the one that opened the file
    neither publishes nor discards it.

    Args:
        path: A path or ``s3://bucket/key``. A symbolic link is followed.

    Raises:
        OSError: From ``write`` and ``close``, as a file does; after ``close`` has raised, *path* is
            as it was before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.realpath(local_path(path))
        self._directory, name = os.path.split(self._path)
        # 48 characters are at most 192 bytes: the limit of a name is 255.
        self._staging = os.path.join(
            self._directory, f".{name[:48]}.{secrets.token_hex(4)}{PARTIAL}"
        )
        self._process = os.getpid()
        os.makedirs(self._directory, exist_ok=True)
        super().__init__(io.FileIO(self._staging, "xb"), BUFFER_BYTES)

    @property
    def name(self) -> str:
        """The path that is being replaced."""
        return self._path

    def close(self) -> None:
        """Publish what was written. Idempotent.

        Raises:
            OSError: It could not be written or published; nothing has changed.
        """
        if self.closed:
            return
        if os.getpid() != self._process:
            self.raw.close()
            return
        try:
            self.flush()
            self._publish()
        except BaseException:
            self.discard()
            raise
        sync_directory(self._directory)

    def discard(self) -> None:
        """Close without publishing: nothing has changed. Idempotent."""
        if self.closed:
            return
        if os.getpid() == self._process:
            # Before the close, which would publish it on a mount.
            with contextlib.suppress(OSError):
                os.unlink(self._staging)
        with contextlib.suppress(OSError):  # of bytes that nobody wants
            self.raw.close()

    def _publish(self) -> None:
        on_mount = is_on_mount(self._directory)
        if not on_mount:
            os.fsync(self.fileno())
        os.rename(self._staging, self._path)
        if on_mount:  # what was not uploaded yet goes up once, under its final name
            os.fsync(self.fileno())
        self.raw.close()

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Without this, collecting a forgotten writer would close it, which publishes half a file.
        with contextlib.suppress(ValueError, AttributeError):  # __init__ did not get far
            self.discard()
