"""One rank of a training job that reads everything once; torchrun starts it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed

from mountfs.datasets import BatchSampler, IterableDataset, MapDataset
from tests.datasets.loading import count_in, load, number_of, numbers_in


def read(root: Path, method: str) -> dict[str, Any]:
    """Return the batches of this rank, of each kind of dataset."""
    options: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": method}
    samples = MapDataset(root / "files", transform=number_of)
    sampler = BatchSampler(samples, 4, shuffle=True)
    files = IterableDataset(root / "files", transform=number_of, shuffle=True, batch_size=4)
    shards = IterableDataset(
        root / "shards", expand=numbers_in, counts=count_in, shuffle=True, batch_size=4
    )
    sampler.set_epoch(1)
    return {
        "map": [*load(samples, batch_sampler=sampler, **options)],
        "files": [*load(files, **options)],
        "shards": [*load(shards, **options)],
    }


def main() -> None:
    """Read with both kinds of workers, which find out the rank each in its own way."""
    root = Path(sys.argv[1])
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    result = {"fork": read(root, "fork")}
    if "--spawn" in sys.argv:
        # As where a program passes the rank on by itself: then only the process group knows it.
        del os.environ["RANK"], os.environ["WORLD_SIZE"]
        result["spawn"] = read(root, "spawn")
    (root / f"rank-{rank}-of-{ranks}").write_text(json.dumps(result))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
