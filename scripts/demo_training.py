"""Train a small ResNet on a directory of images: ordinary torchvision code, for any directory.

Nothing here knows what the directory is, on a disk or a mounted bucket.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models.resnet import BasicBlock, ResNet

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE_PIXELS = 64
BATCH_SIZE = 16
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was done, and how long it took.

    Attributes:
        name: for the table.
        files: how many were found or read.
        seconds: of wall time.
        loss: the mean over the epoch; None outside of training.
        accuracy: the fraction of right answers; None outside of training.
    """

    name: str
    files: int
    seconds: float
    loss: float | None = None
    accuracy: float | None = None


def train(directory: str, *, epochs: int, workers: int, on_stage: Callable[[Stage], None]) -> None:
    """Train for some epochs; call *on_stage* after the search for files and after each epoch."""
    torch.manual_seed(SEED)
    started = time.perf_counter()
    dataset = ImageFolder(
        directory,
        transforms.Compose(
            [
                transforms.Resize((IMAGE_PIXELS, IMAGE_PIXELS)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        ),
    )
    elapsed = time.perf_counter() - started
    on_stage(Stage(name="find the files", files=len(dataset), seconds=elapsed))

    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=len(dataset.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()
    model.train()
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        loss_sum, right = 0.0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            answers = model(images)
            loss = loss_function(answers, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            right += int((answers.argmax(1) == labels).sum())
        on_stage(
            Stage(
                name=f"epoch {epoch}",
                files=len(dataset),
                seconds=time.perf_counter() - started,
                loss=loss_sum / len(dataset),
                accuracy=right / len(dataset),
            )
        )
