"""The checkpoints of one training: saved whole or not at all, found by step, metric or age."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
from typing import TYPE_CHECKING, Any, Literal

import torch

from mountfs.datasets.background_save import BackgroundSave, Frozen
from mountfs.datasets.checkpoint_record import CheckpointRecord, read_records
from mountfs.datasets.durable import list_sizes, merge_sizes, sync_tree
from mountfs.datasets.paths import local_path
from mountfs.datasets.rank_group import join_ranks
from mountfs.datasets.retention import Retention
from mountfs.datasets.save_attempt import SaveAttempt, begin_attempt, remove_checkpoint, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from mountfs.datasets.rank_group import RankGroup

log = logging.getLogger(__name__)

Which = int | Literal["latest", "best"]


class Checkpoints:
    """A directory of checkpoints, written by one training at a time and read by anybody.

    With ``torch.distributed`` every rank calls `save`, `save_async`, `save_sharded`, `wait`,
    `directory`, `load` and `load_sharded`, in the same order: one rank publishes, all return when
    it has, and all raise if one has failed. The rest asks the directory only.

    A save has happened when its record has been written, which is the last thing that it does. So
    one that was interrupted is not there; the next training removes its remains.

    Opens nothing before it is used; can be pickled, and forked.

    Args:
        root: A directory or ``s3://bucket/prefix``. It is made when it is needed.
        keep: How many of the highest steps stay; None: all. The best one and the one that was just
            saved stay in any case.
        best: The metric that makes a checkpoint the best, and its direction: ``("loss", "min")``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        keep: int | None = None,
        best: tuple[str, Literal["min", "max"]] | None = None,
    ) -> None:
        self._place = os.fspath(root)
        self._retention = Retention(keep, best)
        self._ranks: RankGroup | None = None
        self._pending: BackgroundSave | None = None
        self._is_swept = False

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__, "_ranks": None, "_pending": None, "_is_swept": False,
        }  # fmt: skip

    # Finding.

    @property
    def root(self) -> str:
        """The directory.

        Raises:
            NotMountedError: No mount shows it.
        """
        return local_path(self._place)

    def steps(self) -> list[int]:
        """Return the steps of which there are complete checkpoints, in ascending order."""
        return [record.step for record in self._complete()][::-1]

    def latest(self) -> CheckpointRecord | None:
        """Return the complete checkpoint of the highest step; None: there is none."""
        return next(self._complete(), None)

    def best(self) -> CheckpointRecord | None:
        """Return the complete checkpoint with the best metric; None: there is none."""
        if self._retention.best is None:
            raise ValueError('which is best? Say Checkpoints(root, best=("loss", "min"))')
        return self._retention.find_best([*self._complete()])

    def at(self, step: int) -> CheckpointRecord | None:
        """Return the complete checkpoint of one step; None: there is none."""
        return next((record for record in self._complete() if record.step == step), None)

    def _complete(self) -> Iterator[CheckpointRecord]:
        for record in read_records(self.root):
            flaw = record.find_flaw()
            if flaw is None:
                yield record
            else:
                log.warning("the checkpoint of step %d is not complete: %s", record.step, flaw)

    # Saving.

    def save(self, state: Any, step: int, *, metrics: Mapping[str, float] | None = None) -> None:
        """Save what ``torch.save`` takes as one file, from the first rank.

        Raises:
            OSError: It was not saved, here or on another rank; what there was is unchanged.
        """
        ranks = self._join()
        ranks.on_first(
            lambda: self._write_file(lambda file: torch.save(state, file), step, metrics)
        )

    def save_async(
        self, state: Any, step: int, *, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Do as `save`, but return as soon as *state* was copied and may change again.

        One save is under way at a time: this waits for the one before. What goes wrong is raised
        by `wait`, or by the next thing that is saved or loaded (which is then not done).
        """
        ranks = self._join()
        _check(step, metrics)

        def start() -> None:
            frozen = Frozen(state)
            self._pending = BackgroundSave(
                lambda: self._write_file(frozen.write, step, metrics)
            ).start()

        ranks.on_first(start)
        if not ranks.is_first:  # has nothing to do, and waits for the one that has
            self._pending = BackgroundSave(lambda: None).start()

    def save_sharded(
        self, state: Any, step: int, *, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Save what ``torch.distributed.checkpoint.save`` takes, each rank its part.

        Raises:
            OSError, CheckpointException: It was not saved; what there was is unchanged.
        """
        self._write_shards(self._join(), state, step, metrics)

    def save_sharded_async(
        self, state: Any, step: int, *, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Do as `save_sharded`, but return when *state* was copied; see `save_async`."""
        from mountfs.datasets.dcp import ShardWriter

        ranks = self._join()
        _check(step, metrics)
        staged: list[Any] = []
        ranks.on_all(lambda: staged.append(ShardWriter(self.root).stage(state)))
        self._pending = BackgroundSave(
            lambda: self._write_shards(ranks, staged.pop(), step, metrics)
        ).start()

    @contextlib.contextmanager
    def directory(self, step: int, *, metrics: Mapping[str, float] | None = None) -> Iterator[str]:
        """Save a directory: yield the path of an empty one, and publish it at the end.

        All ranks get the same one. If one of them leaves the ``with`` by an exception, nothing is
        published, and the others raise ``OSError``.
        """
        with self._writing(self._join(), step, metrics) as path:
            yield path

    def wait(self) -> None:
        """Wait until everything is saved.

        Raises:
            OSError: What `save_async` was given was not saved, here or on another rank.
        """
        pending, self._pending = self._pending, None
        if pending is not None and pending.is_ours:
            assert self._ranks is not None
            self._ranks.on_all(pending.result)

    def _join(self) -> RankGroup:
        """Let no other save be under way, and return who saves together."""
        self.wait()
        if self._ranks is None or not self._ranks.is_current:
            self._ranks = join_ranks()
        return self._ranks

    def _write_file(
        self,
        write: Callable[[BinaryIO], None],
        step: int,
        metrics: Mapping[str, float] | None,
    ) -> None:
        checked = _check(step, metrics)
        root = self.root
        attempt = self._begin(root, step, is_directory=False)
        try:
            with open(attempt.workplace(root), "xb", buffering=8 << 20) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                size_bytes = file.tell()
            record = attempt.publish(root, checked, {"": size_bytes})
        except BaseException:
            attempt.discard(root)
            raise
        self._prune(record)

    def _write_shards(
        self, ranks: RankGroup, state: Any, step: int, metrics: Mapping[str, float] | None
    ) -> None:
        from mountfs.datasets.dcp import save_shards

        with self._writing(ranks, step, metrics) as path:
            save_shards(state, path, ranks.group)

    @contextlib.contextmanager
    def _writing(
        self, ranks: RankGroup, step: int, metrics: Mapping[str, float] | None
    ) -> Iterator[str]:
        checked = _check(step, metrics)
        root = self.root
        attempt = ranks.on_first(lambda: self._begin(root, step, is_directory=True))
        path = attempt.workplace(root)
        error: BaseException | None = None
        try:
            yield path
        except BaseException as caught:
            error = caught
        try:
            ranks.on_all(lambda: _raise_if(error))
            # Only now is everybody's part written; each rank sees its own, wherever it runs.
            ranks.on_all(lambda: sync_tree(path))
            sizes = ranks.on_all(lambda: list_sizes(path))
            record = ranks.on_first(lambda: attempt.publish(root, checked, merge_sizes(sizes)))
        except BaseException:
            if ranks.is_first:
                attempt.discard(root)
            raise
        if ranks.is_first:
            self._prune(record)

    def _begin(self, root: str, step: int, *, is_directory: bool) -> SaveAttempt:
        if not self._is_swept:  # later remains are our own, and removed when they come to be
            sweep(root)
            self._is_swept = True
        return begin_attempt(root, step, is_directory=is_directory)

    def _prune(self, just_saved: CheckpointRecord) -> None:
        """Remove what need not stay. A failure is no reason to call the save failed."""
        try:
            # Only what is complete counts: it must not be pushed out by what cannot be loaded.
            superseded = self._retention.find_superseded([*self._complete()], just_saved)
            for record in superseded:
                remove_checkpoint(record.root, record.name, record_path=record.record_path)
        except OSError as error:
            log.warning("old checkpoints could not be removed from %s: %s", self._place, error)

    # Loading.

    def load(
        self,
        which: Which = "latest",
        *,
        map_location: Any = "cpu",
        weights_only: bool = True,
        mmap: bool = False,
    ) -> Any:
        """Return what `save` was given, on every rank that of the same step.

        Args:
            which: A step, ``"latest"`` or ``"best"``. What is not complete is not considered.
            map_location: Where tensors go, as for ``torch.load``.
            weights_only: Refuse to unpickle anything but tensors and plain values.
            mmap: Read tensors when they are used.

        Raises:
            FileNotFoundError: There is no such checkpoint.
            IsADirectoryError: It was saved as a directory: see `load_sharded`, or use its path.
        """
        record = self._agree_on(which)
        if record.is_directory:
            raise IsADirectoryError(errno.EISDIR, "a directory: use load_sharded()", record.path)
        return torch.load(
            record.path, map_location=map_location, weights_only=weights_only, mmap=mmap
        )

    def load_sharded(self, state: Any, which: Which = "latest") -> CheckpointRecord:
        """Load into *state*, in place, what `save_sharded` was given by any number of ranks.

        Raises:
            FileNotFoundError: There is no such checkpoint.
            NotADirectoryError: It was saved as a file: see `load`.
        """
        from mountfs.datasets.dcp import load_shards

        record = self._agree_on(which)
        if not record.is_directory:
            raise NotADirectoryError(errno.ENOTDIR, "a single file: use load()", record.path)
        assert self._ranks is not None
        load_shards(state, record.path, self._ranks.group)
        return record

    def _agree_on(self, which: Which) -> CheckpointRecord:
        """Let all ranks take the checkpoint that the first one finds: another may appear now."""
        record = self._join().on_first(lambda: self._find(which))
        if record is None:
            message = f"no complete checkpoint {which!r} in this directory"
            raise FileNotFoundError(errno.ENOENT, message, self._place)
        return dataclasses.replace(record, root=self.root)

    def _find(self, which: Which) -> CheckpointRecord | None:
        if which == "latest":
            return self.latest()
        if which == "best":
            return self.best()
        if not isinstance(which, int):
            raise ValueError(f"which={which!r}: a step, or 'latest', or 'best'")
        return self.at(which)


def _check(step: int, metrics: Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(step, int) or step < 0:
        raise ValueError(f"step={step!r}: the number of the step, 0 or more")
    return {name: float(value) for name, value in (metrics or {}).items()}


def _raise_if(error: BaseException | None) -> None:
    if error is not None:
        raise error
