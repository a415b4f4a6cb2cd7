"""Child processes that do the measured work: started before the clock, released together."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

READER = "scripts.benchmark.reader"
WRITER = "scripts.benchmark.writer"
RAW = "scripts.benchmark.raw"
LOADER = "scripts.benchmark.loader"

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout: the benchmark, the test stores and mountfs itself are imported from there."""

PATIENCE_SECONDS = 900.0
"""For one pass, many times the slowest ever seen: a mount that hangs must not hang all."""


class CrewError(Exception):
    """A child process failed or did not end in time; it said why on standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a crew did.

    Attributes:
        seconds: from the first start to the last end.
        reports: of each child.
    """

    seconds: float
    reports: Sequence[Mapping[str, Any]]

    @property
    def files_per_second(self) -> float:
        """Of all children together."""
        return self.total("files") / self.seconds

    @property
    def mb_per_second(self) -> float:
        """Of all children together; a MB is 10^6 bytes."""
        return self.total("bytes") / self.seconds / 1e6

    @property
    def median_ms(self) -> float:
        """The median of all single times that the children report."""
        seconds = [each for report in self.reports for each in report["seconds"]]
        return 1000 * float(statistics.median(seconds))

    def total(self, name: str) -> int:
        """The sum over the reports."""
        return sum(int(report[name]) for report in self.reports)


def run_crew(module: str, jobs: Sequence[Mapping[str, Any]]) -> Outcome:
    """Run one child of *module* for each job, all released at the same moment.

    Raises:
        CrewError: one failed, or took longer than `PATIENCE_SECONDS`.
    """
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_running_child(module)) for _ in jobs]
        watchdog = threading.Timer(PATIENCE_SECONDS, _kill, [children])
        watchdog.daemon = True
        watchdog.start()
        stack.callback(watchdog.cancel)
        for child, job in zip(children, jobs, strict=True):
            _tell(child, json.dumps(job))
        for child in children:
            _hear(child)
        for child in children:
            _tell(child, "go")
        reports = [json.loads(_hear(child)) for child in children]
    start = min(report["start"] for report in reports)
    stop = max(report["stop"] for report in reports)
    return Outcome(seconds=stop - start, reports=reports)


def python_module(module: str) -> list[str]:
    """Return the command that runs *module* if ``PYTHONPATH`` is `ROOT`, in any directory."""
    return [sys.executable, "-P", "-m", module]


@contextlib.contextmanager
def _running_child(module: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        # It ends when the benchmark does, however that happens.
        ["setpriv", "--pdeathsig", "KILL", *python_module(module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        except BaseException:
            child.kill()
            raise


def _kill(children: Sequence[subprocess.Popen[str]]) -> None:
    for child in children:
        child.kill()


def _tell(child: subprocess.Popen[str], line: str) -> None:
    stream = _open(child.stdin)
    with contextlib.suppress(BrokenPipeError):  # `_hear` will say it
        stream.write(line + "\n")
        stream.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    line = _open(child.stdout).readline()
    if not line:
        raise CrewError(f"{child.args!r} ended early, with exit code {child.wait()}")
    return line


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "made with a pipe"
    return stream
