"""What says that a checkpoint is complete: a small file beside it, which is written last."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.datasets.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

FORMAT = 1

_NAME = re.compile(r"step-(\d+)\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """A checkpoint, as its record describes it.

    Attributes:
        root: The directory that holds it.
        step: When it was saved.
        name: Of the file or directory in *root*. It differs from attempt to attempt, so what one
            record says is never true of another attempt's files.
        metrics: What was measured.
        sizes_bytes: Length of each file by its path below *name*; of a single file, by ``""``.
    """

    root: str
    step: int
    name: str
    metrics: Mapping[str, float]
    sizes_bytes: Mapping[str, int]

    @property
    def path(self) -> str:
        """The file or directory."""
        return os.path.join(self.root, self.name)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory of files."""
        return "" not in self.sizes_bytes

    @property
    def record_path(self) -> str:
        """The record itself."""
        return os.path.join(self.root, f"step-{self.step:08d}.json")

    def find_flaw(self) -> str | None:
        """Return what is missing or has another length than it was saved with; None: complete.

        Raises:
            OSError: The file system does not say.
        """
        for name, size_bytes in self.sizes_bytes.items():
            path = os.path.join(self.path, name) if name else self.path
            try:
                found_bytes = os.stat(path).st_size
            except (FileNotFoundError, NotADirectoryError):
                return f"{path} is missing"
            if found_bytes != size_bytes:
                return f"{path} has {found_bytes} of {size_bytes} bytes"
        return None

    def write(self) -> None:
        """Let the checkpoint of this step be this one, from one moment to the next.

        Raises:
            OSError: The record could not be written; the one before still holds.
        """
        content = {
            "format": FORMAT,
            "step": self.step,
            "name": self.name,
            "metrics": {**self.metrics},
            "sizes_bytes": {**self.sizes_bytes},
        }
        with Writer(self.record_path) as file:
            file.write(json.dumps(content, indent=1, sort_keys=True).encode())


def read_records(root: str) -> Iterator[CheckpointRecord]:
    """Yield what is recorded below *root*, highest step first, complete or not.

    A directory that is not there holds none. A record that cannot be understood is logged.

    Raises:
        OSError: The directory or a record cannot be read.
    """
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    steps = sorted(
        ((int(match[1]), name) for name in names if (match := _NAME.fullmatch(name))), reverse=True
    )
    for _, name in steps:
        path = os.path.join(root, name)
        try:
            with open(path, "rb") as file:
                content = file.read()
            yield _parse(root, content)
        except FileNotFoundError:
            continue  # removed since
        except (ValueError, KeyError, TypeError) as error:
            log.warning(
                "%s is no record of a checkpoint: %s: %s", path, type(error).__name__, error
            )


def _parse(root: str, content: bytes) -> CheckpointRecord:
    fields = json.loads(content)
    if fields["format"] != FORMAT:
        raise ValueError(f"format {fields['format']!r} instead of {FORMAT}")
    name = str(fields["name"])
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name")  # never read, and never remove, something else
    return CheckpointRecord(
        root=root,
        step=int(fields["step"]),
        name=name,
        metrics={str(metric): float(value) for metric, value in fields["metrics"].items()},
        sizes_bytes={str(path): int(size) for path, size in fields["sizes_bytes"].items()},
    )
