from __future__ import annotations

import importlib
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mountfs.datasets.lightning import LightningCheckpoint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")
"""Lightning warns of what a real training should have: workers, a GPU, a logger."""


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request: pytest.FixtureRequest) -> Any:
    """Return one of the two packages."""
    return importlib.import_module(request.param)


def make_model(pl: Any) -> Any:
    """Return a small model of that package."""

    class Model(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any) -> Any:
            loss = self.layer(batch).square().mean()
            self.log("number", float(self.current_epoch))
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.1)

    return Model()


def make_loader() -> Any:
    """Return two batches."""
    rows: Any = torch.rand(8, 4)
    return torch.utils.data.DataLoader(rows, batch_size=4)


def make_trainer(pl: Any, root: Path, plugin: Any, epochs: int) -> Any:
    """Return a trainer that keeps the best two and the last."""
    keep = pl.callbacks.ModelCheckpoint(
        dirpath=root, monitor="number", mode="max", save_top_k=2, save_last=True, filename="{epoch}"
    )
    return pl.Trainer(
        plugins=[plugin], callbacks=[keep], max_epochs=epochs, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=root,
    )  # fmt: skip


def test_a_training_saves_prunes_and_resumes(pl: Any, place: Path) -> None:
    """With the plug-in as with Lightning's own: the callback's rules are followed."""
    torch.manual_seed(0)
    loader = make_loader()
    model = make_model(pl)
    make_trainer(pl, place, LightningCheckpoint(), 4).fit(model, loader)
    assert {"epoch=2.ckpt", "epoch=3.ckpt", "last.ckpt"} == {*os.listdir(place)}
    again = make_model(pl)
    trainer = make_trainer(pl, place, LightningCheckpoint(), 4)
    trainer.fit(again, loader, ckpt_path=place / "last.ckpt")
    assert 4 == trainer.current_epoch
    assert torch.equal(model.layer.weight, again.layer.weight)


def test_it_may_be_wrapped_to_save_in_the_background(pl: Any, place: Path) -> None:
    """By Lightning's own AsyncCheckpointIO."""
    plugin = pl.plugins.AsyncCheckpointIO(LightningCheckpoint())
    loader = make_loader()
    make_trainer(pl, place, plugin, 1).fit(make_model(pl), loader)
    saved = LightningCheckpoint().load_checkpoint(place / "last.ckpt", weights_only=True)
    assert 1 == saved["epoch"] + 1


def test_a_file_is_replaced_whole_or_not_at_all(place: Path) -> None:
    """A state that cannot be pickled leaves the old file; the plug-in itself can be pickled."""
    plugin = pickle.loads(pickle.dumps(LightningCheckpoint()))
    path = place / "new" / "x.ckpt"
    plugin.save_checkpoint({"x": 1}, path)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        plugin.save_checkpoint({"x": lambda: 2}, path)
    assert {"x": 1} == plugin.load_checkpoint(path)
    assert ["x.ckpt"] == os.listdir(path.parent)
    plugin.remove_checkpoint(path)
    plugin.remove_checkpoint(path)
    plugin.teardown()
    with pytest.raises(FileNotFoundError):
        plugin.load_checkpoint(path)
    with pytest.raises(TypeError, match="storage_options"):
        plugin.save_checkpoint({"x": 1}, path, storage_options={})
    plugin.remove_checkpoint(path.parent)
    assert [] == os.listdir(place)
