"""The command, with changes that are published only when the file ``publish`` appears.

Run as a program, in the foreground: ``python -m tests.cli.slow_mount FOLDER SOURCE MOUNTPOINT
...``. It is a real mount; only who keeps the changes is exchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from mountfs.command import cli, mount
from mountfs.command.control import Control

if TYPE_CHECKING:
    from mountfs.command.dirty import DirtySource

PUBLISH = "publish"
FAIL = "fail"
STAGING_PATH = "/staging/of/this"


class SlowChanges:
    """One dirty and two pending files until `PUBLISH` exists; a bug if `FAIL` does."""

    uploaded_bytes = publish_count = 0
    publish_failure_count = 1
    lost_count = 0
    staging_path = STAGING_PATH

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def _is_published(self) -> bool:
        return (self._folder / PUBLISH).exists()

    @property
    def dirty_count(self) -> int:
        """Files that are dirty."""
        return 0 if self._is_published else 1

    @property
    def dirty_bytes(self) -> int:
        """Their bytes."""
        return self.dirty_count * 1024

    @property
    def pending_count(self) -> int:
        """Files that are pending."""
        return 2 * self.dirty_count

    @property
    def pending_bytes(self) -> int:
        """Their bytes."""
        return self.dirty_count * 3072

    @property
    def oldest_seconds(self) -> float:
        """Some time."""
        return self.dirty_count * 90.0

    @property
    def failing(self) -> tuple[tuple[str, str], ...]:
        """One of the pending files."""
        return () if self._is_published else (("a\x1b/b", "the store is away"),)

    def dirty_paths(self, limit: int) -> tuple[str, ...]:
        """Return the one dirty file."""
        return () if self._is_published else ("open/file",)

    async def drain(self) -> None:
        """Wait for the file."""
        while not self._is_published:
            if (self._folder / FAIL).exists():
                raise RuntimeError("a bug")
            await trio.sleep(0.02)


def main() -> int:
    """Run the command."""
    changes = SlowChanges(Path(sys.argv[1]))
    build: Any = mount._build

    async def build_slow(*arguments: Any) -> Any:
        *others, _ = await build(*arguments)
        return (*others, changes)

    class SlowControl(Control):
        """Shows these changes, whatever it is given."""

        @property
        def dirty(self) -> DirtySource:
            """The changes."""
            return changes

        @dirty.setter
        def dirty(self, _: DirtySource) -> None:
            """Ignore it."""

    setattr(mount, "_build", build_slow)  # noqa: B010
    setattr(mount, "Control", SlowControl)  # noqa: B010
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
