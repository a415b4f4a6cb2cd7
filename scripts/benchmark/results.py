"""What was measured, and what it should have been."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

RAW_NAME = "raw awscrt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure should reach.

    Attributes:
        bound: still good.
        is_minimum: more is better; else less is.
        is_ratio: it is about the ratio to raw awscrt; else about the figure itself.
    """

    bound: float
    is_minimum: bool
    is_ratio: bool

    def __str__(self) -> str:
        number = f"{self.bound:.2f}" if self.is_ratio else f"{self.bound:,.10g}"
        return f"{'≥' if self.is_minimum else '≤'} {number}{' of raw' if self.is_ratio else ''}"

    def is_met_by(self, figure: float) -> bool:
        """Tell whether *figure* is good enough."""
        return figure >= self.bound if self.is_minimum else figure <= self.bound


def ratio_at_least(bound: float) -> Target:
    """Return the target for a rate relative to raw."""
    return Target(bound=bound, is_minimum=True, is_ratio=True)


def ratio_at_most(bound: float) -> Target:
    """Return the target for a time relative to raw."""
    return Target(bound=bound, is_minimum=False, is_ratio=True)


def at_least(bound: float) -> Target:
    """Return the target for a rate."""
    return Target(bound=bound, is_minimum=True, is_ratio=False)


def at_most(bound: float) -> Target:
    """Return the target for a time, a size or a number of requests."""
    return Target(bound=bound, is_minimum=False, is_ratio=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        job: what was done.
        condition: latency, number of readers.
        subject: by whom.
        unit: of the values.
        values: of each repeat.
        raw_values: of raw awscrt in the same repeats; empty where there is nothing to compare with.
        target: what it should reach; None for what is only shown.
        note: requests and the like.
        own_values: of mountfs in the same repeats, in the row of somebody else.
        own_factor: how many times as fast as this row mountfs should be; 0 for no matter.
    """

    job: str
    condition: str
    subject: str
    unit: str
    values: tuple[float, ...]
    raw_values: tuple[float, ...] = ()
    target: Target | None = None
    note: str = ""
    own_values: tuple[float, ...] = ()
    own_factor: float = 0.0

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def raw_value(self) -> float | None:
        """The median of raw awscrt."""
        return statistics.median(self.raw_values) if self.raw_values else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of runs that were neighbours in time."""
        return _paired_ratio(self.values, self.raw_values) if self.raw_values else None

    @property
    def own_ratio(self) -> float | None:
        """How many times as fast mountfs is, from neighbouring runs."""
        return _paired_ratio(self.own_values, self.values) if self.own_values else None

    @property
    def target_text(self) -> str:
        """The target in words."""
        if self.own_factor:
            return f"mountfs ≥ {self.own_factor:g} times"
        return "" if self.target is None else str(self.target)

    @property
    def full_note(self) -> str:
        """The note, and how mountfs compares in the row of somebody else."""
        if self.own_ratio is None:
            return self.note
        compared = f"mountfs: {self.own_ratio:.2f} times this"
        return f"{self.note}; {compared}" if self.note else compared

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.own_factor and self.own_ratio is not None:
            return self.own_ratio >= self.own_factor
        if self.target is None:
            return None
        figure = self.ratio if self.target.is_ratio else self.value
        assert figure is not None, "a target for a ratio needs raw values"
        return self.target.is_met_by(figure)

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "job": self.job,
            "condition": self.condition,
            "subject": self.subject,
            "unit": self.unit,
            "median": self.value,
            "values": self.values,
            "raw_median": self.raw_value,
            "raw_values": self.raw_values,
            "ratio": self.ratio,
            "target": self.target_text,
            "is_met": self.is_met,
            "note": self.full_note,
        }


def _paired_ratio(values: tuple[float, ...], others: tuple[float, ...]) -> float:
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


@dataclass(slots=True, kw_only=True)
class Series:
    """The passes of one subject.

    Attributes:
        values: one for each repeat.
        requests: what each pass asked the store, in words; the same words once.
    """

    values: list[float] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def add(self, value: float, requests: str = "") -> None:
        """Note one pass."""
        self.values.append(value)
        if requests and requests not in self.requests:
            self.requests.append(requests)

    @property
    def note(self) -> str:
        """The requests; several, if the passes did not agree."""
        return " / ".join(self.requests)
