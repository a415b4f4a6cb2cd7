"""Lightning's checkpoints on a mount: ``Trainer(plugins=[LightningCheckpoint()])``.

Does not import Lightning before one is made, and works with both of its packages, ``lightning`` and
``pytorch_lightning``, whose classes know nothing of each other.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Self

import torch

from mountfs.datasets.durable import remove_tree
from mountfs.datasets.paths import local_path
from mountfs.datasets.writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

INTERFACES = ("lightning.fabric.plugins", "lightning_fabric.plugins")
"""The modules that define ``CheckpointIO``, of which a trainer wants its own."""


class LightningCheckpoint:
    """A ``CheckpointIO`` that saves whole files or nothing, also to ``s3://bucket/key``.

    Is registered as a ``CheckpointIO`` of every Lightning that is installed.

    Raises:
        ImportError: None is installed.
    """

    def __new__(cls) -> Self:
        """Make one that trainers accept; also in a process that unpickles it."""
        installed = [name for name in INTERFACES if importlib.util.find_spec(name.split(".")[0])]
        if not installed:
            raise ImportError("LightningCheckpoint needs Lightning: pip install lightning")
        for name in installed:
            importlib.import_module(name).CheckpointIO.register(cls)
        return super().__new__(cls)

    def save_checkpoint(
        self,
        checkpoint: Mapping[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,
    ) -> None:
        """Save *checkpoint*; what was there before stays if that fails.

        Raises:
            TypeError: There are storage options, and nothing that understands them.
            OSError: It was not saved.
        """
        if storage_options is not None:
            raise TypeError("storage_options mean nothing to a file system; leave them out")
        with Writer(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any = None,
        weights_only: bool | None = None,
    ) -> Any:
        """Return what was saved, on the CPU unless *map_location* says otherwise.

        Raises:
            OSError: It is not there, or cannot be read.
        """
        where = "cpu" if map_location is None else map_location
        return torch.load(local_path(path), map_location=where, weights_only=weights_only)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a file or a directory; what is not there is removed already.

        Raises:
            OSError: It cannot be removed.
        """
        remove_tree(local_path(path))

    def teardown(self) -> None:
        """Do nothing: nothing is open between two calls."""
