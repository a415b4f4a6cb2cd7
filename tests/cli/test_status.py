"""What ``mountfs status`` makes of what mounts answer."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.command import status as status_module
from mountfs.command.config import Source, compose
from mountfs.command.control import Control
from mountfs.command.probe import Answer, MountState
from mountfs.command.status import MountStatus, read_status, status_as_json, status_as_text
from mountfs.mounts import Mount

if TYPE_CHECKING:
    from collections.abc import Sequence

MOUNTPOINT = "/mnt/a\nb\x1b[2J"
MOUNT = Mount(
    mount_id=40,
    parent_id=27,
    device="0:48",
    mountpoint=MOUNTPOINT,
    kind="fuse.mountfs",
    source="s3://b/\x07p",
)


def answered(monkeypatch: pytest.MonkeyPatch, text: bytes) -> MountStatus:
    """Return the status of a mount whose figures are *text*."""

    def ask(mountpoints: Sequence[str]) -> list[Answer]:
        assert mountpoints == [MOUNTPOINT]
        return [Answer(state=MountState.OK, stats=text)]

    monkeypatch.setattr(status_module, "read_mounts", lambda: [MOUNT])
    monkeypatch.setattr(status_module, "ask", ask)
    monkeypatch.setattr(status_module, "find_pid", lambda _: os.getpid())
    (status,) = read_status()
    return status


def good(**other: Any) -> dict[str, Any]:
    """Return figures as a mount tells them, but for *other*."""
    text = Control(compose(Source(bucket="b"), "/mnt/x", [])).read(b"stats")
    assert text is not None
    stats: dict[str, Any] = json.loads(text)
    return stats | {"requests": {"get": 1}, "store": {"retries": 7}} | other


def test_a_mount_tells_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not know is a question mark: it may be of another version."""
    status = answered(monkeypatch, json.dumps(good()).encode())
    assert MountState.OK is status.state
    text = status_as_text([status])
    assert "1 GET; 7 retries, ? throttled" in text
    assert "0 published, 0 B uploaded" in text


WRONG: tuple[dict[str, Any], ...] = (
    {"requests": None},
    {"requests": {"get": "x"}},
    {"requests": {"get": float("nan")}},
    {"store": []},
    {"data": {"read_bytes": "many"}},
    {"memory": 7},
    {"write": {"publishes": None}},
    {"write": "x"},
    {"write": {"oldest_seconds": 1e300}},
    {"uptime_seconds": "long"},
    {"uptime_seconds": float("inf")},
    {"uptime_seconds": 1e300},
    {"failing": 7},
    {"failing": [7]},
    {"failing": [{}]},
    {"failing": [{"path": 1, "reason": "x"}]},
)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"12",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        *(json.dumps(good(**other)).encode() for other in WRONG),
    ],
)
def test_what_is_not_the_figures_of_a_mount_is_a_failure_of_that_mount(
    monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    """Whoever answered: the other mounts are shown."""
    status = answered(monkeypatch, text)
    assert (MountState.FAILED, {}) == (status.state, status.stats)
    assert "does not tell its figures" in status_as_text([status])
    assert "failed" == json.loads(status_as_json([status]))[0]["state"]


@pytest.mark.parametrize("state", MountState)
def test_no_path_moves_the_cursor(state: MountState) -> None:
    """Nor breaks a line; programs get it as it is."""
    stats = good() if state is MountState.OK else {}
    status = MountStatus(mount=MOUNT, state=state, pid=None, stats=stats)
    text = status_as_text([status])
    assert text.startswith("s3://b/\\x07p on /mnt/a\\x0ab\\x1b[2J\n  state ")
    assert all(line.isprintable() for line in text.splitlines())
    assert MOUNTPOINT == json.loads(status_as_json([status]))[0]["mountpoint"]
