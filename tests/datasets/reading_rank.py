"""One rank of a training job that reads everything once; torchrun starts it.

Arguments: the directory to read, in which each rank writes what it had.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed

from mountfs.datasets import BatchSampler, IterableDataset, MapDataset
from tests.datasets.loading import count_in, load, number_of, numbers_in
from tests.process_group import end_rank


def read_as_rank(root: Path, method: str = "fork") -> dict[str, Any]:
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
    """Read with workers that neither inherit the process group nor find it in the environment."""
    root = Path(sys.argv[1])
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    # As where a program passes the rank on by itself: then only the process group knows it.
    del os.environ["RANK"], os.environ["WORLD_SIZE"]
    result = {"rank": rank, "read": {"spawn": read_as_rank(root / "data", "spawn")}}
    (root / f"rank-{rank}.json").write_text(json.dumps(result))
    torch.distributed.barrier()
    end_rank()


if __name__ == "__main__":
    main()
