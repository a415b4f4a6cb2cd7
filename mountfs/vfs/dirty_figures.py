"""What is not in the store yet, in numbers: for ``status``, the metrics and the last wait."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from mountfs.errors import StoreError
from mountfs.vfs.commits_below import settle_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.data.publisher import Publisher
    from mountfs.data.write_back import WriteBack
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.written_file import WrittenFile


class DirtyFigures:
    """Counts dirty and pending files, and drains them.

    Args:
        committer: knows the dirty ones.
        publisher: counts what was sent.
        write_back: knows the pending ones; None without ``--write-back``.
        prefix: of the mount: paths are what follows it in a key.
        staging_path: where pending files lie.
    """

    def __init__(
        self,
        committer: Committer,
        publisher: Publisher,
        write_back: WriteBack | None,
        prefix: str,
        staging_path: str,
    ) -> None:
        self.staging_path = staging_path
        self._committer = committer
        self._publisher = publisher
        self._write_back = write_back
        self._prefix = prefix

    @property
    def dirty_count(self) -> int:
        """Files that are dirty."""
        return len(self._dirty())

    @property
    def dirty_bytes(self) -> int:
        """Bytes of theirs that are still to be uploaded."""
        return sum(
            file.node.size_bytes - (file.stream.acknowledged_bytes if file.stream else 0)
            for file in self._dirty()
        )

    @property
    def pending_count(self) -> int:
        """Files that are pending."""
        return len(self._write_back.files) if self._write_back is not None else 0

    @property
    def pending_bytes(self) -> int:
        """Bytes of theirs that are still to be uploaded."""
        return self._write_back.files.size_bytes if self._write_back is not None else 0

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest of all of them has been waiting; 0 when there is none."""
        since = [file.dirty_since for file in self._dirty()]
        ages = [trio.current_time() - min(since)] if since else [0.0]
        if self._write_back is not None:
            ages.append(self._write_back.files.oldest_age_seconds)
        return max(ages)

    @property
    def failing(self) -> Sequence[tuple[str, str]]:
        """Path in the mount, and reason, of each whose last publish has failed."""
        found = [
            (self._path_of(file.node.key), str(file.error))
            for file in self._committer.files.values()
            if file.error is not None
        ]
        if self._write_back is not None:
            found += [
                (self._path_of(pending.key), str(pending.error))
                for pending in self._write_back.files.all()
                if pending.error is not None
            ]
        return found

    @property
    def uploaded_bytes(self) -> int:
        """Bytes that the store has taken; only grows."""
        return self._publisher.sent_bytes

    @property
    def publish_count(self) -> int:
        """Publishes that have succeeded; only grows."""
        return self._publisher.publish_count

    @property
    def publish_failure_count(self) -> int:
        """Publishes that have failed; only grows."""
        return self._publisher.failure_count

    @property
    def lost_count(self) -> int:
        """Files that could not be stored after their last close; only grows."""
        return self._committer.lost_count

    def dirty_paths(self, limit: int) -> Sequence[str]:
        """Return paths in the mount of up to *limit* dirty files."""
        return [self._path_of(file.node.key) for file in self._dirty()[:limit]]

    async def drain(self) -> None:
        """Return when everything has been published, or has failed for good, which is logged.

        Cancellation: what is under way goes on; what is pending stays in the journal.
        """
        with contextlib.suppress(StoreError, OSError):  # each one has been logged by itself
            await settle_below(self._committer, "")
        if self._write_back is not None:
            await self._write_back.drain()

    def _dirty(self) -> list[WrittenFile]:
        return [
            file
            for file in self._committer.files.values()
            if file.is_dirty and not file.is_unlinked
        ]

    def _path_of(self, key: str) -> str:
        return key.removeprefix(self._prefix)
