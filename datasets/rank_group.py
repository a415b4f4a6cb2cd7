"""The processes that save one checkpoint together: one acts, all learn what became of it.

Uses a gloo group of its own, since a save in the background must not mix its messages with those
of the training, and since pickled objects need no GPU.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankGroup:
    """All ranks of ``torch.distributed``, or one process where that is not initialised.

    Every method but the properties is a collective: all ranks call the same ones in the same
    order, from one thread at a time.

    Attributes:
        rank: Of this process, from 0.
        group: For collectives; None for a single process.
        world: What ``torch.distributed`` was when this was made; None: not initialised.
    """

    rank: int
    group: Any
    world: Any

    @property
    def is_first(self) -> bool:
        """Whether this is the one that acts for all."""
        return self.rank == 0

    @property
    def is_current(self) -> bool:
        """Whether ``torch.distributed`` is still what it was."""
        return _world() is self.world

    def on_first(self, work: Callable[[], T]) -> T:
        """Run *work* on the first rank only, and return its result on all.

        Raises:
            OSError: On the other ranks, if it failed on the first one; there its own error.
        """
        result: T | None = None
        error: BaseException | None = None
        if self.is_first:
            try:
                result = work()
            except BaseException as caught:
                error = caught
        if self.group is not None:
            message = [(result, _describe(error))]
            dist.broadcast_object_list(message, src=0, group=self.group)
            if not self.is_first:
                result, described = message[0]
                _raise_of({0: described})
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only where work() returns it

    def on_all(self, work: Callable[[], T]) -> list[T]:
        """Run *work* on every rank, and return the results of all, in order.

        Raises:
            OSError: On every rank whose own work has succeeded, if that of another failed.
        """
        error: BaseException | None = None
        result: T | None = None
        try:
            result = work()
        except BaseException as caught:
            error = caught
        messages: list[Any] = [(result, _describe(error))]
        if self.group is not None:
            messages = [None] * dist.get_world_size(self.group)
            dist.all_gather_object(messages, (result, _describe(error)), group=self.group)
        if error is not None:
            raise error
        _raise_of({rank: described for rank, (_, described) in enumerate(messages)})
        return [result for result, _ in messages]


def join_ranks() -> RankGroup:
    """Return the group of all ranks. A collective.

    Raises:
        RuntimeError: A launcher has started several processes, but they do not know each other.
    """
    world = _world()
    if world is not None:
        if dist.get_world_size() == 1:
            return RankGroup(0, None, world)
        return RankGroup(dist.get_rank(), dist.new_group(backend="gloo"), world)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RuntimeError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torch.distributed is not initialised: "
            "call torch.distributed.init_process_group() before the first checkpoint"
        )
    return RankGroup(0, None, None)


def _world() -> Any:
    return dist.group.WORLD if dist.is_available() and dist.is_initialized() else None


def _describe(error: BaseException | None) -> tuple[int, str] | None:
    if error is None:
        return None
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    return number, f"{type(error).__name__}: {error}"


def _raise_of(described: dict[int, tuple[int, str] | None]) -> None:
    failed = {rank: failure for rank, failure in described.items() if failure is not None}
    for rank, (number, message) in failed.items():
        raise OSError(number, f"rank {rank} failed ({len(failed)} in all): {message}")
