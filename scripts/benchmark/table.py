"""The table: Markdown that is also readable on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.benchmark.results import Row

HEADINGS = ("job", "condition", "what", "median", "raw", "ratio", "target", "", "requests and more")
NUMBER_COLUMNS = (3, 4, 5)

MARKS = {True: "✓", False: "✗", None: ""}


def render_table(rows: Sequence[Row]) -> str:
    """Return all rows in columns."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    rule = [
        "-" * (width - 1) + ":" if column in NUMBER_COLUMNS else "-" * width
        for column, width in enumerate(widths)
    ]
    lines = [_join(HEADINGS, widths), _join(rule, widths)]
    return "\n".join([*lines, *(_join(line, widths) for line in cells[1:])])


def render_machine(facts: dict[str, str]) -> str:
    """Return what was measured where, in one paragraph."""
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.job,
        row.condition,
        row.subject,
        f"{_number(row.value)} {row.unit}",
        "" if row.raw_value is None else _number(row.raw_value),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.target_text,
        MARKS[row.is_met],
        row.full_note,
    )


def _number(value: float) -> str:
    """Return three digits that count, as a person would write them."""
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in NUMBER_COLUMNS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
