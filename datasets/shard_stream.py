"""Reads samples out of shards, one shard after the other, as pieces of them are asked for."""

from __future__ import annotations

import errno
import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

from mountfs.datasets.opened_ahead import OpenedAhead

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
        expand: Yields what is in one, in an order that never changes; with a parameter ``start``,
            what follows the first ones.
        reader: Makes samples of that.
    """

    def __init__(
        self,
        shards: Callable[[int], Openable],
        expand: Callable[..., Iterable[Any]],
        reader: SampleReader,
    ) -> None:
        self._shards = shards
        self._expand = expand
        self._takes_start = _takes_start(expand)
        self._reader = reader
        self._shard: int | None = None
        self._next = 0  # number of the sample that comes next out of the shard
        self._first = 0  # number of the one that came out of it first
        self._path = ""
        self._contents: Iterator[Any] = iter(())
        self._broken: OSError | None = None
        self._ahead = OpenedAhead()
        self._following: int | None = None  # what was opened ahead last

    def close(self) -> None:
        """Let go of the shard that was opened ahead. Idempotent."""
        self._ahead.close()

    def samples(self, piece: Piece, following: int | None = None) -> Iterator[Any]:
        """Yield the samples of a piece, or what the policy puts in their place.

        When the first one has come, so has the time to open the shard *following*, if any.

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
                    self._broken = self._too_short(stop)
                except OSError as error:
                    self._broken = error
                else:
                    self._next += 1
                    if following is not None and following != self._following:
                        self._following = following
                        self._ahead.open(self._shards(following).item().path)
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
            self._shard, self._path, self._broken = shard, item.path, None
            self._next = self._first = start if self._takes_start else 0
            options = {"start": start} if self._first else {}
            try:
                self._contents = iter(self._expand(item, **options))
            except OSError as error:  # of one that is no generator, and opens the shard at once
                self._broken = error
        while self._next < start and self._broken is None:
            try:
                next(self._contents)
            except StopIteration:
                self._broken = self._too_short(start)
            except OSError as error:
                self._broken = error
            else:
                self._next += 1
        self._next = start

    def _too_short(self, wanted: int) -> OSError:
        at_most = "at most " * (self._next == self._first > 0)
        reason = f"has {at_most}{self._next} samples, not {wanted} or more"
        return OSError(errno.EIO, reason, self._path)


def _takes_start(expand: Callable[..., Any]) -> bool:
    """Tell whether an expansion leaves out samples itself, unless it was told where to start."""
    if isinstance(expand, functools.partial) and "start" in expand.keywords:
        return False
    try:
        found = inspect.signature(expand).parameters.get("start")
    except (TypeError, ValueError):  # of what is written in C
        return False
    return found is not None and found.kind in (found.KEYWORD_ONLY, found.POSITIONAL_OR_KEYWORD)


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
