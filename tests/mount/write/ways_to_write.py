"""Ways in which programs write a file, and how to see that it has arrived."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.mount.content import MIB
from tests.mount.mounted import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.write.place import Bucketed


def write_stream(path: Path, content: bytes) -> None:
    """Write in order to a descriptor that cannot be read."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), MIB):
            file.write(content[start : start + MIB])


def write_backwards(path: Path, content: bytes) -> None:
    """Write the last mebibyte first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for start in reversed(range(0, len(content), MIB)):
            os.pwrite(descriptor, content[start : start + MIB], start)
    finally:
        os.close(descriptor)


def append(path: Path, content: bytes) -> None:
    """Keep what is there."""
    with path.open("ab", buffering=0) as file:
        file.write(content)


def content_of(mount: Bucketed, key: str) -> bytes | None:
    """Return what the bucket holds under *key*; None for nothing."""
    try:
        return mount.s3.get_object(Bucket=mount.bucket, Key=f"{mount.prefix}{key}")["Body"].read()
    except mount.s3.exceptions.NoSuchKey:
        return None


def wait_for_content(mount: Bucketed, key: str, content: bytes) -> None:
    """Return when the bucket holds this; where closing publishes, it must do so already."""
    if mount.mode == "close":
        assert content == content_of(mount, key)
    wait_until(lambda: content == content_of(mount, key))
