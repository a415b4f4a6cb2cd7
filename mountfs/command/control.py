"""The texts of the hidden ``.mountfs/`` directory: figures and configuration, as of now."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from mountfs._version import __version__
from mountfs.command.config import effective_toml
from mountfs.command.dirty import NothingDirty
from mountfs.command.figures import write_figures
from mountfs.log import redact
from mountfs.metrics import figures_as_dict, figures_as_prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mountfs.command.config import MountConfig
    from mountfs.command.dirty import DirtySource
    from mountfs.metrics import Figure


MAX_FAILING = 100
"""Failing files that ``stats`` names; how many there are in all is among the figures."""


class Control:
    """Makes the control files' texts; nothing here waits for anything.

    Args:
        config: of the mount.
        figures: of the components; may be set later, since some components need the control first.
        dirty: who keeps the changes that are not published; may be set later, too.
    """

    def __init__(
        self,
        config: MountConfig,
        figures: Sequence[Figure] = (),
        dirty: DirtySource | None = None,
    ) -> None:
        self.figures = figures
        self.dirty: DirtySource = NothingDirty() if dirty is None else dirty
        self._config = config
        self._started_at = time.monotonic()
        self._config_text = redact(effective_toml(config)).encode("utf-8", "backslashreplace")
        self._texts: dict[bytes, Callable[[], bytes]] = {
            b"stats": self._stats,
            b"metrics": self._metrics,
            b"config": lambda: self._config_text,
        }

    def names(self) -> list[bytes]:
        """Return the names of all control files."""
        return list(self._texts)

    def read(self, name: bytes) -> bytes | None:
        """Return the text of *name* as of now; None when there is no such file."""
        make = self._texts.get(name)
        return None if make is None else make()

    def _stats(self) -> bytes:
        stats = {
            "version": __version__,
            "source": str(self._config.source),
            "mountpoint": self._config.mountpoint,
            "pid": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self._started_at, 3),
            "read_only": self._config.read_only,
            **figures_as_dict([*self.figures, *write_figures(self.dirty)]),
            "failing": [
                {"path": _printable(path), "reason": _printable(reason)}
                for path, reason in self.dirty.failing[:MAX_FAILING]
            ],
        }
        return json.dumps(stats, indent=2).encode() + b"\n"

    def _metrics(self) -> bytes:
        return figures_as_prometheus(
            [*self.figures, *write_figures(self.dirty)],
            {
                "source": _printable(str(self._config.source)),
                "mountpoint": _printable(self._config.mountpoint),
            },
        )


def _printable(text: str) -> str:
    """Return *text* with what is not UTF-8 (surrogate escapes) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
