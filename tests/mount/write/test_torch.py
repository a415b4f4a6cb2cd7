"""Checkpoints as training code writes them, unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.mount.mounted import ROOT
from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.write.conftest import Compared
    from tests.mount.write.place import Place

pytestmark = [pytest.mark.mount, pytest.mark.filterwarnings("ignore")]

ELEMENTS = 300_000
"""Of each weight; a checkpoint of them has a few megabytes."""


def make_state(step: int, count: int = 3) -> dict[str, Any]:
    """Return a state dict; the same for the same arguments."""
    generator = torch.Generator().manual_seed(step)
    weights = {f"layer{n}": torch.randn(ELEMENTS, generator=generator) for n in range(count)}
    return {"model": weights, "step": step}


def check_state(step: int, loaded: dict[str, Any], count: int = 3) -> None:
    """Fail unless *loaded* is the state of *step*."""
    expected = make_state(step, count)
    assert expected["step"] == loaded["step"]
    assert expected["model"].keys() == loaded["model"].keys()
    for name, weight in expected["model"].items():
        assert torch.equal(weight, loaded["model"][name])


@pytest.mark.parametrize("count", [1, 12], ids=["one request", "parts"])
@pytest.mark.parametrize("options", [{}, {"mmap": True}], ids=str)
def test_torch_save_and_load(compared: Compared, options: dict[str, Any], count: int) -> None:
    """1.2 MB by one request and 14 MB by parts; read at once, by the one who wrote it."""

    def scenario(directory: Path) -> None:
        torch.save(make_state(1, count), directory / "model.pt")
        check_state(1, torch.load(directory / "model.pt", **options), count)

    compared(scenario)


def test_torch_save_over_an_older_checkpoint(compared: Compared) -> None:
    """Larger, smaller and of the same size; also while the old one is mapped."""

    def scenario(directory: Path) -> None:
        path = directory / "last.pt"
        for step, count in enumerate((2, 8, 8, 1)):
            torch.save(make_state(step, count), path)
            check_state(step, torch.load(path, mmap=True), count)

    compared(scenario)


def test_torch_save_to_another_name_and_rename(compared: Compared) -> None:
    """The careful way: nobody sees half a checkpoint."""

    def scenario(directory: Path) -> None:
        for step in range(3):
            torch.save(make_state(step), directory / "last.pt.tmp")
            os.replace(directory / "last.pt.tmp", directory / "last.pt")
            check_state(step, torch.load(directory / "last.pt"))

    compared(scenario)


def test_torch_save_in_the_old_format(place: Place) -> None:
    """A stream of pickles; the weights are written through the descriptor."""
    path = place.path / "old.pt"
    torch.save(make_state(1), path, _use_new_zipfile_serialization=False)
    check_state(1, torch.load(path))
    place.check_holds(tree_of_directory(place.path))


def test_safetensors_save_and_load(compared: Compared) -> None:
    """Made in full size first, written in order, renamed while open; new and over an old one."""

    def scenario(directory: Path) -> None:
        path = directory / "model.safetensors"
        for step in range(2):
            safetensors.torch.save_file(make_state(step, 8)["model"], path, {"step": str(step)})
            loaded = safetensors.torch.load_file(path)
            check_state(step, {"model": loaded, "step": step}, 8)
            with safetensors.safe_open(path, "pt") as file:
                assert file.metadata() == {"step": str(step)}
                assert torch.equal(loaded["layer3"], file.get_tensor("layer3"))

    compared(scenario)


def test_a_directory_is_filled_and_renamed(compared: Compared) -> None:
    """As `Trainer` of transformers does it: ``tmp-checkpoint-1`` becomes ``checkpoint-1``."""

    def scenario(directory: Path) -> None:
        for step in (1, 2):
            temporary = directory / f"tmp-checkpoint-{step}"
            temporary.mkdir()
            safetensors.torch.save_file(make_state(step)["model"], temporary / "model.safetensors")
            (temporary / "config.json").write_text('{"hidden_size": 8}\n')
            (temporary / "tokenizer").mkdir()
            (temporary / "tokenizer/vocab.txt").write_text("a\nb\n")
            torch.save({"step": step}, temporary / "optimizer.pt")
            temporary.rename(directory / f"checkpoint-{step}")
            descriptor = os.open(directory, os.O_RDONLY)
            os.fsync(descriptor)  # as transformers does after the rename
            os.close(descriptor)
        shutil.rmtree(directory / "checkpoint-1")
        loaded = safetensors.torch.load_file(directory / "checkpoint-2/model.safetensors")
        check_state(2, {"model": loaded, "step": 2})

    compared(scenario)


def test_only_the_newest_checkpoints_are_kept(compared: Compared) -> None:
    """As mmengine does it: save, write the name of the last one into a file, remove the oldest."""

    def scenario(directory: Path) -> None:
        kept: list[Path] = []
        for step in range(6):
            path = directory / f"iter_{step}.pth"
            torch.save(make_state(step, 1), path)
            (directory / "last_checkpoint").write_text(str(path.name))
            kept.append(path)
            if len(kept) > 2:
                kept.pop(0).unlink()
        assert ["iter_4.pth", "iter_5.pth", "last_checkpoint"] == sorted(os.listdir(directory))
        last = directory / (directory / "last_checkpoint").read_text()
        check_state(5, torch.load(last), 1)

    compared(scenario)


def test_workers_of_a_data_loader_are_forked_while_a_checkpoint_is_written(
    compared: Compared,
) -> None:
    """They inherit the open file and close it when they end: nothing is published by that."""

    def scenario(directory: Path) -> None:
        dataset = TensorDataset(torch.arange(64))
        with (directory / "model.pt").open("wb") as file:
            file.write(b"a header of our own\n")
            loader = DataLoader(dataset, 8, num_workers=2, multiprocessing_context="fork")
            batches = iter(loader)
            seen = [next(batches)[0]]
            torch.save(make_state(1), file)
            seen += [batch for (batch,) in batches]
            file.write(b"a trailer of our own\n")
        assert 64 == len(torch.cat(seen))
        assert (directory / "model.pt").read_bytes().startswith(b"a header")

    compared(scenario)


def test_workers_of_a_data_loader_live_while_checkpoints_are_saved(compared: Compared) -> None:
    """They read from the directory that the checkpoints go to."""

    def scenario(directory: Path) -> None:
        for n in range(8):
            torch.save(torch.full((100,), n), directory / f"sample{n}.pt")
        loader = DataLoader(
            Samples(directory), num_workers=2, multiprocessing_context="fork", batch_size=None
        )
        for step, sample in enumerate(loader):
            torch.save({"step": step, "mean": sample.float().mean()}, directory / "last.pt")
            assert step == torch.load(directory / "last.pt")["mean"]

    compared(scenario)


class Samples(torch.utils.data.Dataset[torch.Tensor]):
    """Tensors in files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        sample: torch.Tensor = torch.load(self.directory / f"sample{index}.pt")
        return sample


@pytest.mark.dear
def test_lightning_keeps_the_best_and_the_last(place: Place) -> None:
    """`ModelCheckpoint` with `save_top_k=1` and `save_last`, and training goes on from there."""
    from tests.mount.write.lightning_model import train  # dear, and only needed here

    train(place.path, epochs=3)
    found = tree_of_directory(place.path)
    assert {"best.ckpt", "last.ckpt"} == found.keys()
    place.check_holds(found)
    train(place.path, epochs=5, resume_from=place.path / "last.ckpt")
    last = torch.load(place.path / "last.ckpt", weights_only=False)
    assert 5 == last["epoch"] + 1
    found = tree_of_directory(place.path)
    place.check_holds(found)


def test_tensorboard_appends_its_events(place: Place) -> None:
    """It opens the file again for each flush, or keeps it open; readers see each flush at once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(place.path))
    for step in range(20):
        writer.add_scalar("loss", 1.0 / (step + 1), step)
        if step % 5 == 4:
            writer.flush()
            events = EventAccumulator(str(place.path)).Reload()
            assert step + 1 == len(events.Scalars("loss"))
    writer.add_histogram("weights", torch.arange(1000.0), 20)
    writer.close()
    found = tree_of_directory(place.path)
    assert len(found) == 1
    place.check_holds(found)
    assert 20 == len(EventAccumulator(str(place.path)).Reload().Scalars("loss"))


@pytest.mark.dear
def test_distributed_checkpoints_of_two_ranks(place: Place) -> None:
    """Saved, loaded, saved asynchronously, overwritten: by two processes under torchrun."""
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "torch.distributed.run"),
            *("--standalone", "--nproc-per-node", "2", "-m", "tests.mount.write.distributed"),
            str(place.path),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found = tree_of_directory(place.path)
    for name in ("saved", "later"):
        assert {".metadata", "__0_0.distcp", "__1_0.distcp"} == {
            os.path.basename(path) for path in found if path.startswith(f"{name}/")
        }
    place.check_holds(found)
