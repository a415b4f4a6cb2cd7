"""An unchanged mmengine training in a directory; a test runs it and looks at the files.

Arguments: the directory, the number of epochs, and ``resume`` to go on with what is there.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, TensorDataset


class Model(BaseModel):  # type: ignore[misc]
    """A line through the origin."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1, bias=False)

    def forward(self, batch: Any, mode: str = "tensor") -> Any:
        """Return what the mode asks for."""
        predicted = self.layer(batch)
        if mode == "loss":
            return {"loss": predicted.square().mean()}
        return predicted


class Score(BaseMetric):  # type: ignore[misc]
    """Is best after the second epoch."""

    epoch = 0

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Note that there was a batch."""
        self.results.append(1)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the score of the epoch."""
        Score.epoch += 1
        return {"score": 1.0 - abs(2 - Score.epoch) / 10}


def main() -> None:
    """Train."""
    directory, epochs = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.rand(8, 4)), batch_size=2)
    runner = Runner(
        model=Model(),
        work_dir=directory,
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": epochs, "val_interval": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        val_dataloader=loader,
        val_cfg={},
        val_evaluator=Evaluator(Score()),
        default_hooks={
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": 1,
                "max_keep_ckpts": 2,
                "save_best": "score",
                "rule": "greater",
                "out_dir": f"{directory}/ckpt",
            },
            "logger": {
                "type": "LoggerHook",
                "interval": 1,
                "out_dir": f"{directory}/logs",
                "keep_local": False,
            },
        },
        experiment_name="run",
        resume="resume" in sys.argv[3:],
        load_from=None,
    )
    runner.train()


if __name__ == "__main__":
    main()
