"""Files by number: what ``DataLoader`` calls a map-style dataset."""

from __future__ import annotations

import errno
import os
from array import array
from typing import TYPE_CHECKING, Any

from mountfs.datasets.sample_reader import SKIPPED
from mountfs.datasets.source import Source
from mountfs.datasets.sourced_dataset import SourcedDataset
from mountfs.datasets.tar_archives import TarArchives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mountfs.datasets.contents import Contained
    from mountfs.datasets.entry import Openable
    from mountfs.datasets.item import Item
    from mountfs.datasets.sample_reader import OnError
    from mountfs.datasets.source import Spec


class MapDataset(SourcedDataset):
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
        source: Contained,
        *,
        transform: Callable[[Item], Any] | None = None,
        on_error: OnError = "raise",
        threads: int = 16,
    ) -> None:
        super().__init__(source, transform=transform, on_error=on_error, threads=threads)

    @classmethod
    def from_tar(
        cls, archives: Spec, index: str | os.PathLike[str] = "", **options: Any
    ) -> MapDataset:
        """Return the dataset of the members of tar archives, which are read where they are.

        The first use loads the index of each archive, and where there is none reads through the
        archive and keeps one: ``TarIndex.build(archive).save()`` does so beforehand, and ``pack``
        makes archives with theirs. An index of what an archive was before is an error.

        Args:
            archives: What ``Source.of`` takes: plain tar archives.
            index: Where the index is: beside its archive (``0.tar.index``) if empty; a file; or a
                directory, for any number of archives.
            **options: Those of the class.
        """
        return cls(TarArchives(Source.of(archives), os.fspath(index)), **options)

    @property
    def entries(self) -> Sequence[Openable]:
        """What there is to read, listed at the first use.

        Raises:
            OSError: It cannot be listed.
        """
        return self._contents.entries

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
