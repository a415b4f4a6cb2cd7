"""Turns items into samples, and decides what becomes of those that cannot be read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from torch.utils.data import get_worker_info

from mountfs.datasets.item import Item
from mountfs.datasets.shared_integers import SharedIntegers

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["raise", "skip", "none"]
"""What a sample that raised ``OSError`` is: an error, nothing, or None."""

MAX_WORKERS: Final = 1024
"""Slots in shared memory, one a worker. Nobody has so many; it costs 8 KiB."""


class Skipped:
    """Stands for a sample that is left out."""


SKIPPED: Final = Skipped()


class SampleReader:
    """Applies the transform to items, and the policy to its ``OSError``. Picklable if that is.

    Only ``OSError`` says that something could not be read (Pillow's for an image that it does not
    know is one). Everything else is a mistake in the program, and always raised.

    Args:
        transform: Makes the sample of an item; None leaves the item.
        on_error: The policy.
    """

    def __init__(self, transform: Callable[[Any], Any] | None, on_error: OnError) -> None:
        if transform is not None and not callable(transform):
            raise TypeError(f"transform is a function of a sample, not {transform!r}")
        if on_error not in ("raise", "skip", "none"):
            raise ValueError(f"on_error is one of raise, skip, none, not {on_error!r}")
        self.on_error: OnError = on_error
        self.transform = transform
        self._counts = SharedIntegers(MAX_WORKERS + 1)

    @property
    def unreadable(self) -> int:
        """How many samples could not be read, over all workers of this process."""
        return sum(self._counts)

    def read(self, item: Any) -> Any:
        """Return the sample of an item, or what the policy puts in its place.

        The transform runs in the thread that asks, one at a time, so that a random augmentation
        meets its random numbers in the order of the samples.

        Raises:
            OSError: The item cannot be read, and the policy is to say so.
        """
        if self.transform is None:
            return item
        try:
            return self.transform(item)
        except OSError as error:
            if isinstance(item, Item):
                item.close()  # a good one stays open: the sample may refer to it
            return self.instead(error)

    def instead(self, error: OSError, count: int = 1) -> Any:
        """Return what stands for samples that cannot be read, and count them.

        Raises:
            OSError: The policy is to say so.
        """
        if self.on_error == "raise":
            raise error
        info = get_worker_info()
        slot = 0 if info is None else 1 + info.id % MAX_WORKERS
        self._counts[slot] = self._counts[slot] + count
        log.warning("left out %d samples that cannot be read: %s", count, error)
        return None if self.on_error == "none" else SKIPPED
