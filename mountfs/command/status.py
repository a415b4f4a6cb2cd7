"""``mountfs status``: all mounts of this host and their figures, whatever state they are in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mountfs.command.presence import find_pid
from mountfs.command.probe import MountState, ask
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
    return [
        MountStatus(
            mount=mount,
            state=answer.state,
            pid=find_pid(mount.device),
            stats=json.loads(answer.stats) if answer.state is MountState.OK else {},
        )
        for mount, answer in zip(mounts, answers, strict=True)
    ]


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
    mount = status.mount
    process = f", pid {status.pid}" if status.pid else ""
    # The state on a line of its own, since the paths may well fill the first one.
    head = f"{mount.source} on {mount.mountpoint}\n  state      {status.state.value}{process}"
    advice = ADVICE[status.state].format(mount.mountpoint)
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
        f"  changes    {write['publishes']} published, "
        f"{_bytes(stats, 'write', 'uploaded_bytes')} uploaded"
    ]
    waiting = [
        f"{write[f'{kind}_files']} {word} ({_bytes(stats, 'write', f'{kind}_bytes')})"
        for kind, word in (("dirty", "being written"), ("pending", "waiting for their upload"))
        if write[f"{kind}_files"]
    ]
    if waiting:
        age = timedelta(seconds=round(write["oldest_seconds"]))
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
