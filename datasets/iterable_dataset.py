"""Files, or the samples in shards, as a stream: what ``DataLoader`` calls an iterable dataset."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch.utils.data
from torch.utils.data import get_worker_info

from mountfs.datasets.epoch_progress import EpochProgress, Standing
from mountfs.datasets.partition import TAILS, Tail, steps_of
from mountfs.datasets.reading_pass import ReadingPass
from mountfs.datasets.sample_reader import SKIPPED
from mountfs.datasets.seat import current_seat, rank_and_ranks
from mountfs.datasets.sourced_dataset import SourcedDataset
from mountfs.datasets.stream_plan import CountedPlan, Division, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mountfs.datasets.contents import Contained, Counts, Expand
    from mountfs.datasets.partition import Seat
    from mountfs.datasets.sample_reader import OnError
    from mountfs.datasets.stream_plan import Done


class IterableDataset(SourcedDataset, torch.utils.data.IterableDataset[Any]):
    """The files of a source, or the samples that are in them, streamed.

    In one epoch each sample comes once over all ranks and workers (``tail`` says what happens to
    those that do not fill a step), in an order that depends on seed and epoch only, and every rank
    has equally many steps. Rank and worker are found out when an iteration begins.

    A *step* is a batch if ``batch_size`` is given (then give the data loader ``batch_size=None``,
    and a ``collate_fn`` if lists will not do), else a sample. Only batches that are made here can
    be exact and equally many at once; samples are equally many for every rank where ``tail`` is
    ``pad`` or ``drop``, or their number happens to divide.

    Files are dealt like cards: all workers together yield them in the order of the epoch. Without
    shuffling and on one rank, nothing waits for the end of the listing. Shards (``expand``) are
    streamed, each by as few workers as possible. With several ranks, the number of samples in each
    must be known: from ``counts``, or from the indexes of archives, or else by looking through all
    shards before the first step.

    Args:
        source: As for ``MapDataset``: shards or files.
        expand: Yields what is in a shard, always in the same order: `members`, `samples`, records
            of your own. Without it a file is a sample. If it has a parameter ``start``, as these
            two have, it leaves out so many samples itself; else they are read and forgotten.
        counts: How many samples each shard has, in the order of the source, or how to count one.
        transform: Makes the sample of an item, or of what ``expand`` yields.
        batch_size: Yield lists of so many samples.
        shuffle: Whether to permute the files or shards. ``ShuffleDataset`` mixes samples, too.
        seed: Must be the same on all ranks.
        tail: ``exact``, ``pad`` or ``drop``; see ``partition``.
        on_error: As for ``MapDataset``; a batch from which samples are missing is shorter.
        threads: How many files to fetch ahead in one worker, where files are samples.
    """

    def __init__(
        self,
        source: Contained,
        *,
        expand: Expand | None = None,
        counts: Counts | None = None,
        transform: Callable[[Any], Any] | None = None,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        tail: Tail = "exact",
        on_error: OnError = "raise",
        threads: int = 16,
    ) -> None:
        if tail not in TAILS:
            raise ValueError(f"tail is one of {', '.join(TAILS)}, not {tail!r}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is positive, not {batch_size}")
        super().__init__(
            source,
            expand=expand,
            counts=counts,
            transform=transform,
            on_error=on_error,
            threads=threads,
        )
        self.shuffle = shuffle
        self.seed = seed
        self._batch_size = batch_size
        self._tail: Tail = tail
        self._progress = EpochProgress()
        self._pass: ReadingPass | None = None
        self._rank_of_parent: tuple[int, int] | None = None

    @property
    def epoch(self) -> int:
        """The epoch that comes next, or runs."""
        return self._progress.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration, also for workers that live on."""
        self._progress.epoch = epoch

    def __len__(self) -> int:
        """Return how many batches each rank has in a whole epoch. Lists, and may count.

        Raises:
            TypeError: Nobody knows: samples are not batched here, or shards are not counted.
        """
        division = self._division(current_seat(self._rank_of_parent))
        if self._batch_size is None or not division.is_counted:
            raise TypeError("the length is only known with batch_size, and counts with expand")
        contents = self._contents.in_order(self.seed, self.epoch, is_shuffled=self.shuffle)
        return CountedPlan(contents.ranges_left(()), division).steps

    def __iter__(self) -> Iterator[Any]:
        this = self._begin(current_seat(self._rank_of_parent))
        for batch in this.batches(self._contents, self._reader, self._fetcher):
            samples = [sample for sample in batch if sample is not SKIPPED]
            if self._batch_size is None:
                yield from samples
            elif samples:
                yield samples
            else:
                raise OSError(errno.EIO, "no sample of a batch can be read")

    def state_dict(self, steps: int | None = None) -> dict[str, Any]:
        """Return where this epoch stands.

        Args:
            steps: How many batches the training loop had since the iteration began. Needed with
                workers of a plain ``DataLoader``, which are ahead of the loop; torchdata's
                ``StatefulDataLoader`` asks the workers itself.

        Raises:
            ValueError: It cannot be known without ``steps``; or even with them, since samples are
                not batched here or shards not counted.
        """
        if steps is not None:
            return self._standing_after(steps).to_state()
        this = self._pass
        if this is None and get_worker_info() is not None:  # asked before it began
            seat = current_seat(self._rank_of_parent)
            this = self._pass_of(seat, self._progress.peek(seat.worker))
        if this is None:
            standing = self._progress.pending()
            if standing is None and self._progress.workers > 0:
                raise ValueError("workers are ahead of the loop: say state_dict(steps=...)")
            return (standing or self._standing_after(0)).to_state()
        done: list[Done | None] = [None] * this.division.workers
        done[this.seat.worker] = this.done
        return self._standing(this, tuple(done)).to_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration yield what an epoch has left.

        Must come before the data loader starts its workers. With the same number of ranks and
        workers the rest comes in the order in which it would have come.

        Args:
            state: Of a dataset, or the whole state of a ``StatefulDataLoader``, which need not have
                had as many workers; then this is how to resume, and the loader's own
                ``load_state_dict`` is not.

        Raises:
            ValueError: It is not a state, or one of other files.
        """
        standing = Standing.from_state(state)
        self._refuse_others(standing)
        self.seed = standing.seed
        self._pass = None
        self._progress.load(standing)

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker has no process group to ask.
        return {**self.__dict__, "_pass": None, "_rank_of_parent": rank_and_ranks()}

    def _division(self, seat: Seat, history: Sequence[Segment] = ()) -> Division:
        was_counted = any(segment.division.is_counted for segment in history)
        return Division(
            ranks=seat.ranks,
            workers=seat.workers,
            batch_size=self._batch_size or 1,
            tail=self._tail,
            is_counted=self._contents.has_counts or seat.ranks > 1 or was_counted,
            is_in_runs=self._contents.expand is not None,
        )

    def _begin(self, seat: Seat) -> ReadingPass:
        """Begin an iteration: of the whole epoch, or of what a state that was loaded left."""
        standing = self._progress.take(seat.worker)
        self._progress.begin(seat.worker, seat.workers, is_resumed=standing is not None)
        if standing is not None:
            self._refuse_others(standing)
        self._pass = self._pass_of(seat, standing)
        return self._pass

    def _pass_of(self, seat: Seat, standing: Standing | None) -> ReadingPass:
        segments = () if standing is None else (*standing.history, standing.segment)
        division = self._division(seat, segments)
        start: Done = 0 if division.is_counted else [0, 0]
        if standing is not None:
            last = standing.segment
            known = [worker for worker, done in enumerate(last.done) if done is not None]
            is_same = last.division == division
            if len(known) < len(last.done) and not is_same:
                raise ValueError(
                    "this worker knows only its own part of the state: load the whole state of the "
                    "data loader into the dataset instead"
                )
            turns = last.turns()
            if is_same and (len(known) == 1 or turns is not None):
                segments = standing.history
                # Who would have been next goes first.
                worker = known[0] if len(known) == 1 else seat.worker + (turns or 0)
                seat = replace(seat, worker=worker % seat.workers)
                start = last.done[seat.worker] or start
        return ReadingPass(
            seed=self.seed,
            epoch=self.epoch,
            is_shuffled=self.shuffle,
            history=segments,
            division=division,
            seat=seat,
            done=start,
        )

    def _standing(self, this: ReadingPass, done: tuple[Done | None, ...]) -> Standing:
        return Standing(
            seed=self.seed,
            epoch=this.epoch,
            total=self._contents.total,
            history=this.history,
            segment=Segment(division=this.division, done=done),
            is_finished=this.is_finished,
        )

    def _standing_after(self, steps: int) -> Standing:
        """Return where an epoch stands after some batches of the running iteration."""
        workers = self._progress.workers or 1
        seat = replace(current_seat(self._rank_of_parent), workers=workers)
        standing = self._progress.pending()
        passes = [self._pass_of(replace(seat, worker=w), standing) for w in range(workers)]
        this = passes[0]
        if not this.division.is_counted:
            if steps or workers > 1:
                raise ValueError("without counts, only StatefulDataLoader knows the state")
            return self._standing(this, (this.done,))
        if steps and self._batch_size is None and workers > 1:
            raise ValueError(
                "batches of the loop do not tell how far each worker came: make the batches in the "
                "dataset (batch_size), or use StatefulDataLoader"
            )
        steps += sum(one.done for one in passes if isinstance(one.done, int))
        done = tuple(steps_of(steps, worker, workers) for worker in range(workers))
        return self._standing(this, done)

    def _refuse_others(self, standing: Standing) -> None:
        total = self._contents.total
        if None not in (standing.total, total) and standing.total != total:
            raise ValueError(f"the state is of {standing.total} files or shards, not of {total}")
