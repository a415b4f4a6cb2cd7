"""What is still to be published, as of one moment: a value that can be sent, read and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mountfs.command.quantities import describe_bytes

if TYPE_CHECKING:
    from mountfs.command.dirty import DirtySource
    from mountfs.data.replay import ReplayReport

MAX_NAMES = 5
"""Files named in a message; more would hide the rest of it. A line that holds them fits a pipe."""

MAX_TEXT = 250
"""Characters of one path or reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is still to be published.

    Attributes:
        dirty_count: files that are lost if the process dies.
        dirty_bytes: theirs.
        pending_count: files that are safe in the staging directory.
        pending_bytes: theirs.
        dirty_paths: some of the dirty files.
        failing: path and reason of some whose last publish has failed.
        failing_count: of all of those.
        lost_count: files that were lost before, and nobody was told.
    """

    dirty_count: int = 0
    dirty_bytes: int = 0
    pending_count: int = 0
    pending_bytes: int = 0
    dirty_paths: tuple[str, ...] = ()
    failing: tuple[tuple[str, str], ...] = ()
    failing_count: int = 0
    lost_count: int = 0

    @classmethod
    def of(cls, source: DirtySource) -> Self:
        """Return what remains of *source* now."""
        failing = source.failing
        return cls(
            dirty_count=source.dirty_count,
            dirty_bytes=source.dirty_bytes,
            pending_count=source.pending_count,
            pending_bytes=source.pending_bytes,
            dirty_paths=tuple(printable(path) for path in source.dirty_paths(MAX_NAMES)),
            failing=tuple(
                (printable(path), printable(reason)) for path, reason in failing[:MAX_NAMES]
            ),
            failing_count=len(failing),
            lost_count=source.lost_count,
        )

    @classmethod
    def of_replay(cls, report: ReplayReport) -> Self:
        """Return what remains of a journal that is being replayed; its bytes are not known."""
        return cls(
            pending_count=report.total - report.done,
            failing=tuple(
                (printable(key), printable(reason)) for key, reason, _ in report.failed[-MAX_NAMES:]
            ),
            failing_count=len(report.failed),
        )

    @property
    def count(self) -> int:
        """Files, of both kinds."""
        return self.dirty_count + self.pending_count

    @property
    def size_bytes(self) -> int:
        """Bytes, of both kinds."""
        return self.dirty_bytes + self.pending_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "dirty_count": self.dirty_count,
            "dirty_bytes": self.dirty_bytes,
            "pending_count": self.pending_count,
            "pending_bytes": self.pending_bytes,
            "dirty_paths": list(self.dirty_paths),
            "failing": [list(pair) for pair in self.failing],
            "failing_count": self.failing_count,
            "lost_count": self.lost_count,
        }

    def describe(self) -> str:
        """Return e.g. ``3 files (1.5 GiB)``."""
        return _describe(self.count, self.size_bytes)

    def verdict(self, staging_path: str) -> str:
        """Return what becomes of it when the process ends now: what is lost, what stays where."""
        parts = []
        if self.dirty_count:
            more = self.dirty_count - len(self.dirty_paths)
            names = ", ".join(self.dirty_paths) + (f" and {more} more" if more > 0 else "")
            parts.append(
                f"{_describe(self.dirty_count, self.dirty_bytes)} not published and lost: {names}"
            )
        if self.lost_count:
            parts.append(
                f"{_describe(self.lost_count, 0)} lost earlier, after the last close; see the log"
            )
        if self.pending_count:
            parts.append(
                f"{_describe(self.pending_count, self.pending_bytes)} not uploaded yet, safe in "
                f"{printable(staging_path)}; the next mount of the same source uploads what is "
                "there"
            )
        parts.extend(f"{path}: {reason}" for path, reason in self.failing)
        return "; ".join(parts)


def parse_remains(found: object) -> Remains:
    """Return the value that `Remains.as_dict` made; what comes from elsewhere may be anything.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(found, dict):
        raise ValueError("not what remains")
    try:
        numbers = {
            name: int(found.get(name, 0))
            for name in ("dirty_count", "dirty_bytes", "pending_count", "pending_bytes",
                         "failing_count", "lost_count")
        }  # fmt: skip
        paths = tuple(printable(str(path)) for path in found.get("dirty_paths", ()))
        failing = tuple(
            (printable(str(path)), printable(str(reason)))
            for path, reason in found.get("failing", ())
        )
    except (TypeError, ValueError) as error:
        raise ValueError("not what remains") from error
    return Remains(dirty_paths=paths[:MAX_NAMES], failing=failing[:MAX_NAMES], **numbers)


def _describe(count: int, size_bytes: int) -> str:
    size = f" ({describe_bytes(size_bytes)})" if size_bytes else ""
    return f"{count} file{'' if count == 1 else 's'}{size}"


def printable(text: str) -> str:
    """Return *text* without what would move a terminal's cursor or break a line, and not endless.

    What is not UTF-8 is spelled out.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
