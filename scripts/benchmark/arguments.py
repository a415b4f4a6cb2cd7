"""The command line of ``scripts/bench``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REPEAT = 3
"""Medians of three, at least: neighbours on the same hardware come and go."""

DESCRIPTION = """\
Measure how mountfs reads and writes on a Ceph RGW that this command starts, with and without
latency, against raw awscrt in the same run: one table, one picture. Every pass is a fresh mount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What the user wants.

    Attributes:
        jobs: which to run.
        repeat: passes of each subject.
        is_quick: little data, to see that everything works.
        with_peers: measure s3fs and rclone mount too.
        json_path, chart_path: where results go; None for nowhere.
    """

    jobs: tuple[str, ...]
    repeat: int
    is_quick: bool
    with_peers: bool
    json_path: Path | None
    chart_path: Path


def parse_arguments(arguments: Sequence[str], jobs: Sequence[str]) -> Arguments:
    """Return what *arguments* say; end the program where they make no sense."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=DESCRIPTION)
    parser.add_argument(
        "--quick", action="store_true", help="little data and one repeat: does it work at all?"
    )
    parser.add_argument(
        "--only", action="append", choices=jobs, metavar="JOB", default=[],
        help=f"only this job; may be given several times: {', '.join(jobs)}",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=_positive, metavar="N", help=f"passes of each (default: {REPEAT})"
    )
    parser.add_argument("--peers", action="store_true", help="measure s3fs and rclone mount, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--png", type=Path, metavar="FILE", default=Path("bench.png"),
        help="write the picture there (default: %(default)s)",
    )  # fmt: skip
    parsed = parser.parse_args(arguments)
    return Arguments(
        jobs=tuple(name for name in jobs if name in parsed.only or not parsed.only),
        repeat=parsed.repeat or (1 if parsed.quick else REPEAT),
        is_quick=parsed.quick,
        with_peers=parsed.peers,
        json_path=parsed.json,
        chart_path=parsed.png,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
