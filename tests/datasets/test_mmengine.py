from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datasets.conftest import MOUNT

PROGRAM = Path(__file__).with_name("mmengine_training.py")

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    # mmengine saves its own classes and loads them without saying that it trusts them, which
    # torch has refused since 2.6. With files elsewhere it is the same.
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
}


def train(*arguments: object) -> str:
    """Run the training and return what it has logged."""
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "place",
    [pytest.param("directory", marks=pytest.mark.soak), pytest.param("mount", marks=MOUNT)],
    indirect=True,
)
def test_mmengine_runs_unchanged(place: Path) -> None:
    """Runner, CheckpointHook and LoggerHook: newest and best checkpoints, mirrored logs, resume."""
    train(place / "run", 4)
    checkpoints = place / "run" / "ckpt" / "run"
    assert {"best_score_epoch_2.pth", "epoch_3.pth", "epoch_4.pth"} == {*os.listdir(checkpoints)}
    logs = place / "run" / "logs" / "run"
    scalars = (logs / "vis_data" / "scalars.json").read_text().splitlines()
    assert 4 * 4 + 4 == len(scalars)
    assert 1 == len([*logs.glob("*.log")]) == len([*(place / "run").rglob("*.log")])  # moved
    assert str(checkpoints / "epoch_4.pth") == (place / "run" / "last_checkpoint").read_text()
    text = train(place / "run", 5, "resume")
    assert "Epoch(train) [5]" in text
    assert "Epoch(train) [4]" not in text
    assert {"epoch_4.pth", "epoch_5.pth"} <= {*os.listdir(checkpoints)}
