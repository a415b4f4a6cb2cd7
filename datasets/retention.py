"""Which checkpoints stay: a pure decision over what there is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.datasets.checkpoint_record import CheckpointRecord


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep.

    Attributes:
        keep: How many of the highest steps; None keeps all.
        best: A metric, and whether its minimum or its maximum is best. The best stays, too.
    """

    keep: int | None = None
    best: tuple[str, Literal["min", "max"]] | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise ValueError(f"keep={self.keep!r}: at least 1, or None to keep all")
        if self.best is not None and (len(self.best) != 2 or self.best[1] not in ("min", "max")):
            raise ValueError(f'best={self.best!r}: a metric and a direction, as ("loss", "min")')

    def find_best(self, records: Sequence[CheckpointRecord]) -> CheckpointRecord | None:
        """Return the best of some checkpoints; of equally good ones that of the lowest step.

        One that lacks the metric, or has NaN, is not a candidate.
        """
        if self.best is None:
            return None
        name, direction = self.best
        sign = 1 if direction == "min" else -1
        candidates = [
            record for record in records if not math.isnan(record.metrics.get(name, math.nan))
        ]
        return min(
            candidates,
            key=lambda record: (sign * record.metrics[name], record.step),
            default=None,
        )

    def find_superseded(
        self, records: Sequence[CheckpointRecord], just_saved: CheckpointRecord
    ) -> list[CheckpointRecord]:
        """Return what need not be kept any longer, now that *just_saved* is there."""
        if self.keep is None:
            return []
        by_step = sorted(records, key=lambda record: record.step, reverse=True)
        stay = {just_saved.step, *(record.step for record in by_step[: self.keep])}
        best = self.find_best(records)
        if best is not None:
            stay.add(best.step)
        return [record for record in reversed(by_step) if record.step not in stay]
