"""Several streams side by side: images and their captions, which live in different shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from collections.abc import Iterator


class ZippedDataset(IterableDataset[tuple[Any, ...]]):
    """Tuples with one sample of each dataset.

    The datasets must divide their samples alike: as many of them, the same seed, and shuffling for
    all or none.

    Args:
        *datasets: ``IterableDataset`` of this package, or others.
    """

    def __init__(self, *datasets: Any) -> None:
        if not datasets:
            raise ValueError("ZippedDataset needs a dataset: ZippedDataset(images, captions)")
        self._datasets = datasets

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration in all of them."""
        for dataset in self._datasets:
            dataset.set_epoch(epoch)

    def __len__(self) -> int:
        """Return how many tuples there are, as the first dataset says."""
        return len(self._datasets[0])

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield tuples.

        Raises:
            ValueError: One dataset ends before the others, at that point.
        """
        yield from zip(*self._datasets, strict=True)

    def state_dict(self, **options: Any) -> dict[str, Any]:
        """Return where all of them stand; see ``IterableDataset``."""
        return {"zipped": [dataset.state_dict(**options) for dataset in self._datasets]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration yield the rest."""
        for dataset, one in zip(self._datasets, state["zipped"], strict=True):
            dataset.load_state_dict(one)
