"""Checkpoints by their names: one to write, one to read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mountfs.datasets.item import Item
from mountfs.datasets.paths import local_path
from mountfs.datasets.writer import Writer


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Reads and writes single files: ``torch.save(state, writer)``, ``torch.load(reader)``.

    Attributes:
        root: What names are relative to: a directory or ``s3://bucket/prefix``. Absolute paths and
            ``s3://`` addresses are taken as they are.
    """

    root: str | os.PathLike[str] = ""

    def reader(self, name: str | os.PathLike[str]) -> Item:
        """Return a file to read. It is opened by the first use.

        Raises:
            NotMountedError: No mount shows it.
        """
        return Item.of(self._path(name))

    def writer(self, name: str | os.PathLike[str]) -> Writer:
        """Return a file to write, which appears whole when it is closed, or not at all.

        Raises:
            NotMountedError: No mount shows it.
            OSError: It cannot be created there.
        """
        return Writer(self._path(name))

    def _path(self, name: str | os.PathLike[str]) -> str:
        path = local_path(name)
        if path != os.fspath(name):  # was an address
            return path
        return os.path.join(local_path(self.root), path)
