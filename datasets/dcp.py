"""``torch.distributed.checkpoint`` in a directory: keys that spread, reads that are few.

The format is that of torch's own writer: each of the two works with torch's other half.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from torch.distributed.checkpoint.filesystem import (
    FileSystem,
    FileSystemReader,
    FileSystemWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mountfs.datasets.extent import Extent
from mountfs.datasets.extent_file import AHEAD, ExtentFile
from mountfs.datasets.key_spread import KeySpread
from mountfs.datasets.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan
    from torch.futures import Future

__all__ = ["KeySpread", "ShardReader", "ShardWriter"]


class ShardWriter(FileSystemWriter):
    """Writes the shards of a checkpoint to a directory or ``s3://bucket/prefix``.

    Args:
        path: Where to; may be left to ``checkpoint_id``.
        spread: Puts the files of the ranks into different directories below; None: all in one.
        options: As for ``torch.distributed.checkpoint.FileSystemWriter``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "",
        *,
        spread: KeySpread | None = None,
        **options: Any,
    ) -> None:
        super().__init__(local_path(path), **options)
        self.spread = spread

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin another checkpoint, perhaps elsewhere."""
        super().reset(None if checkpoint_id is None else local_path(checkpoint_id))

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Say where the files of each rank go."""
        plans = super().prepare_global_plan(plans)
        if self.spread is None:
            return plans
        # Without collectives each rank plans for itself: the place in the list says nothing.
        is_alone = not getattr(self, "use_collectives", True)
        ranks = [self.rank or 0] if is_alone else range(len(plans))
        return [
            _move(plan, self.spread.directory_of(rank))
            for rank, plan in zip(ranks, plans, strict=True)
        ]

    def write_data(self, plan: SavePlan, planner: Any) -> Future[Any]:
        """Write what the plan says, below the directory of this rank."""
        directory = os.path.dirname(os.path.join(self.path, plan.storage_data.prefix))
        os.makedirs(directory, exist_ok=True)
        return super().write_data(plan, planner)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether it is a path, or the address of something that is mounted."""
        return _is_valid(checkpoint_id)


class ShardReader(FileSystemReader):
    """Reads the shards of a checkpoint in the order of their offsets, near ones together.

    Args:
        path: A directory or ``s3://bucket/prefix``; may be left to ``checkpoint_id``.
        options: As for ``torch.distributed.checkpoint.FileSystemReader``.
    """

    def __init__(self, path: str | os.PathLike[str] = "", **options: Any) -> None:
        super().__init__(local_path(path), **options)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin another checkpoint, perhaps elsewhere."""
        super().reset(None if checkpoint_id is None else local_path(checkpoint_id))

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read what the plan says.

        Raises:
            OSError: A file is missing or shorter than it was.
        """

        def place_of(item: Any) -> tuple[str, int]:
            stored = self.storage_data[item.storage_index]
            return stored.relative_path, stored.offset

        extents: dict[str, list[Extent]] = {}
        items = sorted(plan.items, key=place_of)
        for item in items:
            stored = self.storage_data[item.storage_index]
            path = os.path.join(self.path, stored.relative_path)
            extents.setdefault(path, []).append(
                Extent(stored.offset, stored.offset + stored.length)
            )
        files = self.fs
        with ThreadPoolExecutor(AHEAD + 1, thread_name_prefix="shards") as executor:
            self.fs = _ExtentFileSystem(extents, executor)
            try:
                return super().read_data(dataclasses.replace(plan, items=items), planner)
            finally:
                self.fs = files

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether it is a path, or the address of something that is mounted."""
        return _is_valid(checkpoint_id)


class _ExtentFileSystem(FileSystem):
    """Opens files of which is known what will be read of them."""

    def __init__(self, extents: dict[str, list[Extent]], executor: ThreadPoolExecutor) -> None:
        self._extents = extents
        self._executor = executor

    @contextlib.contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        with io.FileIO(path, mode) as raw:
            extents = self._extents[os.fspath(path)]
            with ExtentFile(raw, extents, self._executor) as file:
                yield file


def save_shards(state: Any, path: str, group: Any) -> None:
    """Save *state* to a directory, from all ranks of *group* (None: this process alone)."""
    save(state, storage_writer=ShardWriter(path), process_group=group, no_dist=group is None)


def load_shards(state: Any, path: str, group: Any) -> None:
    """Load *state* from a directory, to all ranks of *group* (None: this process alone)."""
    load(state, storage_reader=ShardReader(path), process_group=group, no_dist=group is None)


def _move(plan: SavePlan, directory: str) -> SavePlan:
    prefix = dataclasses.replace(
        plan.storage_data, prefix=f"{directory}/{plan.storage_data.prefix}"
    )
    return dataclasses.replace(plan, storage_data=prefix)


def _is_valid(checkpoint_id: str | os.PathLike[str]) -> bool:
    try:
        path = local_path(checkpoint_id)
    except OSError:
        return False
    return FileSystem.validate_checkpoint_id(path)
