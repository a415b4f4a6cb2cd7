"""What every job is given, and how passes are interleaved."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benchmark.mounts import mounted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scripts.benchmark.data_set import DataSet, Sizes
    from scripts.benchmark.mounts import Mount
    from scripts.benchmark.results import Series
    from scripts.benchmark.service import Route, Service
    from scripts.benchmark.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The benchmark as the jobs see it.

    Attributes:
        service: the store.
        sizes: of the data.
        repeat: passes of each subject.
        peers: who is measured beside mountfs.
        directory: for mountpoints and logs.
        numbers: tells the directories of mounts apart.
    """

    service: Service
    sizes: Sizes
    repeat: int
    peers: tuple[Subject, ...]
    directory: Path
    numbers: Iterator[int]

    def say(self, text: str) -> None:
        """Say what goes on."""
        print(text, file=sys.stderr, flush=True)

    def upload(self, data_set: DataSet) -> None:
        """Put the objects of *data_set* into the store, once."""
        outcome = self.service.upload(data_set)
        if outcome is None:
            return
        count, megabytes = len(data_set.objects), data_set.size_bytes / 1e6
        self.say(f"uploaded {count:,} objects, {megabytes:,.1f} MB, in {outcome.seconds:.1f} s")

    def mounted(
        self, subject: Subject, bucket: str, route: Route, *, staging: Path | None = None
    ) -> contextlib.AbstractContextManager[Mount]:
        """Mount *bucket* afresh: nobody remembers an earlier mount.

        Args:
            subject: who mounts.
            bucket: what to mount.
            route: the way to the store.
            staging: the staging directory of an earlier mount that was killed; else a new one.
        """
        directory = self.directory / f"mount-{next(self.numbers)}"
        directory.mkdir()
        return mounted(subject, bucket, route.endpoint, directory, staging)

    def interleave(self, title: str, passes: Mapping[str, Callable[[int], Series]]) -> None:
        """Make each pass once, then each once more, and so on; neighbours in time are comparable.

        Args:
            title: for the progress.
            passes: by name; each gets the number of the repeat, and returns the series that it
                added to.
        """
        for index in range(self.repeat):
            shown = []
            for name, measure in passes.items():
                series = measure(index)
                shown.append(f"{name} {series.values[-1]:,.4g}")
            self.say(f"{title}, {index + 1} of {self.repeat}: {', '.join(shown)}")


def count_from_one() -> Iterator[int]:
    """Return the numbers 1, 2, 3, ..."""
    return itertools.count(1)
