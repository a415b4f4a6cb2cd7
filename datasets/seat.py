"""Finds out which reader this process is, at the moment when it reads."""

from __future__ import annotations

import os

import torch.distributed
from torch.utils.data import get_worker_info

from mountfs.datasets.partition import Seat


def rank_and_ranks() -> tuple[int, int] | None:
    """Return the rank of this process and how many there are; None where nothing says so.

    The process group knows best; before there is one, and in a worker that was spawned and
    has none, what torchrun puts into the environment does.

    Raises:
        ValueError: The environment contradicts itself.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not 0 <= rank < ranks:
        raise ValueError(f"RANK={rank} is not below WORLD_SIZE={ranks}")
    return rank, ranks


def current_seat(rank_of_parent: tuple[int, int] | None = None) -> Seat:
    """Return the seat of this process.

    Args:
        rank_of_parent: What the process knew that sent its dataset to this worker, for workers
            that neither inherit the process group nor find it in the environment.
    """
    rank, ranks = rank_and_ranks() or rank_of_parent or (0, 1)
    info = get_worker_info()
    if info is None:
        return Seat(rank=rank, ranks=ranks)
    return Seat(rank=rank, ranks=ranks, worker=info.id, workers=info.num_workers)
