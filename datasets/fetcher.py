"""Reads files at the same time for somebody who uses them one after the other.

What takes time is that the store answers, not that anything is computed: threads do, and the order
of what comes out is the order of what went in.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mountfs.datasets.item import Item

T = TypeVar("T")
R = TypeVar("R")

LIMIT_BYTES: Final = 8 << 20
"""Larger files are only opened ahead: reading them takes long enough for their own read-ahead, and
nobody knows whether all of it is wanted. With 16 threads a worker holds at most 128 MiB."""


class Fetcher:
    """Some threads of each process that uses it. Picklable; survives a fork.

    Args:
        threads: How many; one means none but the caller's.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads is positive, not {threads}")
        self._threads = threads
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def fetch_all(self, items: Sequence[Item]) -> None:
        """Fetch all of these."""
        if len(items) > 1 and self._threads > 1:
            deque(self._threads_of_process().map(_fetch, items), maxlen=0)

    def fetch_ahead(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items in order, as many of the next ones being fetched as there are threads."""
        if self._threads == 1:
            yield from items
            return
        yield from self.map(_fetch, items)

    def map(self, function: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
        """Yield the function's results in order, computing only so far ahead as there are threads.

        Nothing is computed any more when the iterator is closed, but what has begun ends.
        """
        pool = self._threads_of_process()
        remaining = iter(values)
        ahead: deque[Future[R]] = deque()
        try:
            for value in itertools.islice(remaining, self._threads):
                ahead.append(pool.submit(function, value))  # the deque is ours
            while ahead:
                result = ahead.popleft().result()
                for value in itertools.islice(remaining, 1):
                    ahead.append(pool.submit(function, value))
                yield result
        finally:
            for future in ahead:
                future.cancel()

    def _threads_of_process(self) -> ThreadPoolExecutor:
        """Return the threads of this process; those of the parent are not in a forked child."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._threads, "mountfs-fetch")
        return self._pool[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}


def _fetch(item: Item) -> Item:
    item.fetch(LIMIT_BYTES)
    return item
