"""Batches of a map dataset, for each rank its own, equally many for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import Sampler

from mountfs.datasets.order import shuffled
from mountfs.datasets.partition import TAILS, Tail, cut_by_bytes, cut_by_count
from mountfs.datasets.seat import current_seat

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Sequence, Sized


class BatchSampler(Sampler[list[int]]):
    """Indices of a map dataset in batches: ``DataLoader(dataset, batch_sampler=...)``.

    In one epoch each index comes once over all ranks (``tail`` says what happens to those that
    do not fill a step), and every rank has the same number of batches, which ``len`` gives. The
    order depends on ``seed`` and epoch only: with another number of ranks or another batch size
    the same order is cut differently. Workers have no part in it, so neither has prefetching.

    The state is how many samples all ranks together had, so it also fits another number of ranks
    or another batch size. The next iteration after ``load_state_dict`` yields the rest.

    Args:
        dataset: What is indexed, or how many samples it has.
        batch_size: Samples of a batch on one rank.
        max_bytes: Instead of ``batch_size``: bytes of a batch; a larger sample comes alone.
        sizes_bytes: With ``max_bytes``: the size of each sample, as ``MapDataset.sizes`` has it.
        shuffle: Whether to permute.
        seed: Must be the same on all ranks.
        tail: ``exact``, ``pad`` or ``drop``; see ``partition``.
    """

    def __init__(
        self,
        dataset: Sized | int,
        batch_size: int | None = None,
        *,
        max_bytes: int | None = None,
        sizes_bytes: Sequence[int] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        tail: Tail = "exact",
    ) -> None:
        if (batch_size is None) == (max_bytes is None):
            raise ValueError("a batch needs either batch_size or max_bytes")
        if (max_bytes is None) != (sizes_bytes is None):
            raise ValueError("max_bytes needs sizes_bytes, and only max_bytes does")
        if (batch_size or max_bytes or 0) < 1:
            raise ValueError(f"batch_size and max_bytes are positive, not {batch_size, max_bytes}")
        if tail not in TAILS:
            raise ValueError(f"tail is one of {', '.join(TAILS)}, not {tail!r}")
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._dataset = dataset
        self._batch_size = batch_size
        self._max_bytes = max_bytes
        self._sizes_bytes = sizes_bytes
        self._tail: Tail = tail
        self._start = 0  # how many samples of this epoch's order were consumed before the plan
        self._steps = 0  # how many batches each rank had since
        self._first_step = 0  # and had when the iteration began
        self._is_resuming = False
        self._is_finished = False
        self._plan: tuple[tuple[Any, ...], array[int]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; forget where another one stood."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._begin()

    def __len__(self) -> int:
        """Return how many batches an iteration that starts now yields on this rank."""
        seat = current_seat()
        if not self._is_resuming:
            return (len(self._cuts(0, seat.ranks)) - 1) // seat.ranks
        return (len(self._cuts(self._start, seat.ranks)) - 1) // seat.ranks - self._steps

    def __iter__(self) -> Iterator[list[int]]:
        seat = current_seat()
        if not self._is_resuming:
            self._begin()
        self._is_resuming = self._is_finished = False
        self._first_step = self._steps
        epoch, start, total = self.epoch, self._start, self._total()
        order = shuffled(total, self.seed, epoch) if self.shuffle else None
        cuts = self._cuts(start, seat.ranks)
        for step in range(self._steps, (len(cuts) - 1) // seat.ranks):
            number = step * seat.ranks + seat.rank
            # Positions past the end are those that pad repeats, from the start of the order.
            positions = [(start + p) % total for p in range(cuts[number], cuts[number + 1])]
            self._steps = step + 1
            yield positions if order is None else order[positions].tolist()
        self._is_finished = True

    def state_dict(self, steps: int | None = None) -> dict[str, Any]:
        """Return where this epoch stands.

        Args:
            steps: How many batches the training loop had since the iteration began. Needed with
                workers, for which a ``DataLoader`` asks batches in advance; torchdata's
                ``StatefulDataLoader`` keeps the account itself.
        """
        seat = current_seat()
        is_finished = self._is_finished
        if steps is None:
            steps = self._steps
        else:
            steps += self._first_step
            is_finished = steps * seat.ranks >= len(self._cuts(self._start, seat.ranks)) - 1
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "total": self._total(),
            "start": self._start,
            "steps": steps,
            "samples": self._consumed(steps, seat.ranks),
            "plan": self._plan_key(seat.ranks),
            "is_finished": is_finished,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration yield what the epoch of the state has left.

        Raises:
            ValueError: The state is of another number of samples.
        """
        if state["total"] != self._total():
            raise ValueError(
                f"the state is of {state['total']} samples, the dataset has {self._total()}"
            )
        self.seed, self.epoch = state["seed"], state["epoch"]
        self._begin()
        self._is_resuming = not state["is_finished"]
        if not self._is_resuming:
            return
        if [*state["plan"]] == self._plan_key(current_seat().ranks):
            # The same batches again, also where the tail was spread over the last steps.
            self._start, self._steps = state["start"], state["steps"]
            self._first_step = self._steps
        else:
            self._start = state["samples"]

    def _begin(self) -> None:
        self._start = self._steps = self._first_step = 0
        self._is_resuming = self._is_finished = False

    def _total(self) -> int:
        return self._dataset if isinstance(self._dataset, int) else len(self._dataset)

    def _plan_key(self, ranks: int) -> list[Any]:
        return [ranks, self._batch_size, self._max_bytes, self._tail, self.shuffle]

    def _consumed(self, steps: int, ranks: int) -> int:
        cuts = self._cuts(self._start, ranks)
        return min(self._start + cuts[min(steps * ranks, len(cuts) - 1)], self._total())

    def _cuts(self, start: int, ranks: int) -> array[int]:
        """Return the cut list of what is left after ``start`` samples."""
        total = self._total()
        key = (start, ranks, total, self.seed, self.epoch)
        if self._plan is None or self._plan[0] != key:
            self._plan = key, self._make_cuts(start, total, ranks)
        return self._plan[1]

    def _make_cuts(self, start: int, total: int, ranks: int) -> array[int]:
        if self._batch_size is not None:
            return cut_by_count(total - start, self._batch_size, ranks, self._tail)
        assert self._max_bytes is not None
        assert self._sizes_bytes is not None
        sizes_bytes = self._sizes_bytes
        if len(sizes_bytes) != total:
            raise ValueError(f"{len(sizes_bytes)} sizes for {total} samples")
        order = shuffled(total, self.seed, self.epoch).tolist() if self.shuffle else range(total)
        left = (sizes_bytes[order[position]] for position in range(start, total))
        return cut_by_bytes(left, self._max_bytes, ranks, self._tail)
