"""What the command asks of whoever keeps changes that the bucket has not got yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class DirtySource(Protocol):
    """Figures of what is not published yet. Reading them is cheap, and nothing waits.

    Two kinds of files are told apart, and each is counted once. *Dirty*: changed here, and no
    `close` or `fsync` has promised anything; lost if the process dies. *Pending*: in write-back
    mode, closed, safe in the staging directory and not uploaded yet; survives the process.
    """

    @property
    def dirty_count(self) -> int:
        """Files that are dirty."""
        ...

    @property
    def dirty_bytes(self) -> int:
        """Bytes of theirs that are still to be uploaded."""
        ...

    @property
    def pending_count(self) -> int:
        """Files that are pending."""
        ...

    @property
    def pending_bytes(self) -> int:
        """Bytes of theirs that are still to be uploaded."""
        ...

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest of all of them has been waiting; 0 when there is none."""
        ...

    @property
    def failing(self) -> Sequence[tuple[str, str]]:
        """Path in the mount, and reason, of each whose last publish has failed."""
        ...

    @property
    def uploaded_bytes(self) -> int:
        """Bytes that the store has taken; only grows."""
        ...

    @property
    def publish_count(self) -> int:
        """Publishes that have succeeded; only grows."""
        ...

    @property
    def publish_failure_count(self) -> int:
        """Publishes that have failed; only grows."""
        ...

    @property
    def lost_count(self) -> int:
        """Files that could not be stored after their last close, which nobody was told; only grows.

        A program that ended without closing them, or was killed.
        """
        ...

    def dirty_paths(self, limit: int) -> Sequence[str]:
        """Return paths in the mount of up to *limit* dirty files."""
        ...


class Drainable(DirtySource, Protocol):
    """Whoever can publish all of it."""

    @property
    def staging_path(self) -> str:
        """The directory where pending files lie; empty if there is none."""
        ...

    async def drain(self) -> None:
        """Publish everything, dirty and pending; return when nothing is left that can be.

        Called once, when nobody can change anything through the mount any more. What is pending is
        tried again without end; what is dirty may be given up when the store refuses it for good,
        and stays in the figures then.

        Cancellation: what is pending stays safe in the staging directory.
        """
        ...


class NothingDirty:
    """A mount through which nothing can be changed."""

    dirty_count = dirty_bytes = pending_count = pending_bytes = 0
    uploaded_bytes = publish_count = publish_failure_count = lost_count = 0
    oldest_seconds = 0.0
    failing: tuple[tuple[str, str], ...] = ()
    staging_path = ""

    def dirty_paths(self, limit: int) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    async def drain(self) -> None:
        """Return at once."""
