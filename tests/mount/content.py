"""Objects to read through a mount, and how they get into the bucket."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
PART = 8 * MIB
"""The default of ``--part-size``."""


def make_bytes(size: int, seed: object = 0) -> bytes:
    """Return bytes in which no range looks like another; the same for the same arguments."""
    return np.random.default_rng(zlib.crc32(f"{size} {seed}".encode())).bytes(size)


def put_objects(s3: S3Client, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Put all of *objects*, as another client would."""
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(
            lambda item: s3.put_object(Bucket=bucket, Key=item[0], Body=item[1]), objects.items()
        ):
            pass
