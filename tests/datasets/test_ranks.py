"""Several ranks, as torchrun starts them, read each sample once in equally many steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.datasets.conftest import run_ranks, seen_by_ranks
from tests.datasets.loading import SAMPLES, flat

if TYPE_CHECKING:
    from pathlib import Path


def check_read_once(results: list[dict[str, Any]], method: str) -> None:
    """Compare what all ranks together have read with what there is."""
    for kind in ("map", "files", "shards"):
        batches = [result["read"][method][kind] for result in results]
        assert [*range(SAMPLES)] == sorted(flat(batch for one in batches for batch in one)), kind
        assert 1 == len({len(one) for one in batches}), kind


def test_ranks_read_everything_once(ranks: Path) -> None:
    """Both kinds of dataset, with workers that were forked."""
    check_read_once(seen_by_ranks(ranks), "fork")


@pytest.mark.soak
def test_ranks_with_spawned_workers_read_everything_once(tmp_path: Path) -> None:
    """Which know their rank from the process that has started them."""
    run_ranks("reading_rank", 2, tmp_path)
    check_read_once(seen_by_ranks(tmp_path), "spawn")
