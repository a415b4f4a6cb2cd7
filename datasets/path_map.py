"""Paths that a program has in its files and configuration, read from somewhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.datasets.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PathMap:
    """Translates the start of paths: ``PathMap({"data/coco/": "s3://bucket/coco/"})(path)``.

    Of several starts that fit, the longest one counts. What fits none stays as it is, but for
    ``s3://`` paths, which become the path at which they are mounted. Can be pickled.

    Attributes:
        starts: What to replace, and what by: a directory or ``s3://bucket/prefix``.
    """

    starts: Mapping[str, str]

    def __call__(self, path: str | os.PathLike[str]) -> str:
        """Return where a path is really found.

        Raises:
            NotMountedError: It is in a bucket that is not mounted.
        """
        text = os.fspath(path)
        start = max((start for start in self.starts if text.startswith(start)), key=len, default="")
        return local_path(self.starts[start] + text[len(start) :] if start else text)
