"""The picture: everything that has a ratio to raw awscrt, and where it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")  # a file, also where there is no display
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from scripts.benchmark.results import Row

RATE_UNITS = ("MB/s", "files/s")

COLORS = {
    "mountfs": "#1f6f8b",
    "mountfs --read-only": "#63b0c9",
    "s3fs": "#b0a08a",
    "rclone mount": "#d1bfa3",
    "rclone mount, defaults": "#e3d9c8",
}
"""Ours in one colour, the others in another."""


def draw_chart(rows: Sequence[Row], path: Path, caption: str) -> None:
    """Write a PNG: rates relative to raw (more is better), and times (less is better)."""
    compared = [row for row in rows if row.ratio is not None]
    rates = [row for row in compared if row.unit in RATE_UNITS]
    times = [row for row in compared if row.unit not in RATE_UNITS]
    panels = [
        (chosen, title)
        for chosen, title in (
            (rates, "rate / raw awscrt (more is better)"),
            (times, "time / raw awscrt (less is better)"),
        )
        if chosen
    ]
    if not panels:
        return
    heights = [len(chosen) + 1.5 for chosen, _ in panels]
    figure, axes = plt.subplots(
        len(panels),
        figsize=(10, 0.34 * sum(heights) + 1),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axis, (chosen, title) in zip(axes[:, 0], panels, strict=True):
        _draw_panel(axis, chosen, title)
    figure.supxlabel(caption, fontsize=6, wrap=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_panel(axis: Axes, rows: Sequence[Row], title: str) -> None:
    for place, row in enumerate(rows):
        assert row.ratio is not None
        axis.barh(place, row.ratio, color=COLORS.get(row.subject, "#1f6f8b"), height=0.7)
        axis.text(row.ratio, place, f" {row.ratio:.2f}", va="center", fontsize=8)
        if row.target is not None and row.target.is_ratio:
            axis.plot([row.target.bound] * 2, [place - 0.45, place + 0.45], color="#c0392b", lw=2)
    axis.axvline(1.0, color="grey", lw=0.8, ls=":")
    axis.set_yticks(
        range(len(rows)),
        [f"{row.job}, {row.condition}: {row.subject}" for row in rows],
        fontsize=8,
    )
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_title(f"{title}; red: target", fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
