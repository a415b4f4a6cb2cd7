"""``mountfs status``: all mounts of this host and their figures, whatever state they are in."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mountfs.command.presence import find_pid
from mountfs.command.probe import Answer, MountState, ask
from mountfs.command.quantities import describe_bytes
from mountfs.command.remains import printable
from mountfs.mounts import Mount, read_mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

ADVICE = {
    MountState.OK: "",
    MountState.STALE: "its process is gone; clear it with: mountfs umount {}",
    MountState.HUNG: "does not answer; if that lasts: mountfs umount --lazy {}",
    MountState.DENIED: "belongs to another user, and is closed to others",
    MountState.FAILED: "does not tell its figures",
}


ALWAYS_SHOWN = ("get", "list", "head")
"""Requests that are shown even if there was none; of the others there are too many."""

_GROUPS = ("requests", "store", "data", "memory", "metadata", "write")

_MAX_SECONDS = 1e11
"""No mount has lived for 3,000 years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountStatus:
    """One mount: where, how it does, its figures (if it answered), its process (if known)."""

    mount: Mount
    state: MountState
    pid: int | None
    stats: dict[str, Any]


def read_status() -> list[MountStatus]:
    """Return the state of all mounts that this process can see; it takes one time-out at most."""
    mounts = [mount for mount in read_mounts() if mount.is_ours]
    answers = ask([mount.mountpoint for mount in mounts])
    return [_read(mount, answer) for mount, answer in zip(mounts, answers, strict=True)]


def _read(mount: Mount, answer: Answer) -> MountStatus:
    state, stats = answer.state, {}
    if state is MountState.OK:
        try:
            stats = _parse_stats(answer.stats)
        except (ValueError, RecursionError):
            state = MountState.FAILED
    return MountStatus(mount=mount, state=state, pid=find_pid(mount.device), stats=stats)


def _parse_stats(text: bytes) -> dict[str, Any]:
    """Return the figures of a mount, of which any may be missing, but what tells that it is one.

    Raises:
        ValueError: it is something else.
        RecursionError: it is something else.
    """
    stats: dict[str, Any] = json.loads(text)
    is_one = isinstance(stats, dict) and {"requests", "uptime_seconds"} <= stats.keys()
    if not is_one or not _is_number(stats["uptime_seconds"], _MAX_SECONDS):
        raise ValueError("not the figures of a mount")
    for group in _GROUPS:
        figures = stats.get(group, {})
        if not isinstance(figures, dict) or not all(map(_is_number, figures.values())):
            raise ValueError(f"{group}: not figures")
    if stats.get("write", {}).get("oldest_seconds", 0) > _MAX_SECONDS:
        raise ValueError("no age")
    failing = stats.get("failing", [])
    if not isinstance(failing, list) or not all(map(_is_failing, failing)):
        raise ValueError("no failing files")
    return stats


def _is_number(value: object, stop: float = math.inf) -> bool:
    return isinstance(value, int | float) and 0 <= value < stop


def _is_failing(each: object) -> bool:
    return isinstance(each, dict) and all(isinstance(each.get(k), str) for k in ("path", "reason"))


def status_as_json(statuses: Sequence[MountStatus]) -> str:
    """Return a JSON list with an object for each mount."""
    return json.dumps(
        [
            {
                "source": status.mount.source,
                "mountpoint": status.mount.mountpoint,
                "state": status.state.value,
                "pid": status.pid,
                "stats": status.stats,
            }
            for status in statuses
        ],
        indent=2,
    )


def status_as_text(statuses: Sequence[MountStatus]) -> str:
    """Return a few lines for each mount."""
    if not statuses:
        return "mountfs has no mounts here"
    return "\n".join(_describe(status) for status in statuses)


def _describe(status: MountStatus) -> str:
    source, mountpoint = printable(status.mount.source), printable(status.mount.mountpoint)
    process = f", pid {status.pid}" if status.pid else ""
    # The state on a line of its own, since the paths may well fill the first one.
    head = f"{source} on {mountpoint}\n  state      {status.state.value}{process}"
    advice = ADVICE[status.state].format(mountpoint)
    if advice:
        return f"{head}\n             {advice}"
    stats = status.stats
    requests = ", ".join(
        f"{count} {kind.upper()}"
        for kind, count in stats["requests"].items()
        if count or kind in ALWAYS_SHOWN
    )
    return "\n".join((
        f"{head}, up {timedelta(seconds=round(stats['uptime_seconds']))}",
        f"  requests   {requests}; {_figure(stats, 'store', 'retries')} retries, "
        f"{_figure(stats, 'store', 'throttled')} throttled, "
        f"{_figure(stats, 'store', 'in_flight')} in flight",
        f"  data       {_bytes(stats, 'data', 'downloaded_bytes')} downloaded, "
        f"{_bytes(stats, 'data', 'read_bytes')} read",
        f"  memory     {_bytes(stats, 'memory', 'used_bytes')} of "
        f"{_bytes(stats, 'memory', 'limit_bytes')}",
        f"  metadata   {_figure(stats, 'metadata', 'inodes')} inodes",
        *_describe_changes(stats),
    ))  # fmt: skip


def _describe_changes(stats: dict[str, Any]) -> list[str]:
    """Return the lines about what is not in the bucket; none if the mount cannot have any."""
    if stats.get("read_only") or "write" not in stats:
        return []
    write = stats["write"]
    lines = [
        f"  changes    {_figure(stats, 'write', 'publishes')} published, "
        f"{_bytes(stats, 'write', 'uploaded_bytes')} uploaded"
    ]
    waiting = [
        f"{write[f'{kind}_files']} {word} ({_bytes(stats, 'write', f'{kind}_bytes')})"
        for kind, word in (("dirty", "being written"), ("pending", "waiting for their upload"))
        if write.get(f"{kind}_files")
    ]
    if waiting:
        age = timedelta(seconds=round(write.get("oldest_seconds", 0)))
        lines.append(f"             {', '.join(waiting)}, the oldest for {age}")
    # Names come from the bucket and from applications: nothing in them may move the cursor.
    lines += [
        f"             failing: {printable(each['path'])}: {printable(each['reason'])}"
        for each in stats.get("failing", ())
    ]
    return lines


def _figure(stats: dict[str, Any], group: str, name: str) -> Any:
    # A mount of another version may lack it.
    return stats.get(group, {}).get(name, "?")


def _bytes(stats: dict[str, Any], group: str, name: str) -> str:
    value = _figure(stats, group, name)
    if value == "?":
        return "?"
    return describe_bytes(value)
