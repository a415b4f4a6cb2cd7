"""Epochs as a training script runs them: the program of `test_training.py`.

Unchanged `ImageFolder` and `DataLoader` code; the transform returns the checksum of the pixels, so
that each sample can be compared with what was stored. It reads orders from standard input (JSON
lists of root, workers and start method, one a line) and answers each with the samples of an epoch.
"""

from __future__ import annotations

import json
import sys
import zlib
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

if TYPE_CHECKING:
    from PIL.Image import Image

    Samples = list[list[Any]]


def checksum_pixels(image: Image) -> int:
    """Return a checksum of the decoded image."""
    return zlib.crc32(image.convert("RGB").tobytes())


def make_loader(root: str, workers: int, method: str) -> DataLoader[Any]:
    """Make the loader for one training; workers are kept between epochs where starting is dear."""
    return DataLoader(
        ImageFolder(root, transform=checksum_pixels),
        batch_size=16,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=method if workers else None,
        persistent_workers=workers > 0 and method == "spawn",
        generator=torch.Generator().manual_seed(1),
    )


def run_epoch(loader: DataLoader[Any]) -> Samples:
    """Return class name and checksum of each sample, in the order of the epoch."""
    classes = loader.dataset.classes  # type: ignore[attr-defined]
    return [
        [classes[label], checksum]
        for checksums, labels in loader
        for checksum, label in zip(checksums.tolist(), labels.tolist(), strict=True)
    ]


def main() -> None:
    """Obey until standard input ends; an empty line asks for one more epoch of the same."""
    loader: DataLoader[Any] | None = None
    for line in sys.stdin:
        if line.strip():
            loader = make_loader(*json.loads(line))
        assert loader is not None
        sys.stdout.write(json.dumps(run_epoch(loader)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
