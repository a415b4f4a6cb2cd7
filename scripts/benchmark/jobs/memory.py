"""How much memory the mount's process takes: for data in flight, and for names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from scripts.benchmark.crew import READER, ROOT, python_module, run_crew
from scripts.benchmark.data_set import MIB, stream_objects
from scripts.benchmark.listing_server import ListingEndpoint
from scripts.benchmark.mounts import mounted
from scripts.benchmark.results import Row, Series, at_most
from scripts.benchmark.subjects import MOUNTFS, Subject
from tests.stores.processes import LOCALHOST, find_free_port, is_listening, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.data_set import DataSet
    from scripts.benchmark.service import Route

LIMITED = Subject(
    name="mountfs --memory-limit 512M", program="mountfs", options=("--memory-limit", "512M")
)

STREAMS_TARGET_MIB = 640
NAMES_TARGET_MIB = 1024

SERVER_SECONDS = 30.0
"""For the start of the listing server, which imports next to nothing."""


def measure_streams_memory(bench: Bench) -> list[Row]:
    """Read several large objects at the same time and look at the peak of the mount's memory."""
    data_set = stream_objects(bench.sizes)
    bench.upload(data_set)
    return [
        _measure_streams(bench, data_set, route)
        for route in (bench.service.direct, bench.service.slow)
    ]


def _measure_streams(bench: Bench, data_set: DataSet, route: Route) -> Row:
    peaks = Series()

    def measure(_: int) -> Series:
        with bench.mounted(LIMITED, data_set.bucket, route) as mount:
            jobs = [
                {"kind": "files", "paths": [str(mount.path / key)]} for key, _ in data_set.objects
            ]
            outcome = run_crew(READER, jobs)
            assert outcome.total("bytes") == data_set.size_bytes
            used = mount.stats()["memory"]["peak_bytes"] / MIB
            note = f"{outcome.mb_per_second:,.0f} MB/s, {used:,.0f} MiB of the budget"
            peaks.add(mount.memory_bytes("VmHWM") / MIB, note)
        return peaks

    job = f"{len(data_set.objects)} readers of {data_set.objects[0][1] // MIB} MiB each"
    bench.interleave(f"{job}, {route.name}, MiB of RSS", {LIMITED.name: measure})
    return Row(
        job=job,
        condition=route.name,
        subject=LIMITED.name,
        unit="MiB RSS (peak)",
        values=tuple(peaks.values),
        target=at_most(STREAMS_TARGET_MIB),
        note=peaks.note,
    )


def measure_names_memory(bench: Bench) -> list[Row]:
    """Walk very many names, which a server makes up, and look at the mount's memory."""
    sizes = bench.sizes
    peaks, per_entry = Series(), Series()

    def measure(_: int) -> Series:
        directory = bench.directory / f"mount-{next(bench.numbers)}"
        directory.mkdir()
        with (
            _running_listing_server(bench) as endpoint,
            mounted(MOUNTFS, "names", endpoint, directory) as mount,
        ):
            mount.stats()
            before = mount.memory_bytes("VmRSS")
            job = {"kind": "walk", "root": str(mount.path), "with_stat": False}
            outcome = run_crew(READER, [job])
            assert outcome.total("files") == sizes.listed_count
            after = mount.memory_bytes("VmRSS")
            peaks.add(mount.memory_bytes("VmHWM") / MIB, f"walked in {outcome.seconds:.0f} s")
            per_entry.add((after - before) / sizes.listed_count)
        return peaks

    job = f"{sizes.listed_count:,} listed entries"
    bench.interleave(f"{job}, MiB of RSS", {MOUNTFS.name: measure})
    condition = f"{sizes.listed_directories:,} directories"
    return [
        Row(
            job=job, condition=condition, subject=MOUNTFS.name, unit="MiB RSS (peak)",
            values=tuple(peaks.values), target=at_most(NAMES_TARGET_MIB), note=peaks.note,
        ),
        Row(
            job=job, condition=condition, subject=MOUNTFS.name, unit="bytes an entry",
            values=tuple(per_entry.values),
        ),
    ]  # fmt: skip


@contextlib.contextmanager
def _running_listing_server(bench: Bench) -> Iterator[ListingEndpoint]:
    port = find_free_port()
    sizes = bench.sizes
    numbers = [port, sizes.listed_count, sizes.listed_directories]
    with running_server(
        "listing server",
        [*python_module("scripts.benchmark.listing_server"), *map(str, numbers)],
        log_path=bench.directory / "listing_server.log",
        environment={"PYTHONPATH": str(ROOT)},
    ) as server:
        server.wait_until(lambda: is_listening(port), timeout_seconds=SERVER_SECONDS)
        yield ListingEndpoint(endpoint_url=f"http://{LOCALHOST}:{port}")
