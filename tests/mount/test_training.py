"""What all of it is for: unchanged training code over a mounted bucket."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import uuid
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.mount.content import make_bytes, put_objects
from tests.mount.mounted import ROOT, Mount, mounting
from tests.mount.pinned_pages import pinned_pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.proxy import Proxy
    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount

CLASSES, PER_CLASS = 6, 20


class Images(NamedTuple):
    """A bucket of images.

    Attributes:
        bucket: its name.
        samples: class and checksum of the pixels of each image, sorted.
    """

    bucket: str
    samples: list[list[Any]]


@pytest.fixture(scope="module")
def images(rgw: Rgw, s3: S3Client) -> Iterator[Images]:
    """Fill a bucket with small images, a folder for each class."""
    objects: dict[str, bytes] = {}
    samples: list[list[Any]] = []
    for label in range(CLASSES):
        for number in range(PER_CLASS):
            pixels = np.frombuffer(make_bytes(64 * 48 * 3, (label, number)), np.uint8)
            encoded = io.BytesIO()
            Image.fromarray(pixels.reshape(48, 64, 3)).save(encoded, "PNG")
            objects[f"train/class {label}/{number}.png"] = encoded.getvalue()
            samples.append([f"class {label}", zlib.crc32(pixels.tobytes())])
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    put_objects(s3, bucket, objects)
    yield Images(bucket, sorted(samples))
    rgw.purge_bucket(bucket)


class Trainer:
    """A training script that runs an epoch when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def train(self, mount: Mount, workers: int, method: str) -> list[list[Any]]:
        """Begin a training and run its first epoch; return the samples in their order."""
        return self._order(json.dumps([str(mount.path / "train"), workers, method]))

    def run_epoch(self) -> list[list[Any]]:
        """Run one more epoch."""
        return self._order("")

    def _order(self, line: str) -> list[list[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        samples: list[list[Any]] = json.loads(self._process.stdout.readline())
        return samples


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    """Start the training script, once, since it imports torch; it must end with 0."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.mount.training"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Trainer(process)
            output, _ = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
        assert (process.returncode, output) == (0, "")


@pytest.mark.parametrize(
    ("workers", "method", "option"),
    [
        (0, "fork", "--no-read-only"),
        (0, "spawn", "--read-only"),
        (2, "fork", "--read-only"),
        (4, "fork", "--no-read-only"),
        (2, "spawn", "--no-read-only"),
        pytest.param(4, "spawn", "--read-only", marks=pytest.mark.soak),
    ],
)
def test_every_sample_is_right_and_the_second_epoch_costs_nothing(
    images: Images,
    trainer: Trainer,
    proxy: Proxy,
    tmp_path: Path,
    workers: int,
    method: str,
    option: str,
) -> None:
    """Every image once, its pixels unchanged; one GET each, and no request for cached pages."""
    source, options = f"s3://{images.bucket}", (option, "--metadata-ttl", "inf")
    with mounting(source, tmp_path / "mnt", *options, endpoint=proxy) as mount:
        mark = proxy.log.mark()
        first = trainer.train(mount, workers, method)
        counts = proxy.log.count(since=mark)
        assert images.samples == sorted(first)
        assert counts.keys() == {"GET", "LIST"}
        assert CLASSES * PER_CLASS == counts["GET"]
        assert counts["LIST"] <= CLASSES + 2
        with pinned_pages(mount.path.glob("train/*/*")):
            mark = proxy.log.mark()
            second = trainer.run_epoch()
            assert proxy.log.count(since=mark) == {}
        assert images.samples == sorted(second)
        assert first != second  # shuffled anew
