"""Reads samples out of shards, one shard after the other, as pieces of them are asked for."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mountfs.datasets.entry import Openable
    from mountfs.datasets.item import Item
    from mountfs.datasets.sample_reader import SampleReader
    from mountfs.datasets.stream_plan import Piece


class ShardStream:
    """The samples of pieces of shards. A piece that continues the last one goes on reading.

    Args:
        shards: In the order of the epoch.
        expand: Yields what is in one, in an order that never changes.
        reader: Makes samples of that.
    """

    def __init__(
        self,
        shards: Callable[[int], Openable],
        expand: Callable[[Item], Iterable[Any]],
        reader: SampleReader,
    ) -> None:
        self._shards = shards
        self._expand = expand
        self._reader = reader
        self._shard: int | None = None
        self._next = 0  # number of the sample that comes next out of the shard
        self._path = ""
        self._contents: Iterator[Any] = iter(())
        self._broken: OSError | None = None

    def samples(self, piece: Piece) -> Iterator[Any]:
        """Yield the samples of a piece, or what the policy puts in their place.

        Of a shard that cannot be read any further, all samples that should follow are unreadable;
        where their number is unknown, one.

        Raises:
            OSError: Something cannot be read, and the policy is to say so. Also where a shard has
                fewer samples than it should.
        """
        shard, start, stop = piece
        self._go_to(shard, start)
        while stop is None or self._next < stop:
            if self._broken is None:
                try:
                    content = next(self._contents)
                except StopIteration:
                    if stop is None:
                        return
                    self._broken = OSError(
                        errno.EIO, f"has {self._next} samples, not {stop} or more", self._path
                    )  # fmt: skip
                except OSError as error:
                    self._broken = error
                else:
                    self._next += 1
                    yield self._reader.read(content)
                    continue
            count = 1 if stop is None else stop - self._next
            instead = self._reader.instead(self._broken, count)
            self._next += count
            yield from itertools.repeat(instead, count)
            if stop is None:
                return

    def _go_to(self, shard: int, start: int) -> None:
        """Stand before a sample: go on where it lies ahead, else begin again."""
        if self._shard != shard or self._next > start:
            item = self._shards(shard).item()
            self._shard, self._next, self._path, self._broken = shard, 0, item.path, None
            self._contents = iter(self._expand(item))
        while self._next < start and self._broken is None:
            try:
                next(self._contents)
            except StopIteration:
                reason = f"has {self._next} samples, not {start} or more"
                self._broken = OSError(errno.EIO, reason, self._path)
            except OSError as error:
                self._broken = error
            else:
                self._next += 1
        self._next = start


def count_samples(
    shards: Sequence[Openable], expand: Callable[[Item], Iterable[Any]]
) -> Iterator[int]:
    """Yield how many samples each shard has, by looking at all of them.

    Raises:
        OSError: A shard cannot be read to its end.
    """
    for shard in shards:
        with shard.item() as item:
            yield sum(1 for _ in expand(item))
