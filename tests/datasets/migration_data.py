"""What is in the two buckets that the examples of ``docs/migrating.md`` speak of."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import h5py
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {f"train/{n:02d}.txt": b"text %d" % n for n in range(8)}
"""Small files of the first bucket."""


def jpeg_of(shade: int) -> bytes:
    """Return a picture that is all of one shade."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def hdf5_of(first: int) -> bytes:
    """Return two rows of three columns."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in ("input_ids", "input_mask"):
            file[name] = np.arange(first, first + 8).reshape(2, 4)
        file["next_sentence_labels"] = np.array([first, first + 1])
    return buffer.getvalue()


def labelled(shard: int) -> bytes:
    """Return a shard of four pictures, whose labels are 0 to 7 over both shards."""
    members = {}
    for label in range(shard * 4, shard * 4 + 4):
        members[f"{label:04d}.cls"] = str(label).encode()
        members[f"{label:04d}.jpg"] = jpeg_of(label)
    return tar_of(members)


def pairs(kind: str, extension: str) -> bytes:
    """Return a shard of three samples with one part each."""
    members = {f"s{n}.{extension}": f"{kind} {n}".encode() for n in range(3)}
    return tar_of(members)


def write_buckets(bucket: Path, second: Path) -> None:
    """Fill both."""
    manifest = b"".join(b"%02d.txt label%d\n" % (n, n) for n in range(3))
    contents = {
        **TEXTS,
        **{f"images/{n}.jpg": jpeg_of(n * 20) for n in range(5)},
        "shards/0.tar": labelled(0),
        "shards/1.tar": labelled(1),
        "archives/a.tar": tar_of({"d/1": b"one", "d/2": b""}),
        "archives/b.zip": zip_of({"3": b"three"}),
        "bert/0.hdf5": hdf5_of(0),
        "bert/1.hdf5": hdf5_of(100),
        "coco/train2017/1.jpg": b"a picture",
        "demo/0": b"d0",
        "demo/1": b"d1",
        "demo/2": b"d2",
        "lists/train.txt": manifest,
        "pairs/images-0.tar": pairs("image", "png"),
        "pairs/texts-0.tar": pairs("text", "txt"),
        "pretrained/faster_rcnn.pth": b"weights",
    }
    for name, content in contents.items():
        path = bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (second / "train").mkdir(parents=True)
    (second / "train" / "x.txt").write_bytes(b"of the second")
