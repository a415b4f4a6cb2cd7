from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch
from torch.distributed.checkpoint.state_dict_loader import load

from mountfs.datasets.checkpoints import Checkpoints
from mountfs.datasets.dcp import ShardReader
from tests.datasets.conftest import seen_by_ranks
from tests.datasets.saving_ranks import ROWS

if TYPE_CHECKING:
    from pathlib import Path


def test_all_ranks_see_what_the_first_one_published(ranks: Path) -> None:
    """One file a step, the newest and the best, with the state of the first rank."""
    for seen in seen_by_ranks(ranks):
        assert [1, 2, 3] == seen["steps"]
        assert (0, 1, 4) == (seen["from"], seen["best"], seen["loaded after"])
    records = {f"step-0000000{step}.{kind}" for step in (1, 3, 4) for kind in ("pt", "json")}
    assert records == {*os.listdir(ranks / "files")}


def test_all_ranks_learn_of_a_failure_of_the_first(ranks: Path) -> None:
    """From wait, from save and from load; nothing has changed."""
    for seen in seen_by_ranks(ranks):
        assert "No space left" in seen["error of wait"]
        assert "No space left" in seen["error of save"]
        assert "FileNotFoundError" in seen["error of load"]
        assert [1, 3, 4] == seen["steps after"]
        if seen["rank"] > 0:
            assert "rank 0 failed" in seen["error of save"]


def test_a_rank_that_fails_keeps_a_directory_from_being_published(ranks: Path) -> None:
    """It raises its own error, the others one that names it; the one before is complete."""
    seen_by_all = seen_by_ranks(ranks)
    for seen in seen_by_all:
        assert [1, {f"of-{n}": n + 1 for n in range(len(seen_by_all))}] == seen["directory"]
        expected = "I failed" if seen["rank"] == 1 else "rank 1 failed (1 in all): OSError"
        assert expected in seen["error of directory"]
    assert {"step-00000001", "step-00000001.json"} == {*os.listdir(ranks / "directories")}


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_one_process_loads_what_several_saved(ranks: Path) -> None:
    """As a whole tensor."""
    rows = torch.arange(ROWS, dtype=torch.float32)[:, None].expand(ROWS, 4)
    for step in (1, 2):
        state = {"rows": torch.zeros(ROWS, 4), "all": torch.zeros(3)}
        Checkpoints(ranks / "shards").load_sharded(state, step)
        assert torch.equal(rows + step, state["rows"])
    state = {"rows": torch.zeros(ROWS, 4)}
    load(state, storage_reader=ShardReader(ranks / "spread"), no_dist=True)
    assert torch.equal(rows + 7, state["rows"])


def test_each_rank_writes_to_its_directory(ranks: Path) -> None:
    """With two directories the third rank begins again."""
    for seen in seen_by_ranks(ranks):
        assert [".metadata", "0", "1"] == seen["spread"]
    in_first = {name.split("_")[2] for name in os.listdir(ranks / "spread" / "0")}
    assert {str(n) for n in range(len(seen_by_ranks(ranks))) if n % 2 == 0} == in_first
