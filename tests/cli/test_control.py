"""The control files and the figures in them."""

from __future__ import annotations

import json
import tomllib

import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from mountfs.command.config import Source, compose
from mountfs.command.control import Control
from mountfs.command.options import parse_setting
from mountfs.command.stacks import describe_stacks
from mountfs.metrics import Figure, FigureKind

CONFIG = compose(
    Source(bucket="b", prefix='a "b"\n\udcff/'), "/mnt/x", [[parse_setting("region", "r", "test")]]
)


def figures(counts: dict[str, int]) -> list[Figure]:
    """Return figures that read *counts*."""
    requests = [
        Figure(
            path=("requests", kind),
            metric="store_requests",
            labels={"kind": kind},
            kind=FigureKind.COUNTER,
            help="Requests.",
            read=lambda kind=kind: counts[kind],  # type: ignore[misc]
        )
        for kind in ("get", "list")
    ]
    used = Figure(
        path=("memory", "used_bytes"),
        metric="memory_used_bytes",
        kind=FigureKind.GAUGE,
        help="Memory.",
        read=lambda: counts["used"],
    )
    return [*requests, used]


def test_stats_are_those_of_the_moment() -> None:
    """Each look is a new one."""
    counts = {"get": 1, "list": 2, "used": 3}
    control = Control(CONFIG, figures(counts))
    counts["get"] = 7
    text = control.read(b"stats")
    assert text is not None
    stats = json.loads(text)
    assert stats["requests"] == {"get": 7, "list": 2}
    assert stats["memory"] == {"used_bytes": 3}
    assert (stats["mountpoint"], stats["read_only"]) == ("/mnt/x", False)
    assert {"version", "source", "pid", "uptime_seconds"} <= stats.keys()


def test_metrics_are_what_prometheus_reads() -> None:
    """Counters, gauges and labels, whatever is in the source's name."""
    text = Control(CONFIG, figures({"get": 1, "list": 2, "used": 3})).read(b"metrics")
    assert text is not None
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    requests = families["mountfs_store_requests"]
    assert requests.type == "counter"
    assert {sample.labels["kind"]: sample.value for sample in requests.samples} == {
        "get": 1.0,
        "list": 2.0,
    }
    (used,) = families["mountfs_memory_used_bytes"].samples
    assert (used.value, used.labels["mountpoint"]) == (3.0, "/mnt/x")


def test_the_config_is_toml() -> None:
    """As a configuration file, whatever is in the source's name."""
    text = Control(CONFIG).read(b"config")
    assert text is not None
    assert tomllib.loads(text.decode())["region"] == "r"


def test_there_are_these_files_and_no_others() -> None:
    """An unknown name is None, not an error."""
    control = Control(CONFIG)
    assert control.names() == [b"stats", b"metrics", b"config"]
    assert control.read(b"secrets") is None


async def test_the_stacks_show_tasks_and_threads(nursery: trio.Nursery) -> None:
    """What SIGUSR1 writes tells where each task waits."""

    async def wait_for_something() -> None:
        await trio.sleep_forever()

    nursery.start_soon(wait_for_something)
    await trio.testing.wait_all_tasks_blocked()
    text = describe_stacks()
    assert "wait_for_something" in text
    assert "sleep_forever" in text
    assert "MainThread" in text
    nursery.cancel_scope.cancel()
