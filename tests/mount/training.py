"""One epoch as a training script runs it: the program of `test_training.py`.

Unchanged `ImageFolder` and `DataLoader` code; the transform also returns the checksum of the pixels,
so that each sample can be compared with what was stored.
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


def checksum_pixels(image: Image) -> int:
    """Return a checksum of the decoded image."""
    return zlib.crc32(image.convert("RGB").tobytes())


def run_epoch(root: str, workers: int, method: str) -> list[list[Any]]:
    """Return class name and checksum of each sample, in the order of the epoch."""
    dataset = ImageFolder(root, transform=checksum_pixels)
    loader = DataLoader(
        dataset,
        batch_size=16,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=method if workers else None,
        generator=torch.Generator().manual_seed(1),
    )
    return [
        [dataset.classes[label], checksum]
        for checksums, labels in loader
        for checksum, label in zip(checksums.tolist(), labels.tolist(), strict=True)
    ]


def main(root: str, workers: str, method: str) -> None:
    """Run an epoch for each line on standard input, and print its samples as a line of JSON."""
    for _ in sys.stdin:
        print(json.dumps(run_epoch(root, int(workers), method)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
