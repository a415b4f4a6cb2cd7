"""Mixes the samples of a stream, which come neighbour by neighbour out of their shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from mountfs.datasets.order import generator_of
from mountfs.datasets.seat import current_seat, rank_and_ranks
from mountfs.datasets.shared_integers import SharedIntegers

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShuffleDataset(IterableDataset[Any]):
    """The samples of another dataset, each drawn from a buffer of the next ones.

    The order depends on seed, epoch, rank and worker only, if that of the dataset below does. Holds
    ``buffer_size`` samples in each worker. Drops and repeats none.

    Resuming reads again what came before, since the buffer may hold samples from anywhere in it,
    and needs the same ranks and workers.

    Args:
        dataset: Any iterable; its ``set_epoch`` is called if it has one.
        buffer_size: How many samples to hold; 1 leaves the order as it is.
        seed: Of the order.
    """

    def __init__(self, dataset: Any, buffer_size: int, *, seed: int = 0) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size is positive, not {buffer_size}")
        self._dataset = dataset
        self._buffer_size = buffer_size
        self._seed = seed
        self._epoch = SharedIntegers(1)
        self._yielded = 0
        self._skipped: dict[str, Any] | None = None
        self._is_finished = False
        self._rank_of_parent: tuple[int, int] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration, also for workers that live on."""
        self._epoch[0] = epoch
        if hasattr(self._dataset, "set_epoch"):
            self._dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        skipped = self._take_skipped()
        self._yielded = 0
        self._is_finished = False
        for sample in self._mixed():
            self._yielded += 1
            if self._yielded > skipped:
                yield sample
        self._is_finished = True

    def state_dict(self) -> dict[str, Any]:
        """Return how far this reader is: in the process itself, or in a worker."""
        if self._skipped is not None:
            return self._skipped
        return {
            "epoch": self._epoch[0],
            "yielded": self._yielded,
            "is_finished": self._is_finished,
            "seat": self._seat(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration of the same reader yield the rest."""
        self.set_epoch(state["epoch"])
        # One worker may be finished where others are not; an epoch that is finished is over.
        is_over = state["is_finished"] and get_worker_info() is None
        self._skipped = None if is_over else state

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rank_of_parent": rank_and_ranks()}

    def _mixed(self) -> Iterator[Any]:
        seat = current_seat(self._rank_of_parent)
        generator = generator_of(self._seed, self._epoch[0], seat.rank, seat.worker)
        buffer: list[Any] = []
        for sample in self._dataset:
            if len(buffer) < self._buffer_size:
                buffer.append(sample)
                continue
            index = int(torch.randint(len(buffer), (), generator=generator))
            drawn, buffer[index] = buffer[index], sample
            yield drawn
        while buffer:
            index = int(torch.randint(len(buffer), (), generator=generator))
            buffer[index], buffer[-1] = buffer[-1], buffer[index]
            yield buffer.pop()

    def _take_skipped(self) -> int:
        state, self._skipped = self._skipped, None
        if state is None or state["epoch"] != self._epoch[0]:
            return 0
        if [*state["seat"]] != self._seat():
            raise ValueError(
                f"a shuffle buffer was of rank, ranks, worker, workers {state['seat']}, and cannot "
                f"go on as {self._seat()}"
            )
        return int(state["yielded"])

    def _seat(self) -> list[int]:
        seat = current_seat(self._rank_of_parent)
        return [seat.rank, seat.ranks, seat.worker, seat.workers]
