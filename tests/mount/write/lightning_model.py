"""A training with Lightning that is as short as can be: the model of `test_torch.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from pathlib import Path


class Model(LightningModule):  # type: ignore[misc, unused-ignore]
    """A line through points."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """Return the loss of one batch."""
        inputs, outputs = batch
        loss = torch.nn.functional.mse_loss(self.layer(inputs), outputs)
        self.log("loss", loss, on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the plainest."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(directory: Path, *, epochs: int, resume_from: Path | None = None) -> None:
    """Train up to *epochs*, with checkpoints in *directory*: ``best.ckpt`` and ``last.ckpt``."""
    inputs = torch.linspace(0, 1, 32)[:, None]
    loader = DataLoader(TensorDataset(inputs, 3 * inputs + 1), batch_size=8)
    checkpoints = ModelCheckpoint(
        dirpath=directory,
        filename="best",
        monitor="loss",
        save_top_k=1,
        save_last=True,
        enable_version_counter=False,
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[checkpoints],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
    )
    trainer.fit(Model(), loader, ckpt_path=resume_from, weights_only=False)
