"""What must be true after each example of ``docs/migrating.md``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmengine
import torch
from mmengine.config import Config

from mountfs.datasets import MapDataset, TarIndex
from tests.datasets.loading import flat
from tests.datasets.migration_data import (
    TEXTS,
    given_content,
    given_lightning,
    given_load,
    given_manifest,
    given_model,
    given_preprocess,
    given_state,
    given_training,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.datasets.migration_data import Names

CONFIGURED = {"default_hooks", "load_from", "train_dataloader", "work_dir"}
"""What mmengine is told of a configuration."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an example needs, and what must be true after it.

    Attributes:
        check: is given the names that the example has defined, and the bucket's directory.
        given: makes the names that the example takes for granted; is given a local directory.
    """

    check: Callable[[Names, Path], None]
    given: Callable[[Path], Names] = lambda _: {}


def steps_of(names: Names) -> list[Any]:
    """Return what the example has given to `step`; what was one argument is not a tuple."""
    return [one[0] if len(one) == 1 else one for one in names["steps"]]


TRAINED = [(key, content) for key, content in TEXTS.items()]
OF_BOTH = [*TRAINED, ("train/x.txt", b"of the second")]


def check_names_and_sizes(names: Names, bucket: Path) -> None:
    """All begin with 0, which is what was asked for."""
    assert [str(bucket / key) for key in TEXTS] == names["paths"]
    assert len(TEXTS["train/01.txt"]) == names["size"]


def check_three_sources(names: Names, bucket: Path) -> None:
    """One, two and eight files."""
    found = [(path.removeprefix(f"{bucket}/"), content) for path, content in steps_of(names)]
    assert [*TRAINED[:1], *TRAINED[:2], *TRAINED] == found


def check_images_of_ranks(names: Names, bucket: Path) -> None:
    """Five pictures in batches of two, twice, in two orders."""
    shades = [batch[:, 0, 0, 0].tolist() for batch in steps_of(names)]
    assert [2, 2, 1] * 2 == [len(batch) for batch in shades]
    first, second = flat(shades[:3]), flat(shades[3:])
    assert sorted(first) == sorted(second)
    assert first != second


def check_images(names: Names, bucket: Path) -> None:
    """Five pictures in batches of four."""
    batches = steps_of(names)
    assert [(4, 3, 100, 100), (1, 3, 100, 100)] == [tuple(batch.shape) for batch in batches]


def check_shards(names: Names, bucket: Path) -> None:
    """In both epochs every picture with its label, in two orders."""
    pictures, labels = zip(*steps_of(names), strict=True)
    found = torch.cat(labels).tolist()
    assert [list(range(8))] * 2 == [sorted(found[:8]), sorted(found[8:])]
    assert found[:8] != found[8:]
    shades = (torch.cat(pictures)[:, 0, 0, 0] * 255).round()
    assert all(abs(shade - label) <= 2 for shade, label in zip(shades, found, strict=True))


def check_members(names: Names, bucket: Path) -> None:
    """Archive by archive, in their order."""
    assert [("d/1", b"one"), ("d/2", b""), ("3", b"three")] == steps_of(names)


def check_rows(names: Names, bucket: Path) -> None:
    """Two rows of each of two files, whose order was shuffled."""
    rows = steps_of(names)
    assert [0, 1, 100, 101] == sorted(int(row[5]) for row in rows)
    assert all([(4,)] * 3 + [(2,)] * 2 == [column.shape for column in row[:5]] for row in rows)


def check_table(names: Names, bucket: Path) -> None:
    """Batches of two rows, one of which has a row of either file."""
    numbers, labels = zip(*steps_of(names), strict=True)
    assert [[0.0, 0.5], [1.0, 1.5], [2.0]] == [batch.tolist() for batch in numbers]
    expected = [["label 0", "label 1"], ["label 2", "label 3"], ["label 4"]]
    assert expected == [[*batch] for batch in labels]


def check_connector_datasets(names: Names, bucket: Path) -> None:
    """The keys in order, and everything about the first."""
    assert [*TEXTS] == steps_of(names)
    expected = ("bucket", "train/00.txt", b"text 0")
    assert expected == (names["bucket"], names["key"], names["content"])


def check_given_objects(names: Names, bucket: Path) -> None:
    """In the order in which they were given, without what the transform left out."""
    assert [("train/01.txt", b"1"), ("train/00.txt", b"0")] == steps_of(names)


def check_checkpoint(names: Names, bucket: Path) -> None:
    """It is where the name says."""
    assert (bucket / "run" / "epoch0.ckpt").is_file()


def check_many_checkpoints(names: Names, bucket: Path) -> None:
    """The third was the best, the last two are the newest."""
    assert [2, 3, 4] == names["checkpoints"].steps()
    assert 2.0 == names["model"].weight.item()
    assert 4.0 == names["newest"]["weight"].item()


def check_lightning(names: Names, bucket: Path) -> None:
    """Lightning has made its own directories below."""
    assert 1 == len([*(bucket / "lightning").rglob("*.ckpt")])


def check_shard_files(names: Names, bucket: Path) -> None:
    """The one rank has the first directory."""
    assert [bucket / "dcp/step1/0/__0_0.distcp"] == [*bucket.rglob("*.distcp")]
    assert torch.equal(torch.ones(3), names["state"]["weight"])


def check_files(names: Names, bucket: Path) -> None:
    """Written, read, listed and deleted."""
    assert (b"pixels", True) == (names["same"], names["is_there"])
    assert {"0", "1", "2", "image.jpg"} == {*names["names"]}
    assert not (bucket / "demo" / "image.jpg").exists()


def check_path_map(names: Names, bucket: Path) -> None:
    """The content is that of the bucket."""
    assert b"a picture" == names["content"]


def check_hooks(names: Names, bucket: Path) -> None:
    """What `test_mmengine` runs."""
    assert str(bucket / "ckpt") == names["default_hooks"]["checkpoint"]["out_dir"]
    assert str(bucket / "logs") == names["default_hooks"]["logger"]["out_dir"]


def check_weights(names: Names, bucket: Path) -> None:
    """Paths that exist."""
    assert str(bucket / "pretrained/faster_rcnn.pth") == names["load_from"]
    init = names["model"]["backbone"]["init_cfg"]
    assert str(bucket / "pretrained/resnet50.pth") == init["checkpoint"]


def check_configuration(names: Names, bucket: Path) -> None:
    """What mmengine makes of it is there, and read by mmengine as it reads any file."""
    config = Config({name: value for name, value in names.items() if name in CONFIGURED})
    dataset = config.train_dataloader.dataset
    place = Path(dataset.data_root, dataset.data_prefix.img, "1.jpg")
    assert bucket / "coco/train2017/1.jpg" == place
    assert b"a picture" == mmengine.fileio.get(str(place))
    assert {} == mmengine.load(f"{dataset.data_root}{dataset.ann_file}")
    assert b"weights" == Path(config.load_from).read_bytes()
    assert str(bucket / "work") == config.work_dir


def check_several_sources(names: Names, bucket: Path) -> None:
    """Each name with its content, from both buckets, shuffled."""
    assert OF_BOTH[0] == (names["name"], names["content"])
    found = [pair for batch in steps_of(names) for pair in zip(*batch, strict=True)]
    assert sorted(OF_BOTH) == sorted(found)
    assert found != OF_BOTH


def check_stream(names: Names, bucket: Path) -> None:
    """Three objects, then the other bucket."""
    objects = [(f"demo/{n}", b"object content") for n in range(3)]
    assert [*objects, OF_BOTH[-1]] == steps_of(names)


def check_list_and_load(names: Names, bucket: Path) -> None:
    """In the order in which they were asked for."""
    assert [content for _, content in OF_BOTH] == [content for _, content in steps_of(names)]


def check_pairs(names: Names, bucket: Path) -> None:
    """Samples of the same number."""
    expected = [(f"s{n}", b"image %d" % n, b"text %d" % n) for n in range(3)]
    assert expected == steps_of(names)


def check_byte_batches(names: Names, bucket: Path) -> None:
    """No batch is larger than was said; nothing is left out."""
    batches = steps_of(names)
    assert len(batches) == len(names["sampler"])
    assert all(sum(map(len, batch)) <= 100 for batch in batches)
    assert [*TEXTS.values()] == [content for batch in batches for content in batch]


def check_oss_stream(names: Names, bucket: Path) -> None:
    """All, and then two of them."""
    everything = [(key, len(content), content) for key, content in TRAINED]
    assert [*everything, *everything[:2]] == steps_of(names)


def check_oss_items(names: Names, bucket: Path) -> None:
    """The second, and then all, of the prefix and of the two that were named."""
    everything = [(key, len(content), content) for key, content in TRAINED]
    expected = [everything[1], *everything, everything[1], *everything[:2]]
    assert expected == steps_of(names)


def check_manifests(names: Names, bucket: Path) -> None:
    """What they list: two without labels, three with."""
    plain = [(key, len(content), "", content) for key, content in TRAINED[:2]]
    labelled = [
        (key, len(content), f"label{n}", content) for n, (key, content) in enumerate(TRAINED[:3])
    ]
    assert [*plain, *labelled] == steps_of(names)


def check_transforms(names: Names, bucket: Path) -> None:
    """Pictures of one size, in order, without labels."""
    pictures, labels = zip(*steps_of(names), strict=True)
    assert [(3, 224, 224)] * 5 == [tuple(picture.shape) for picture in pictures]
    shades = [round(float(picture[0, 0, 0]) * 255) for picture in pictures]
    assert all(abs(shade - 20 * n) <= 2 for n, shade in enumerate(shades))
    assert {None} == {*labels}


def check_loaders(names: Names, bucket: Path) -> None:
    """Everything twice: once in some order of the workers, once shuffled."""
    keys = [key for batch in steps_of(names) for key in batch]
    assert [sorted(TEXTS)] * 2 == [sorted(keys[:8]), sorted(keys[8:])]


def check_state(name: str, names: Names, bucket: Path) -> None:
    """It was saved where the name says, and is the same again."""
    assert (bucket / name).is_file()
    assert torch.equal(torch.ones(3), names["state"]["weight"])


def check_tar_items(names: Names, bucket: Path) -> None:
    """The second member is the picture of the first label; the index is where it was to be."""
    (name, content), = steps_of(names)  # fmt: skip
    assert "0000.jpg" == name
    assert content.startswith(b"\xff\xd8")
    assert 8 == len(TarIndex.load(bucket / "shards/0.tar", bucket / "indexes/0.index"))


def check_packed(names: Names, bucket: Path) -> None:
    """One archive that holds all, with its index, and the index of another."""
    packed = ["train-000000.tar", "train-000000.tar.index"]
    assert packed == sorted(path.name for path in (bucket / "packed").iterdir())
    dataset: MapDataset = names["dataset"]
    assert [*TRAINED] == [(f"train/{item.name}", item.read()) for item in dataset]
    assert 8 == len(TarIndex.load(bucket / "shards/1.tar", bucket / "indexes/1.index"))


EXPECTED = {
    "awsio: what is there": Expected(check_names_and_sizes),
    "awsio: one file, several, a prefix": Expected(check_three_sources),
    "awsio: images": Expected(check_images),
    "awsio: images on several ranks": Expected(check_images_of_ranks, given_load),
    "awsio: images and labels in tar shards": Expected(check_shards),
    "awsio: members of archives": Expected(check_members),
    "awsio: BERT shards in HDF5": Expected(check_rows),
    "awsio: rows of CSV shards": Expected(check_table),
    "s3torchconnector: datasets": Expected(check_connector_datasets),
    "s3torchconnector: given objects and a transform": Expected(check_given_objects),
    "s3torchconnector: checkpoints": Expected(check_checkpoint, given_model),
    "s3torchconnector: many checkpoints": Expected(check_many_checkpoints, given_training),
    "s3torchconnector: Lightning": Expected(check_lightning, given_lightning),
    "s3torchconnector: distributed checkpoints": Expected(check_shard_files, given_state),
    "mmcv: files": Expected(check_files, given_content),
    "mmcv: paths in label files": Expected(check_path_map),
    "mmcv: checkpoints and logs": Expected(check_hooks),
    "mmcv: weights to begin with": Expected(check_weights),
    "mmcv: a whole configuration": Expected(check_configuration),
    "aistore: several sources": Expected(check_several_sources),
    "aistore: a stream": Expected(check_stream),
    "aistore: list and load": Expected(check_list_and_load),
    "aistore: shards side by side": Expected(check_pairs),
    "aistore: batches limited by bytes": Expected(check_byte_batches),
    "oss: a stream": Expected(check_oss_stream),
    "oss: items by number": Expected(check_oss_items),
    "oss: manifests": Expected(check_manifests, given_manifest),
    "oss: transforms": Expected(check_transforms),
    "oss: data loaders": Expected(check_loaders, given_preprocess),
    "oss: checkpoints": Expected(functools.partial(check_state, "run/epoch.1"), given_state),
    "oss: safetensors": Expected(functools.partial(check_state, "w.safetensors"), given_state),
    "oss: members of a tar by number": Expected(check_tar_items),
    "oss: tar archives and indexes, made": Expected(check_packed),
}
