"""A list of files, with labels or without, in a file of its own: nothing has to be listed."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from mountfs.datasets.entry import Entry
from mountfs.datasets.paths import SCHEME, local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mountfs.datasets.source import ManifestParser

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files that a manifest lists: a part of a source, which reads it at each iteration.

    Attributes:
        path: the manifest, a path or ``s3://bucket/key``.
        root: what the names in it are relative to, a path or ``s3://bucket/prefix``; the directory
            of the manifest if empty. Names that are absolute or ``s3://`` need none.
        parser: yields names, or names with labels; `parse_manifest` if None. A label that is empty
            text is kept as it is.
    """

    path: str
    root: str = ""
    parser: ManifestParser | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the order of the manifest, unasked whether they exist.

        Raises:
            OSError: the manifest cannot be read.
            ValueError: it cannot be parsed; the text names it.
            NotMountedError: no mount shows the bucket of a name.
        """
        path = local_path(self.path)
        root = local_path(self.root) if self.root else os.path.dirname(path)
        parse: Callable[[BinaryIO], Iterable[Any]] = self.parser or parse_manifest
        with open(path, "rb") as reader:
            for line in parse(reader):
                name, label = (line, None) if isinstance(line, str) else line
                if not name:
                    raise OSError(errno.EINVAL, "a line without a name", path)
                yield Entry(_join(root, name), label)


def parse_manifest(reader: BinaryIO) -> Iterator[str | tuple[str, str]]:
    """Yield what each line says: a name, or a name and a label.

    What follows the first tab is the label; without a tab, what follows the only space. A name with
    spaces needs a tab after it, also if no label follows: what else could be meant is not guessed.
    Empty lines mean nothing. The text is UTF-8; other bytes stay as they are, as in names of files.

    Raises:
        ValueError: a line has several spaces and no tab.
    """
    for number, raw in enumerate(reader, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        if not text.strip():
            continue
        name, tab, label = text.partition("\t")
        if not tab:
            text = text.strip(" ")
            name, _, label = text.partition(" ")
            if " " in label:
                where = getattr(reader, "name", "the manifest")
                problem = "several spaces: put a tab between name and label"
                raise ValueError(f"{where}, line {number}: {problem}: {text!r}")
        if label:
            yield name, label
        else:
            yield name


def _join(root: str, name: str) -> str:
    return local_path(name) if name.startswith(SCHEME) else os.path.join(root, name)
