"""Which epoch it is and where it stands, across a process and its workers.

The process that owns the data loader says which epoch comes next and what to resume. Workers read
that when they begin an iteration, also those that were started epochs ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from torch.utils.data import get_worker_info

from mountfs.datasets.sample_reader import MAX_WORKERS
from mountfs.datasets.shared_integers import SharedIntegers
from mountfs.datasets.stream_plan import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT: Final = "mountfs.datasets.1"
"""Marks a state, so that it is found inside of the state of a data loader."""

# Places in shared memory. The process writes the first two, worker 0 the next two, and each worker
# its own one from _TAKEN on.
_EPOCH, _GENERATION, _WORKERS, _IS_RESUMED, _TAKEN = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an epoch stood: everything of it but the last segment was divided anew."""

    seed: int
    epoch: int
    total: int | None
    history: tuple[Segment, ...]
    segment: Segment
    is_finished: bool

    def to_state(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "epoch": self.epoch,
            "total": self.total,
            "history": [segment.to_state() for segment in self.history],
            "segment": self.segment.to_state(),
            "is_finished": self.is_finished,
        }

    @classmethod
    def from_state(cls, state: Any) -> Standing:
        """Return what a state says, which may be that of a data loader with one in each worker.

        Raises:
            ValueError: There is no state in it, or those in it do not belong together.
        """
        if isinstance(state, dict) and state.get("_steps_since_snapshot"):
            raise ValueError(
                "the state of the loader is older than its last batch: use snapshot_every_n_steps=1"
            )
        found = [cls._from_one(one) for one in _find_states(state)]
        if not found:
            raise ValueError("the state is not one of mountfs.datasets")
        first = found[0]
        done = [*first.segment.done]
        for other in found[1:]:
            is_same = other.history == first.history and other.epoch == first.epoch
            if not is_same or other.segment.division != first.segment.division:
                raise ValueError("the state has parts of different epochs or data loaders")
            for worker, one in enumerate(other.segment.done):
                done[worker] = one if one is not None else done[worker]
        segment = Segment(division=first.segment.division, done=tuple(done))
        return cls(
            seed=first.seed,
            epoch=first.epoch,
            total=first.total,
            history=first.history,
            segment=segment,
            is_finished=all(one.is_finished for one in found),
        )

    @classmethod
    def _from_one(cls, state: dict[str, Any]) -> Standing:
        return cls(
            seed=state["seed"],
            epoch=state["epoch"],
            total=state["total"],
            history=tuple(Segment.from_state(one) for one in state["history"]),
            segment=Segment.from_state(state["segment"]),
            is_finished=state["is_finished"],
        )


class EpochProgress:
    """The epoch to iterate next, and what to resume in it, once."""

    def __init__(self) -> None:
        self._shared = SharedIntegers(_TAKEN + MAX_WORKERS)
        self._generation = 0  # counts the states that were loaded into this copy
        self._standing: Standing | None = None
        self._is_own = False  # loaded by this worker, not by the process that started it

    @property
    def epoch(self) -> int:
        """The epoch that comes next, or runs."""
        return self._shared[_EPOCH]

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._shared[_EPOCH] = epoch

    @property
    def workers(self) -> int:
        """How many workers the last iteration had; 0 before the first one."""
        return self._shared[_WORKERS]

    def load(self, standing: Standing) -> None:
        """Let the next iteration begin where an epoch stood."""
        self._shared[_EPOCH] = standing.epoch
        self._is_own = get_worker_info() is not None
        # A worker may be finished where others are not; an epoch that is finished is over.
        self._standing = standing if self._is_own or not standing.is_finished else None
        if not self._is_own:
            # Workers that run already have another copy, which cannot know the new state.
            self._generation += 1
            self._shared[_GENERATION] = self._generation

    def take(self, worker: int) -> Standing | None:
        """Return what an iteration that begins now has to resume, if anything.

        Each worker is told once: the next iteration is the whole epoch again.

        Raises:
            RuntimeError: A state was loaded after the worker was started.
        """
        if self._shared[_GENERATION] != self._generation:
            raise RuntimeError(
                "load_state_dict came after the workers were started: make a new DataLoader first"
            )
        standing = self.peek(worker)
        if self._is_own:
            self._standing = None
        self._shared[_TAKEN + worker % MAX_WORKERS] = self._generation
        return standing

    def peek(self, worker: int) -> Standing | None:
        """Return what an iteration would have to resume if it began now."""
        standing = self._standing
        is_taken = self._shared[_TAKEN + worker % MAX_WORKERS] == self._generation
        if standing is None or standing.epoch != self.epoch or (is_taken and not self._is_own):
            return None
        return standing

    def begin(self, worker: int, workers: int, *, is_resumed: bool) -> None:
        """Note for the process how its workers iterate."""
        if worker == 0:
            self._shared[_WORKERS] = workers
            self._shared[_IS_RESUMED] = is_resumed

    def pending(self) -> Standing | None:
        """Return what the iteration that runs resumed, or the next one would."""
        is_taken = self._shared[_TAKEN] == self._generation
        if self.workers and is_taken and not self._shared[_IS_RESUMED]:
            return None
        standing = self._standing
        return standing if standing is not None and standing.epoch == self.epoch else None


def _find_states(state: Any) -> Iterator[dict[str, Any]]:
    if isinstance(state, dict):
        if state.get("format") == FORMAT:
            yield state
        else:
            for value in state.values():
                yield from _find_states(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _find_states(value)
