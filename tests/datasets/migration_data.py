"""What the examples of ``docs/migrating.md`` take for granted: two buckets, and some names."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

if TYPE_CHECKING:
    from pathlib import Path

Names = dict[str, Any]
"""The names that an example has, or defines."""

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
    """Return two rows of six columns, as BERT is trained with."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in ("input_ids", "input_mask", "segment_ids"):
            file[name] = np.arange(first, first + 8).reshape(2, 4)
        for name in ("masked_lm_positions", "masked_lm_ids"):
            file[name] = np.arange(first, first + 4).reshape(2, 2)
        file["next_sentence_labels"] = np.array([first, first + 1])
    return buffer.getvalue()


def csv_of(first: int, count: int) -> bytes:
    """Return a table of so many rows."""
    rows = [f"{number / 2},label {number}\n" for number in range(first, first + count)]
    return "".join(["x,label\n", *rows]).encode()


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


def contents_of_buckets() -> dict[str, dict[str, bytes]]:
    """Return what is in each bucket by its key."""
    manifest = b"".join(b"%02d.txt label%d\n" % (n, n) for n in range(3))
    first = {
        **TEXTS,
        **{f"images/{n}.jpg": jpeg_of(n * 20) for n in range(5)},
        "shards/0.tar": labelled(0),
        "shards/1.tar": labelled(1),
        "archives/a.tar": tar_of({"d/1": b"one", "d/2": b""}),
        "archives/b.zip": zip_of({"3": b"three"}),
        "bert/0.hdf5": hdf5_of(0),
        "bert/1.hdf5": hdf5_of(100),
        "csv/0.csv": csv_of(0, 3),
        "csv/1.csv": csv_of(3, 2),
        "coco/train2017/1.jpg": b"a picture",
        "coco/annotations/train2017.json": b"{}",
        "demo/0": b"d0",
        "demo/1": b"d1",
        "demo/2": b"d2",
        "lists/train.txt": manifest,
        "pairs/images-0.tar": pairs("image", "png"),
        "pairs/texts-0.tar": pairs("text", "txt"),
        "pretrained/faster_rcnn.pth": b"weights",
        "pretrained/resnet50.pth": b"weights",
    }
    return {"bucket": first, "bucket-2": {"train/x.txt": b"of the second"}}


def write_buckets(parent: Path) -> None:
    """Make a directory of each bucket."""
    for bucket, contents in contents_of_buckets().items():
        for key, content in contents.items():
            path = parent / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def given_model(_: Path) -> Names:
    """Return a model."""
    return {"model": torch.nn.Linear(1, 1, bias=False)}


def given_training(_: Path) -> Names:
    """Return a model, and a training that sets its weight to the number of the epoch."""
    losses = iter([3.0, 2.0, 1.0, 2.0, 3.0])
    epochs = iter(range(5))

    def train(model: torch.nn.Linear) -> float:
        with torch.no_grad():
            model.weight.fill_(next(epochs))
        return next(losses)

    return {**given_model(_), "train": train}


def given_lightning(_: Path) -> Names:
    """Return a Lightning model and its data."""
    import lightning.pytorch

    from tests.datasets.test_lightning import make_loader, make_model

    return {"model": make_model(lightning.pytorch), "loader": make_loader()}


def given_state(_: Path) -> Names:
    """Return something to save."""
    return {"state": {"weight": torch.ones(3)}}


def given_content(_: Path) -> Names:
    """Return a file's content."""
    return {"content": b"pixels"}


def given_load(_: Path) -> Names:
    """Return what the example of images has defined."""

    def load(item: Any) -> Any:
        return to_tensor(Image.open(item).convert("RGB"))

    return {"load": load}


def given_manifest(place: Path) -> Names:
    """Write a list of names without labels, and return where."""
    path = place / "names.txt"
    path.write_text("00.txt\n01.txt\n")
    return {"local_file": str(path)}


def given_preprocess(_: Path) -> Names:
    """Return a function of bytes."""
    return {"preprocess": len}
