"""One attempt to save a checkpoint: where it is written, and how it is published or given up.

Each attempt has a name that none had before, and a hidden marker from its beginning to its end. On
a local file system it is written under a hidden name, and publishing renames it. On a mount a
rename of a directory copies every object, so there it is written under its final name at once.
Either way the record is what makes it a checkpoint, and the marker what makes it remains.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.datasets.checkpoint_record import CheckpointRecord, read_records
from mountfs.datasets.durable import remove_tree, sync_directory
from mountfs.datasets.paths import is_on_mount
from mountfs.datasets.writer import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

FILE_SUFFIX = ".pt"

_MARKER = re.compile(rf"\.(step-\d+(?:-\d+)?(?:{re.escape(FILE_SUFFIX)})?){re.escape(PARTIAL)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveAttempt:
    """A checkpoint that is being written.

    Attributes:
        step: What it is of.
        name: What it will be called in its root.
        is_in_place: Whether it is written under that name already.
    """

    step: int
    name: str
    is_in_place: bool

    def marker(self, root: str) -> str:
        """Return the path of what says that this is not complete."""
        return os.path.join(root, f".{self.name}{PARTIAL}")

    def workplace(self, root: str) -> str:
        """Return the path to write to."""
        return os.path.join(root, self.name if self.is_in_place else _work_name(self.name))

    def publish(
        self, root: str, metrics: Mapping[str, float], sizes_bytes: Mapping[str, int]
    ) -> CheckpointRecord:
        """Make it the checkpoint of its step. Everything in it is durable already.

        Raises:
            OSError: It could not be done; the checkpoint before is still the one of the step.
        """
        record = CheckpointRecord(
            root=root, step=self.step, name=self.name, metrics=metrics, sizes_bytes=sizes_bytes
        )
        before = [other for other in read_records(root) if other.step == self.step]
        if not self.is_in_place:
            os.rename(self.workplace(root), record.path)
            sync_directory(root)
        record.write()
        # It is saved: nothing that goes wrong from here on may say that it is not.
        try:
            remove_tree(self.marker(root))
            for other in before:
                remove_checkpoint(root, other.name)
        except OSError as error:
            log.warning("remains of earlier saves of step %d: %s", self.step, error)
        return record

    def discard(self, root: str) -> None:
        """Remove what was written, unless it was published. A failure is logged.

        The first `sweep` of the next training tries again.
        """
        try:
            if self.name not in {other.name for other in read_records(root)}:
                remove_tree(os.path.join(root, self.name))
            remove_tree(os.path.join(root, _work_name(self.name)))
            remove_tree(self.marker(root))
        except OSError as error:  # the one that led here matters more
            log.warning("remains of %s could not be removed: %s", self.name, error)


def begin_attempt(root: str, step: int, *, is_directory: bool) -> SaveAttempt:
    """Choose a new name, and mark it. A directory is made, a file is not.

    Raises:
        OSError: Nothing can be written there.
    """
    os.makedirs(root, exist_ok=True)
    names = {*os.listdir(root)}
    suffix = "" if is_directory else FILE_SUFFIX
    name = f"step-{step:08d}{suffix}"
    number = 1
    while name in names or f".{name}{PARTIAL}" in names:
        number += 1
        name = f"step-{step:08d}-{number}{suffix}"
    attempt = SaveAttempt(step=step, name=name, is_in_place=is_on_mount(root))
    _mark(attempt.marker(root))
    if is_directory:
        os.mkdir(attempt.workplace(root))
    return attempt


def remove_checkpoint(root: str, name: str, *, record_path: str | None = None) -> None:
    """Remove the files of a checkpoint, and its record before them.

    Raises:
        OSError: Something could not be removed; the next `sweep` tries again.
    """
    marker = os.path.join(root, f".{name}{PARTIAL}")
    _mark(marker)  # so that a sweep ends what a crash may interrupt here
    if record_path is not None:
        remove_tree(record_path)
    remove_tree(os.path.join(root, name))
    remove_tree(marker)


def sweep(root: str) -> None:
    """Remove what attempts have left that did not come to their end.

    Only what has a marker and is in no record: other files here may be somebody's.

    Raises:
        OSError: Something could not be removed.
    """
    recorded = {record.name for record in read_records(root)}
    for marker in os.listdir(root) if os.path.isdir(root) else []:
        match = _MARKER.fullmatch(marker)
        if match is None:
            continue
        if match[1] not in recorded:
            remove_tree(os.path.join(root, match[1]))
        remove_tree(os.path.join(root, _work_name(match[1])))
        remove_tree(os.path.join(root, marker))


def _work_name(name: str) -> str:
    return f".{name}.work"


def _mark(path: str) -> None:
    with open(path, "ab"):
        pass
