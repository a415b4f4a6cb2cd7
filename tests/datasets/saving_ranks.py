"""What the ranks of a training do with checkpoints; `torchrun` runs it, and tests look at it.

Each rank writes what it saw to ``rank-N.json`` in the directory that is its only argument. They
also read datasets, as in `reading_rank`: to start them takes longer than either.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from mountfs.datasets.checkpoint_record import CheckpointRecord
from mountfs.datasets.checkpoints import Checkpoints
from mountfs.datasets.dcp import ShardWriter
from mountfs.datasets.key_spread import KeySpread
from tests.datasets.reading_rank import read_as_rank
from tests.process_group import end_rank

ROWS = 12


def expect_error(work: Any) -> str:
    """Return the type of what *work* raises."""
    try:
        work()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def sharded_state(value: float) -> dict[str, Any]:
    """Return a tensor of which each rank has its rows, and one that all have."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    rows = torch.arange(ROWS, dtype=torch.float32)[:, None] + torch.full((ROWS, 4), value)
    return {"rows": distribute_tensor(rows, mesh, [Shard(0)]), "all": torch.full((3,), value)}


def save_files(root: Path, seen: dict[str, Any]) -> None:
    """Save as single files, at once and in the background, well and badly."""
    checkpoints = Checkpoints(root / "files", keep=2, best=("loss", "min"))
    for step, loss in ((1, 0.1), (2, 0.3), (3, 0.2)):
        checkpoints.save({"from": seen["rank"], "step": step}, step, metrics={"loss": loss})
    seen["steps"] = checkpoints.steps()
    seen["from"] = checkpoints.load()["from"]
    seen["best"] = checkpoints.load("best")["step"]
    checkpoints.save_async({"from": seen["rank"], "step": 4}, 4)
    seen["loaded after"] = checkpoints.load()["step"]
    write = CheckpointRecord.write
    CheckpointRecord.write = fail  # type: ignore[method-assign, assignment]
    checkpoints.save_async({"step": 5}, 5)
    seen["error of wait"] = expect_error(checkpoints.wait)
    seen["error of save"] = expect_error(lambda: checkpoints.save({"step": 5}, 5))
    CheckpointRecord.write = write  # type: ignore[method-assign]
    seen["error of load"] = expect_error(lambda: checkpoints.load(77))
    seen["steps after"] = checkpoints.steps()


def fail(record: CheckpointRecord) -> None:
    """Do as a full disk does."""
    raise OSError(28, "No space left on device")


def save_directories(root: Path, seen: dict[str, Any]) -> None:
    """Let each rank write a file, once well, once with one rank that fails."""
    checkpoints = Checkpoints(root / "directories")

    def write(step: int, *, is_failing: bool) -> None:
        with checkpoints.directory(step) as path:
            Path(path, f"of-{seen['rank']}").write_text("x" * (seen["rank"] + 1))
            if is_failing:
                raise OSError(5, "I failed")

    write(1, is_failing=False)
    seen["error of directory"] = expect_error(lambda: write(2, is_failing=seen["rank"] == 1))
    record = checkpoints.latest()
    assert record is not None
    seen["directory"] = [record.step, {**record.sizes_bytes}]


def save_shards(root: Path, seen: dict[str, Any]) -> None:
    """Save a distributed tensor, at once and in the background, and load it back."""
    checkpoints = Checkpoints(root / "shards")
    checkpoints.save_sharded(sharded_state(1.0), 1)
    state = sharded_state(2.0)
    checkpoints.save_sharded_async(state, 2)
    state["rows"].to_local().zero_()
    for step in (1, 2):
        loaded = sharded_state(0.0)
        checkpoints.load_sharded(loaded, step)
        rows = loaded["rows"]
        assert isinstance(rows, DTensor)
        expected = sharded_state(float(step))
        assert torch.equal(expected["rows"].to_local(), rows.to_local())
        assert torch.equal(expected["all"], loaded["all"])
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = ShardWriter(root / "spread", spread=KeySpread.binary(2))
    save(sharded_state(7.0), storage_writer=writer)
    dist.barrier()
    seen["spread"] = sorted(os.listdir(root / "spread"))


def main() -> None:
    """Run on every rank."""
    root = Path(sys.argv[1])
    dist.init_process_group("gloo")
    seen: dict[str, Any] = {"rank": dist.get_rank()}
    save_files(root, seen)
    save_directories(root, seen)
    save_shards(root, seen)
    seen["read"] = {"fork": read_as_rank(root / "data")}
    (root / f"rank-{seen['rank']}.json").write_text(json.dumps(seen))
    end_rank()


if __name__ == "__main__":
    main()
