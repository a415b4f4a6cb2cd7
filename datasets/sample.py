"""Samples out of the members of archives: those that follow one another and have one name.

``train/0001.jpg``, ``train/0001.seg.png`` and ``train/0001.cls`` are the sample ``train/0001`` with
the parts ``jpg``, ``seg.png`` and ``cls``: the name ends at the first dot of its last component.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from mountfs.datasets.archive_error import damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mountfs.datasets.item import Item
    from mountfs.datasets.tar_index import TarIndex


class Sample(NamedTuple):
    """One sample.

    Attributes:
        key: what the names of its members have in common.
        parts: contents by extension, in the order of the archive.
    """

    key: str
    parts: dict[str, bytes]


def split_name(name: str) -> tuple[str, str]:
    """Return the key of the sample to which a member belongs, and its extension.

    Dots in directories and dots with which a name starts belong to the key. The extension has no
    dot at its start, and is empty for a name without one.
    """
    directory, slash, base = name.rpartition("/")
    visible = base.lstrip(".")
    dots = len(base) - len(visible)
    stem, _, extension = visible.partition(".")
    return f"{directory}{slash}{base[:dots]}{stem}", extension


def group_samples(
    members: Iterable[Item], extensions: Collection[str] | None = None
) -> Iterator[Sample]:
    """Yield the samples of members that come in the order of an archive.

    Holds one sample. A key that comes back after another one is another sample.

    Args:
        members: as an archive yields them. Each is closed when it was read.
        extensions: the parts that every sample must have; others are not read. None: whatever there
            is.

    Raises:
        OSError: a member cannot be read.
        ArchiveError: a sample has two members of one extension, or lacks a part.
    """
    key: str | None = None
    parts: dict[str, bytes] = {}
    path = ""
    for member in members:
        found, extension = split_name(member.name)
        if found != key:
            if key is not None:
                yield _complete(path, key, parts, extensions)
            key, parts = found, {}
        path = member.path
        if extensions is None or extension in extensions:
            if extension in parts:
                raise damaged(path, f"second part {extension!r} of one sample", member.name)
            with member:
                parts[extension] = member.read()
    if key is not None:
        yield _complete(path, key, parts, extensions)


class IndexedSamples(Sequence[Sample]):
    """The samples of an archive by their number, of which only those are read that are asked for.

    Args:
        index: says where the members are.
        extensions: see `group_samples`.
    """

    def __init__(self, index: TarIndex, extensions: Collection[str] | None = None) -> None:
        self._index = index
        self._extensions = extensions
        self._starts = index.find_runs(lambda name: split_name(name)[0])

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read one sample, or several.

        Raises:
            IndexError: there is no such sample.
            OSError, ArchiveError: as `group_samples` does.
        """
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self._read(number) for number in numbers]
        return self._read(numbers)

    def key(self, number: int) -> str:
        """Return the key of a sample, which reads nothing."""
        return split_name(self._index.name(self._starts[number]))[0]

    def _read(self, number: int) -> Sample:
        last = number + 1 == len(self._starts)
        stop = len(self._index) if last else self._starts[number + 1]
        entries = self._index[self._starts[number] : stop]
        (sample,) = group_samples((entry.item() for entry in entries), self._extensions)
        return sample


def _complete(
    path: str, key: str, parts: dict[str, bytes], extensions: Collection[str] | None
) -> Sample:
    missing = [wanted for wanted in extensions or () if wanted not in parts]
    if missing:
        raise damaged(path, f"a sample without {', '.join(missing)}", key)
    return Sample(key, parts)
