"""Show people what remains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tqdm import tqdm

    from mountfs.command.remains import Remains

PUBLISHING_TITLE = "publishing"

FALLBACK_COLUMNS, FALLBACK_ROWS = 80, 24
"""Of a terminal that does not know its size."""

LINE_SECONDS = 30.0
"""Between two lines where there is no terminal: often enough to see life in a log, no more."""


class Display(Protocol):
    """Where progress is shown."""

    def show(self, remains: Remains) -> None:
        """Show *remains*; may be called as often as one likes."""
        ...

    def close(self) -> None:
        """Show nothing more."""
        ...


class BarDisplay:
    """A bar on a terminal, and a line for each file that fails for the first time.

    Nothing appears before there is something to wait for.
    """

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._bar: tqdm[NoReturn] | None = None
        self._is_in_bytes = True
        self._total = 0
        self._failed: set[tuple[str, str]] = set()

    def show(self, remains: Remains) -> None:
        """Show *remains*."""
        if self._bar is None:
            if not remains.count:
                return
            # Where only files are counted, the bar counts files.
            self._is_in_bytes = remains.size_bytes > 0
            self._bar = self._make_bar()
        bar = self._bar
        left = self._amount(remains)
        # It may grow: who has a file open goes on writing until the mount is gone.
        self._total = max(self._total, left)
        bar.total = self._total
        bar.set_description_str(f"{self._title}, {remains.count} left", refresh=False)
        bar.update(self._total - left - bar.n)
        bar.refresh()
        for path, reason in remains.failing:
            if (path, reason) not in self._failed:
                self._failed.add((path, reason))
                bar.write(f"{path}: {reason}", file=self._stream)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _amount(self, remains: Remains) -> int:
        return remains.size_bytes if self._is_in_bytes else remains.count

    def _make_bar(self) -> tqdm[NoReturn]:
        from tqdm import tqdm  # only here: most commands have nothing to wait for

        tqdm.monitor_interval = 0  # no thread of its own
        # Terminals without a size exist (serial lines, containers); tqdm shows nothing on them.
        has_size = os.get_terminal_size(self._stream.fileno()).columns > 0
        return tqdm(
            total=0,
            file=self._stream,
            unit="B" if self._is_in_bytes else "file",
            unit_scale=self._is_in_bytes,
            unit_divisor=1024,
            dynamic_ncols=has_size,
            ncols=None if has_size else FALLBACK_COLUMNS,
            nrows=None if has_size else FALLBACK_ROWS,
            mininterval=0,
            miniters=0,
        )


class LineDisplay:
    """A line at first, and then one every `LINE_SECONDS` if there is still something left."""

    def __init__(
        self,
        title: str,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._write = write
        self._clock = clock
        self._next_at = clock()

    def show(self, remains: Remains) -> None:
        """Write a line about *remains* if it is time."""
        if not remains.count or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + LINE_SECONDS
        failing = "".join(f"; {path}: {reason}" for path, reason in remains.failing)
        self._write(f"{self._title}: {remains.describe()} left{failing}")

    def close(self) -> None:
        """Nothing to do."""


def make_display(title: str, stream: TextIO) -> Display:
    """Return what suits *stream*."""
    if stream.isatty():
        return BarDisplay(title, stream)

    def write(line: str) -> None:
        stream.write(f"mountfs: {line}\n")
        stream.flush()

    return LineDisplay(title, write)
