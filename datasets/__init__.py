"""PyTorch datasets and checkpoint helpers on top of a mounted path, or of any directory.

Installed as ``mountfs.datasets``. Imports nothing of the mount itself, and never awscrt or boto3: a
process that forks workers must be able to import it.
"""

from __future__ import annotations

from mountfs.datasets.archive import count_members, members, samples
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.checkpoint import Checkpoint
from mountfs.datasets.checkpoints import Checkpoints
from mountfs.datasets.entry import Entry
from mountfs.datasets.item import Item
from mountfs.datasets.iterable_dataset import IterableDataset
from mountfs.datasets.listing import Listing
from mountfs.datasets.map_dataset import MapDataset
from mountfs.datasets.path_map import PathMap
from mountfs.datasets.paths import NotMountedError, local_path
from mountfs.datasets.sample import IndexedSamples, Sample
from mountfs.datasets.sampler import BatchSampler
from mountfs.datasets.shuffle import ShuffleDataset
from mountfs.datasets.source import Source
from mountfs.datasets.tar_index import TarIndex
from mountfs.datasets.tar_pack import pack
from mountfs.datasets.zipped import ZippedDataset

__all__ = [
    "ArchiveError",
    "BatchSampler",
    "Checkpoint",
    "Checkpoints",
    "Entry",
    "IndexedSamples",
    "Item",
    "IterableDataset",
    "Listing",
    "MapDataset",
    "NotMountedError",
    "PathMap",
    "Sample",
    "ShuffleDataset",
    "Source",
    "TarIndex",
    "ZippedDataset",
    "count_members",
    "local_path",
    "members",
    "pack",
    "samples",
]
