"""Integers that a process and its data-loading workers see alike, also workers that live on."""

from __future__ import annotations

from typing import Any

import torch


class SharedIntegers:
    """A fixed number of integers in shared memory, zero at first.

    Forked workers, and those to whom ``multiprocessing`` sends it, share it; any other copy or
    pickle has memory of its own. There is no lock: each integer has one writer.
    """

    def __init__(self, count: int) -> None:
        self._values = torch.zeros(count, dtype=torch.int64)
        self._values.share_memory_()  # type: ignore[no-untyped-call]

    def __getitem__(self, index: int) -> int:
        return int(self._values[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._values[index] = value

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        return iter(self._values.tolist())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._values = state["_values"]
        if not self._values.is_shared():  # type: ignore[no-untyped-call]
            self._values.share_memory_()  # type: ignore[no-untyped-call]
