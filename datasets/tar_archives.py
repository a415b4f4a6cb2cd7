"""The members of tar archives by number, over all of them: what ``MapDataset.from_tar`` reads."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, overload

from mountfs.datasets.paths import local_path
from mountfs.datasets.tar_index import INDEX_SUFFIX, TarIndex

if TYPE_CHECKING:
    from mountfs.datasets.source import Source
    from mountfs.datasets.tar_index import TarEntry


@dataclass(frozen=True, slots=True)
class TarArchives:
    """Archives that are looked into by number. Touches nothing before `listing`; picklable.

    Attributes:
        archives: Plain tar archives.
        index: Where their indexes are: beside each if empty; a directory with one for each; or, of
            a single archive, a file.
    """

    archives: Source
    index: str = ""

    def listing(self) -> Sequence[TarEntry]:
        """Return all members, from the indexes; build and keep those that are missing.

        Raises:
            OSError: An archive or an index cannot be read, or an index cannot be written there.
            ArchiveError: See `TarIndex`; also for an index of what the archive was before.
            ValueError: Several archives would share one index.
        """
        # Indexes lie among the archives, where a directory of these was given.
        paths = [one.path for one in self.archives if not one.path.endswith(INDEX_SUFFIX)]
        indexes = [
            TarIndex.load_or_build(path, place)
            for path, place in zip(paths, self._places(paths), strict=True)
        ]
        return indexes[0] if len(indexes) == 1 else JoinedIndexes(indexes)

    def _places(self, paths: Sequence[str]) -> list[str | None]:
        if not self.index:
            return [None] * len(paths)
        place = local_path(self.index)
        if not place.endswith("/") and not os.path.isdir(place):
            if len(paths) == 1:
                return [place]
            raise ValueError(
                f"index={self.index!r} is one file for {len(paths)} archives: end it with a slash "
                "to mean a directory, or leave it out to have each index beside its archive"
            )
        names = [os.path.basename(path) for path in paths]
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise ValueError(
                f"index={self.index!r}: {count} archives are called {name!r} and would share an "
                "index there: leave it out to have each index beside its archive"
            )
        return [os.path.join(place, f"{name}{INDEX_SUFFIX}") for name in names]


class JoinedIndexes(Sequence["TarEntry"]):
    """The members of several archives, one archive after the other. Immutable."""

    def __init__(self, indexes: Sequence[TarIndex]) -> None:
        self._indexes = indexes
        self._stops = [*accumulate(map(len, indexes))]

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    @overload
    def __getitem__(self, index: int) -> TarEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[TarEntry]: ...
    def __getitem__(self, index: int | slice) -> TarEntry | list[TarEntry]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        archive = bisect_right(self._stops, numbers)
        return self._indexes[archive][numbers - (self._stops[archive - 1] if archive else 0)]
