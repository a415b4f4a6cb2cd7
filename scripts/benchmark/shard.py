"""Tar shards of photographs and their labels, a function of their names alone."""

from __future__ import annotations

import io
import random
import tarfile
from typing import TYPE_CHECKING

from scripts.benchmark.data_set import MAX_SMALL_BYTES, MIN_SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 1024 * 1024
"""Of random bytes, from which all photographs of a shard are cut."""

CLASSES = 1000


def make_members(shard: str, size_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of what is in a shard of at most *size_bytes*."""
    draw = random.Random(shard)
    block = draw.randbytes(BLOCK_BYTES + MAX_SMALL_BYTES)
    # The end of an archive is padded to a record of several blocks.
    room_bytes = size_bytes - tarfile.RECORDSIZE
    number = 0
    while True:
        start = draw.randrange(BLOCK_BYTES)
        photo_bytes = draw.randint(MIN_SMALL_BYTES, MAX_SMALL_BYTES)
        # Two headers, the photograph, the label.
        room_bytes -= 3 * tarfile.BLOCKSIZE - -photo_bytes // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        if room_bytes < 0:
            return
        yield f"{number:06d}.jpg", block[start : start + photo_bytes]
        yield f"{number:06d}.cls", b"%d" % draw.randrange(CLASSES)
        number += 1


def make_shard(shard: str, size_bytes: int) -> bytes:
    """Return an archive of exactly *size_bytes*."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in make_members(shard, size_bytes):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    # What follows the mark of the end is zeros, as many as one likes.
    return file.getvalue().ljust(size_bytes, b"\0")
