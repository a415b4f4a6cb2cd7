"""Several ranks, as torchrun starts them, read each sample once in equally many steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datasets.loading import flat, make_files, make_shards

COUNTS = (7, 0, 12, 1, 5)
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("ranks", "more"),
    [
        (3, []),
        pytest.param(2, [], marks=pytest.mark.soak),
        pytest.param(2, ["--spawn"], marks=pytest.mark.soak),
    ],
)
def test_ranks_read_everything_once(tmp_path: Path, ranks: int, more: list[str]) -> None:
    """Both kinds of dataset, with workers that were forked or spawned."""
    make_files(tmp_path / "files", 25)
    make_shards(tmp_path / "shards", COUNTS)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(ranks), "-m", "tests.datasets.reading_rank", str(tmp_path), *more,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert 0 == done.returncode, done.stderr
    results = [
        json.loads((tmp_path / f"rank-{rank}-of-{ranks}").read_text()) for rank in range(ranks)
    ]
    for method in results[0]:
        for kind in ("map", "files", "shards"):
            batches = [result[method][kind] for result in results]
            assert [*range(25)] == sorted(flat(batch for one in batches for batch in one)), kind
            assert 1 == len({len(one) for one in batches}), kind
