"""What there is to read: a lazy, sorted, picklable description of files.

A source holds the question, not the answer: it touches the file system when it is iterated, again
each time, and never before. What the answer was can be kept as a ``Listing``.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeAlias

from mountfs.datasets.entry import Entry
from mountfs.datasets.listing import Listing
from mountfs.datasets.place import Objects, Place, Prefix

Spec: TypeAlias = "str | os.PathLike[str] | Source | Iterable[Spec]"
ManifestParser: TypeAlias = Callable[[BinaryIO], Iterable[str | tuple[str, Any]]]
"""Reads a manifest that is open for binary reading; yields names, or names with labels."""


class Part(Protocol):
    """One piece of a source: picklable, and iterable as often as one likes."""

    def entries(self) -> Iterator[Entry]:
        """Yield what there is now, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Files, in an order that only depends on their names and on how they were asked for.

    The pieces come in the order in which they were given; what one piece matches is sorted as an
    object store sorts keys (a directory sorts as its name with a slash). Iterating lists lazily,
    holding the names of one directory at a time. ``len`` lists everything and keeps nothing:
    who needs it often, or needs random access, keeps ``listing()``.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, *specs: Spec) -> Source:
        """Return the source of what is usually meant by a path.

        A path or ``s3://bucket/key`` may name a file, a directory (everything below it), a prefix
        (``train/0`` where no such file exists: everything that starts so), a pattern
        (``*``, ``?``, ``[...]``, and ``**`` for any number of directories) or a range in braces
        (``shard-{000..127}.tar``, ``{train,val}/``). Several, also in lists, follow one another.

        Raises while iterating:
            FileNotFoundError: Nothing matches.
            NotMountedError: No mount shows the bucket.
        """
        return cls(tuple(part for spec in specs for part in _parts_of(spec)))

    @classmethod
    def from_prefix(cls, prefix: str | os.PathLike[str]) -> Source:
        """Return everything whose path starts with these characters, as an object store means it.

        ``train`` is also the start of ``train2/a``; end it with a slash to mean a directory.
        """
        return cls((Prefix(os.fspath(prefix)),))

    @classmethod
    def from_objects(cls, paths: Iterable[str | os.PathLike[str]]) -> Source:
        """Return exactly these files, in this order, unasked whether they exist.

        No character has a meaning, unlike in ``of``.
        """
        return cls((Objects(Listing(Entry(os.fspath(path)) for path in paths)),))

    @classmethod
    def from_manifest(
        cls,
        manifest: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] = "",
        parser: ManifestParser | None = None,
    ) -> Source:
        """Return what a manifest lists, which is read again at each iteration.

        Args:
            manifest: A file, on a mount or not.
            root: What the names in it are relative to; the manifest's own directory if empty.
            parser: Yields names, or names with labels, from the open manifest; without one a name
                a line, with a label after the first blank.
        """
        from mountfs.datasets.manifest import Manifest  # which names this module's types

        return cls((Manifest(os.fspath(manifest), os.fspath(root), parser),))

    def __add__(self, other: Source) -> Source:
        return Source((*self.parts, *other.parts))

    def __iter__(self) -> Iterator[Entry]:
        return itertools.chain.from_iterable(part.entries() for part in self.parts)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def entries(self) -> Iterator[Entry]:
        """Yield what there is now, in order."""
        return iter(self)

    def listing(self) -> Listing:
        """List everything, and return it as a sequence."""
        return Listing(self)


def _parts_of(spec: Any) -> Iterator[Part]:
    if isinstance(spec, Source):
        yield from spec.parts
    elif isinstance(spec, str | os.PathLike):
        yield Place(os.fspath(spec))
    elif isinstance(spec, bytes) or not isinstance(spec, Iterable):
        raise TypeError(f"a source is a path, a Source, or several of these, not {spec!r}")
    else:
        for one in spec:
            yield from _parts_of(one)
