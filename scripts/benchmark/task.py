"""The child's side of a measurement: prepare, say so, wait for the start, work, report.

Whatever is measured runs in a process of its own, which starts before the clock does. Parent and
child talk in lines: a JSON job, ``ready``, ``go``, a JSON report. Plain Python: what runs here must
not bring anything along that costs time.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], dict[str, Any]]


def serve_task(prepare: Callable[[dict[str, Any]], Work]) -> None:
    """Take one job from standard input, do it, and report on standard output.

    The report has what the work returned, and ``start`` and ``stop`` on the clock that all
    processes of the machine share.
    """
    work = prepare(json.loads(sys.stdin.readline()))
    _say("ready")
    if sys.stdin.readline() != "go\n":
        sys.exit("the benchmark gave up")
    start = time.monotonic()
    report = work()
    stop = time.monotonic()
    _say(json.dumps({"start": start, "stop": stop, **report}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
