"""Runs every example of ``docs/migrating.md`` as it stands there.

Two directories stand for the mounts of the two buckets: the table of mounts that the examples look
their addresses up in says so.
"""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mountfs.datasets import paths
from mountfs.datasets.__main__ import main
from mountfs.datasets.mount_table import read_windows
from tests.datasets.migration_data import TEXTS, write_buckets
from tests.datasets.migration_page import read_examples
from tests.datasets.mountinfo import write_mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLES = read_examples()

Names = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """What an example needs, and what must be true after it.

    Attributes:
        check: is given the names that the example has defined, and the bucket's directory.
        given: makes the names that the example takes for granted.
    """

    check: Callable[[Names, Path], None]
    given: Callable[[], Names] = field(default=dict)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill both buckets, let two directories be their mounts, and return the first."""
    bucket, second = tmp_path / "mnt" / "bucket", tmp_path / "mnt" / "second"
    write_buckets(bucket, second)
    table = write_mountinfo(tmp_path, ("s3://bucket", str(bucket)), ("s3://bucket-2", str(second)))
    monkeypatch.setattr(paths, "read_windows", lambda mountinfo: read_windows(table))
    return bucket


def steps_of(names: Names) -> list[Any]:
    """Return what the example has given to `step`; what was one argument is not a tuple."""
    return [one[0] if len(one) == 1 else one for one in names["steps"]]


TRAINED = [(key, content) for key, content in TEXTS.items()]
BOTH = [*TRAINED, ("train/x.txt", b"of the second")]


def check_names_and_sizes(names: Names, bucket: Path) -> None:
    """All begin with 0, which is what was asked for."""
    assert [str(bucket / key) for key in TEXTS] == names["paths"]
    assert len(TEXTS["train/01.txt"]) == names["size"]


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
    assert {0, 1, 100, 101} == {int(row[2]) for row in rows}
    assert all(row[0].shape == (4,) for row in rows)


def check_connector_datasets(names: Names, bucket: Path) -> None:
    """The keys in order, and everything about the first."""
    assert [*TEXTS] == steps_of(names)
    expected = ("bucket", "train/00.txt", b"text 0")
    assert expected == (names["bucket"], names["key"], names["content"])


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
    assert b"pixels" == names["same"]
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
    """A path that exists."""
    assert str(bucket / "pretrained/faster_rcnn.pth") == names["load_from"]


def check_several_sources(names: Names, bucket: Path) -> None:
    """Each name with its content, from both buckets, shuffled."""
    assert BOTH[0] == (names["name"], names["content"])
    found = [pair for batch in steps_of(names) for pair in zip(*batch, strict=True)]
    assert sorted(BOTH) == sorted(found)
    assert found != BOTH


def check_stream(names: Names, bucket: Path) -> None:
    """Three objects, then the other bucket."""
    objects = [(f"demo/{n}", b"d%d" % n) for n in range(3)]
    assert [*objects, BOTH[-1]] == steps_of(names)


def check_list_and_load(names: Names, bucket: Path) -> None:
    """In the order in which they were asked for."""
    assert [content for _, content in BOTH] == [content for _, content in steps_of(names)]


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
    """The second, and then all."""
    everything = [(key, len(content), content) for key, content in TRAINED]
    assert [everything[1], *everything] == steps_of(names)


def check_manifest(names: Names, bucket: Path) -> None:
    """What it lists, with labels."""
    expected = [(key, f"label{n}", content) for n, (key, content) in enumerate(TRAINED[:3])]
    assert expected == steps_of(names)


def check_loaders(names: Names, bucket: Path) -> None:
    """Everything twice: once in some order of the workers, once shuffled."""
    keys = [key for batch in steps_of(names) for key in batch]
    assert [sorted(TEXTS)] * 2 == [sorted(keys[:8]), sorted(keys[8:])]


def check_state(name: str, names: Names, bucket: Path) -> None:
    """It was saved where the name says, and is the same again."""
    assert (bucket / name).is_file()
    assert torch.equal(torch.ones(3), names["state"]["weight"])


def check_tar_items(names: Names, bucket: Path) -> None:
    """The second member is the picture of the first label."""
    (name, content), = steps_of(names)  # fmt: skip
    assert "0000.jpg" == name
    assert content.startswith(b"\xff\xd8")


def given_model() -> Names:
    """Return a model."""
    return {"model": torch.nn.Linear(1, 1, bias=False)}


def given_training() -> Names:
    """Return a model, and a training that sets its weight to the number of the epoch."""
    losses = iter([3.0, 2.0, 1.0, 2.0, 3.0])
    epochs = iter(range(5))

    def train(model: torch.nn.Linear) -> float:
        with torch.no_grad():
            model.weight.fill_(next(epochs))
        return next(losses)

    return {**given_model(), "train": train}


def given_lightning() -> Names:
    """Return a Lightning model and its data."""
    import lightning.pytorch

    from tests.datasets.test_lightning import make_loader, make_model

    return {"model": make_model(lightning.pytorch), "loader": make_loader()}


def given_state() -> Names:
    """Return something to save."""
    return {"state": {"weight": torch.ones(3)}}


def given_content() -> Names:
    """Return a file's content."""
    return {"content": b"pixels"}


def given_preprocess() -> Names:
    """Return a function of bytes."""
    return {"preprocess": len}


EXPECTED = {
    "awsio: what is there": Expected(check_names_and_sizes),
    "awsio: images": Expected(check_images),
    "awsio: images and labels in tar shards": Expected(check_shards),
    "awsio: members of archives": Expected(check_members),
    "awsio: BERT shards in HDF5": Expected(check_rows),
    "s3torchconnector: datasets": Expected(check_connector_datasets),
    "s3torchconnector: checkpoints": Expected(check_checkpoint, given_model),
    "s3torchconnector: many checkpoints": Expected(check_many_checkpoints, given_training),
    "s3torchconnector: Lightning": Expected(check_lightning, given_lightning),
    "s3torchconnector: distributed checkpoints": Expected(check_shard_files, given_state),
    "mmcv: files": Expected(check_files, given_content),
    "mmcv: paths in label files": Expected(check_path_map),
    "mmcv: checkpoints and logs": Expected(check_hooks),
    "mmcv: weights to begin with": Expected(check_weights),
    "aistore: several sources": Expected(check_several_sources),
    "aistore: a stream": Expected(check_stream),
    "aistore: list and load": Expected(check_list_and_load),
    "aistore: shards side by side": Expected(check_pairs),
    "aistore: batches limited by bytes": Expected(check_byte_batches),
    "oss: a stream": Expected(check_oss_stream),
    "oss: items by number": Expected(check_oss_items),
    "oss: manifests with labels": Expected(check_manifest),
    "oss: transforms and data loaders": Expected(check_loaders, given_preprocess),
    "oss: checkpoints": Expected(functools.partial(check_state, "run/epoch.1"), given_state),
    "oss: safetensors": Expected(functools.partial(check_state, "w.safetensors"), given_state),
    "oss: members of a tar by number": Expected(check_tar_items),
}


@pytest.mark.filterwarnings("ignore")  # of Lightning and of torch, about other things
@pytest.mark.parametrize("title", EXPECTED)
def test_the_example_runs_as_it_stands_on_the_page(title: str, bucket: Path) -> None:
    """And does what the connector did."""
    expected = EXPECTED[title]
    steps: list[Any] = []
    names = {"__name__": "example", **expected.given(), "steps": steps}
    names["step"] = lambda *arguments: steps.append(arguments)
    exec(compile(EXAMPLES[title].after, f"{title}, after", "exec"), names)
    expected.check(names, bucket)


def test_the_command_of_the_page_runs(bucket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists and reads the place."""
    command = shlex.split(EXAMPLES["awsio: trying it"].after)
    assert ["python", "-m", "mountfs.datasets"] == command[:3]
    assert 0 == main(command[3:])
    assert "read 8 files" in capsys.readouterr().out


def test_every_example_of_the_page_is_run() -> None:
    """None is only text; what comes before is at least Python."""
    assert {*EXAMPLES} == {*EXPECTED, "awsio: trying it"}
    for example in EXAMPLES.values():
        if example.language == "python":
            compile(example.before, f"{example.title}, before", "exec")
