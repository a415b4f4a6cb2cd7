"""Figures of a mount, and their two forms: JSON for ``status``, text for Prometheus.

Components count in plain integer attributes, which costs nothing worth mentioning; a `Figure` knows
how to read one of them. So nothing is locked, and no library is called, where requests are served.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Family = CounterMetricFamily | GaugeMetricFamily

NAMESPACE = "mountfs"


class FigureKind(enum.Enum):
    """How a figure behaves."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number.

    Attributes:
        path: where it stands in the JSON: group and name.
        metric: its name for Prometheus, without namespace and without ``_total``.
        labels: tell figures of the same metric apart.
        kind: whether it only grows.
        help: one sentence.
        read: returns the number.
    """

    path: tuple[str, str]
    metric: str
    kind: FigureKind
    help: str
    read: Callable[[], float]
    labels: Mapping[str, str] = field(default_factory=dict)


def figures_as_dict(figures: Iterable[Figure]) -> dict[str, dict[str, float]]:
    """Return the figures as they are now, by group and name."""
    groups: dict[str, dict[str, float]] = {}
    for figure in figures:
        group, name = figure.path
        groups.setdefault(group, {})[name] = figure.read()
    return groups


def figures_as_prometheus(figures: Sequence[Figure], labels: Mapping[str, str]) -> bytes:
    """Return the figures as they are now in Prometheus's text format, each with *labels*."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FigureCollector(figures, labels))
    return generate_latest(registry)


class _FigureCollector(Collector):
    """Hands figures to prometheus_client."""

    def __init__(self, figures: Sequence[Figure], labels: Mapping[str, str]) -> None:
        self._figures = figures
        self._labels = labels

    def collect(self) -> Iterator[Family]:
        """Yield a family for each metric, with the figures that share it."""
        families: dict[str, Family] = {}
        for figure in self._figures:
            family = families.get(figure.metric)
            if family is None:
                make = (
                    CounterMetricFamily if figure.kind is FigureKind.COUNTER else GaugeMetricFamily
                )
                family = families[figure.metric] = make(
                    f"{NAMESPACE}_{figure.metric}",
                    figure.help,
                    labels=[*self._labels, *figure.labels],
                )
            family.add_metric([*self._labels.values(), *figure.labels.values()], figure.read())
        yield from families.values()
