"""What is known of how files are read before they are: like the others of their directory.

A pure policy, as `mountfs.data.read_ahead` is. Who reads one shard after another needs no caution
at the beginning of the next one: caution costs four round trips a file.
"""

from __future__ import annotations

from mountfs.data.read_ahead import SMALL_FILE_BYTES

MAX_DIRECTORIES = 1024
"""So many are remembered; the one that was used least recently is forgotten first."""

FORGETTING = 0.5
"""What an earlier file counts, beside the one that was begun after it."""

TRUST = 1.4
"""After two files that were read to their end the next one is expected to be; after one that was
not, no longer. Where every other one is, none is expected to be."""

MOST = 2.0
"""So that one file that is not read to its end is enough, however many were before it."""


class Habits:
    """Counts, by directory, large files that were read in order from their start to their end."""

    def __init__(self) -> None:
        self._scores: dict[str, float] = {}

    def begin(self, key: str, size_bytes: int) -> bool:
        """Note the first read of an object; tell whether it is expected to be read to its end."""
        if size_bytes <= SMALL_FILE_BYTES:
            return False
        directory = _directory_of(key)
        score = self._scores.pop(directory, 0.0)
        self._scores[directory] = score * FORGETTING
        if len(self._scores) > MAX_DIRECTORIES:
            del self._scores[next(iter(self._scores))]
        return score >= TRUST

    def note_whole(self, key: str, size_bytes: int) -> None:
        """Note that an object was read to its end; once for each `begin`."""
        directory = _directory_of(key)
        if size_bytes > SMALL_FILE_BYTES and directory in self._scores:
            self._scores[directory] = min(MOST, self._scores[directory] + 1.0)


def _directory_of(key: str) -> str:
    return key.rpartition("/")[0]
