"""Make a small set of images and put it into a bucket: four classes that a small network can learn.

The store is the one that the environment names (``AWS_ENDPOINT_URL`` and credentials).
"""

from __future__ import annotations

import argparse
import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

PIXELS = 96
SEED = 42
UPLOADS_AT_ONCE = 4
"""More do not help: the demo's store is one Python process."""


def paint(kind: str, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint one image of a class, in random colours, scale and place, under noise."""
    y, x = np.mgrid[0:PIXELS, 0:PIXELS]
    period = random.uniform(10, 24)
    phase = random.uniform(0, period, size=2)
    horizontal = ((y + phase[0]) % period < period / 2).astype(float)
    vertical = ((x + phase[1]) % period < period / 2).astype(float)
    centre = random.uniform(PIXELS * 0.3, PIXELS * 0.7, size=2)
    ring = np.hypot(y - centre[0], x - centre[1]) % period < period / 2
    mask = {
        "checkers": np.abs(horizontal - vertical),
        "columns": vertical,
        "rings": ring.astype(float),
        "rows": horizontal,
    }[kind][..., np.newaxis]
    dark, bright = random.uniform(0, 110, size=3), random.uniform(145, 255, size=3)
    noise = random.normal(0, 12, size=(PIXELS, PIXELS, 3))
    image: npt.NDArray[np.float64] = mask * bright + (1 - mask) * dark + noise
    return image.clip(0, 255).astype(np.uint8)


def make_files(images_a_class: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and contents of every file; each fourth is a PNG, the others are JPEGs."""
    random = np.random.default_rng(SEED)
    for kind in ("checkers", "columns", "rings", "rows"):
        for number in range(images_a_class):
            suffix, kind_of_file = (".png", "PNG") if number % 4 == 3 else (".jpg", "JPEG")
            buffer = io.BytesIO()
            Image.fromarray(paint(kind, random)).save(buffer, kind_of_file)
            yield f"train/{kind}/{number:04d}{suffix}", buffer.getvalue()


def main() -> None:
    """Create the bucket and fill it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bucket")
    parser.add_argument("--images-a-class", type=int, default=100)
    arguments = parser.parse_args()
    client = boto3.client("s3")
    client.create_bucket(Bucket=arguments.bucket)
    files = list(make_files(arguments.images_a_class))
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = [
            pool.submit(client.put_object, Bucket=arguments.bucket, Key=key, Body=body)
            for key, body in files
        ]
        for upload in uploads:
            upload.result()
    size = sum(len(body) for _, body in files)
    print(f"{len(files)} images, {size / 1e6:.1f} MB, in s3://{arguments.bucket}/train")
    client.close()


if __name__ == "__main__":
    main()
