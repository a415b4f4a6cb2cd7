"""Distributed checkpoints of two ranks: the program of `test_torch.py`.

torchrun --nproc-per-node 2 -m tests.mount.write.distributed DIRECTORY
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from tests.process_group import end_rank

ROWS, COLUMNS = 64, 1000


def make_state(step: int) -> dict[str, torch.Tensor]:
    """Return a tensor that is split over the ranks and one that all have; the values say *step*."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    whole = torch.arange(ROWS * COLUMNS, dtype=torch.float32).reshape(ROWS, COLUMNS) + step
    return {
        "split": distribute_tensor(whole, mesh, [Shard(0)]),
        "common": torch.full((10,), float(step)),
    }


def check_loads(directory: Path, step: int) -> None:
    """Load a checkpoint into other tensors and compare; also the whole of it at once."""
    loaded = make_state(-1)
    load(loaded, checkpoint_id=directory)
    for name, value in make_state(step).items():
        found = loaded[name]
        if isinstance(value, DTensor) and isinstance(found, DTensor):
            value, found = value.to_local(), found.to_local()
        assert torch.equal(value, found), (name, step)


def main() -> None:
    """Save, load, overwrite, and save in the background, twice at once."""
    directory = Path(sys.argv[1])
    dist.init_process_group("gloo")
    for step in (1, 2):
        save(make_state(step), checkpoint_id=directory / "saved")
        check_loads(directory / "saved", step)
    saving = async_save(make_state(3), checkpoint_id=directory / "later")
    assert isinstance(saving, Future)
    saving.result()
    dist.barrier()
    check_loads(directory / "later", 3)
    dist.barrier()
    end_rank()


if __name__ == "__main__":
    main()
