"""Files by number: what ``DataLoader`` calls a map-style dataset."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from mountfs.datasets.contents import Contents
from mountfs.datasets.fetcher import Fetcher
from mountfs.datasets.item import Item
from mountfs.datasets.sample_reader import SKIPPED, OnError, SampleReader
from mountfs.datasets.source import ManifestParser, Source, Spec

if TYPE_CHECKING:
    import os

    from mountfs.datasets.entry import Openable

Transform = Callable[[Item], Any]


class MapDataset(Dataset[Any]):
    """The files of a source, or the members of an index, as samples with numbers.

    Lists the source at the first ``len`` or access, once; the listing then travels with the dataset
    into workers, so that all agree. Opens files only to read them. May be used before and after a
    fork, and pickled, at any time.

    Args:
        source: What ``Source.of`` takes (several sources in a list become one dataset), a
            ``Source``, or a sequence of what has items: a listing, the index of a tar file.
        transform: Makes the sample of an item. Without one the sample is the item.
        on_error: What a sample is whose transform raises ``OSError``: ``raise`` it, ``skip`` it in
            a batch (and count it; a batch of which nothing is left raises), ``none`` for None.
        threads: How many files of one batch to fetch at the same time in one worker. Transforms run
            one after the other all the same.
    """

    def __init__(
        self,
        source: Spec | Sequence[Openable],
        *,
        transform: Transform | None = None,
        on_error: OnError = "raise",
        threads: int = 16,
    ) -> None:
        self._contents = Contents(source)
        self._reader = SampleReader(transform, on_error)
        self._fetcher = Fetcher(threads)

    @classmethod
    def from_prefix(cls, prefix: str | os.PathLike[str], **options: Any) -> MapDataset:
        """Return the dataset of everything that starts with these characters.

        Args:
            prefix: See ``Source.from_prefix``.
            **options: Those of the class.
        """
        return cls(Source.from_prefix(prefix), **options)

    @classmethod
    def from_objects(cls, paths: Iterable[str | os.PathLike[str]], **options: Any) -> MapDataset:
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
    ) -> MapDataset:
        """Return the dataset of what a manifest lists, with its labels.

        Args:
            manifest: See ``Source.from_manifest``, as for ``root`` and ``parser``.
            root: What the names are relative to.
            parser: Reads the manifest.
            **options: Those of the class.
        """
        return cls(Source.from_manifest(manifest, root=root, parser=parser), **options)

    @property
    def entries(self) -> Sequence[Openable]:
        """What there is to read, listed at the first use.

        Raises:
            OSError: It cannot be listed.
        """
        return self._contents.entries

    @property
    def unreadable(self) -> int:
        """How many samples could not be read so far, over all workers of this process."""
        return self._reader.unreadable

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Any:
        """Return one sample.

        Raises:
            IndexError: There is none of this number.
            OSError: It cannot be read, and ``on_error`` is not ``none``: one cannot skip here.
        """
        item = self.entries[index].item()
        sample = self._reader.read(item)
        if sample is SKIPPED:
            raise OSError(errno.EIO, "sample cannot be read, and nothing can be in its place",
                          item.path)  # fmt: skip
        return sample

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return the samples of a batch, fetched at the same time, in the order of the indices.

        Raises:
            OSError: One cannot be read, or none can be and ``on_error`` is ``skip``.
        """
        entries = self.entries
        items = [entries[index].item() for index in indices]
        if self._reader.transform is not None:  # else nobody reads here
            self._fetcher.fetch_all(items)
        samples = [self._reader.read(item) for item in items]
        kept = [sample for sample in samples if sample is not SKIPPED]
        if items and not kept:
            raise OSError(errno.EIO, "no sample of the batch can be read", items[0].path)
        return kept

    def sizes(self) -> array[int]:
        """Return the size of every sample's file in bytes, for batches limited by bytes.

        Asks the file system for each, many at a time.

        Raises:
            OSError: One cannot be asked.
        """
        entries, fetcher = self.entries, self._fetcher
        return array("q", fetcher.map(lambda index: entries[index].item().size, range(len(self))))
