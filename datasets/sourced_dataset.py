"""What both kinds of dataset have in common: the source, and how what it lists is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from torch.utils.data import Dataset

from mountfs.datasets.contents import Contents
from mountfs.datasets.fetcher import Fetcher
from mountfs.datasets.sample_reader import SampleReader
from mountfs.datasets.source import Source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from mountfs.datasets.contents import Contained, Counts, Expand
    from mountfs.datasets.sample_reader import OnError
    from mountfs.datasets.source import ManifestParser


class SourcedDataset(Dataset[Any]):
    """A dataset of what a source lists, whichever way the source was described.

    The arguments are those of `MapDataset` and `IterableDataset`, which document them.
    """

    def __init__(
        self,
        source: Contained,
        *,
        expand: Expand | None = None,
        counts: Counts | None = None,
        transform: Callable[[Any], Any] | None = None,
        on_error: OnError = "raise",
        threads: int = 16,
    ) -> None:
        self._contents = Contents(source, expand, counts)
        self._reader = SampleReader(transform, on_error)
        self._fetcher = Fetcher(threads)

    @classmethod
    def from_prefix(cls, prefix: str | os.PathLike[str], **options: Any) -> Self:
        """Return the dataset of everything that starts with these characters.

        Args:
            prefix: See ``Source.from_prefix``.
            **options: Those of the class.
        """
        return cls(Source.from_prefix(prefix), **options)

    @classmethod
    def from_objects(cls, paths: Iterable[str | os.PathLike[str]], **options: Any) -> Self:
        """Return the dataset of exactly these files, in this order.

        Args:
            paths: See ``Source.from_objects``.
            **options: Those of the class.
        """
        return cls(Source.from_objects(paths), **options)

    @classmethod
    def from_manifest(
        cls,
        manifest: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] = "",
        parser: ManifestParser | None = None,
        **options: Any,
    ) -> Self:
        """Return the dataset of what a manifest lists, with its labels.

        Args:
            manifest: See ``Source.from_manifest``, as for ``root`` and ``parser``.
            root: What the names are relative to.
            parser: Reads the manifest.
            **options: Those of the class.
        """
        return cls(Source.from_manifest(manifest, root=root, parser=parser), **options)

    @property
    def unreadable(self) -> int:
        """How many samples could not be read so far, over all workers of this process."""
        return self._reader.unreadable
