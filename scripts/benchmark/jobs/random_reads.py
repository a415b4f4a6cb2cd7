"""Single reads at random places of a large object."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import READER, run_crew
from scripts.benchmark.data_set import MIB, big_objects
from scripts.benchmark.results import RAW_NAME, Row, Series, at_most, ratio_at_most
from scripts.benchmark.subjects import MOUNTFS

if TYPE_CHECKING:
    from scripts.benchmark.bench import Bench
    from scripts.benchmark.data_set import DataSet

    Ranges = list[tuple[int, int]]

READ_BYTES = {"4 KiB": 4096, "1 MiB": MIB}

HEAD_BYTES = 4 * MIB
"""Left out: the opening of the file has fetched it."""


def measure_random_reads(bench: Bench) -> list[Row]:
    """Read aligned blocks with latency; raw: a GET of the same range."""
    data_set = big_objects(bench.sizes)
    bench.upload(data_set)
    rows: list[Row] = []
    for name, size_bytes in READ_BYTES.items():
        rows += _measure_size(bench, data_set, name, size_bytes)
    return rows


def _measure_size(bench: Bench, data_set: DataSet, name: str, size_bytes: int) -> list[Row]:
    raw, own, counts = Series(), Series(), Series()
    route = bench.service.slow
    job = f"random reads of {name}"
    bench.interleave(
        f"{job}, {route.name}, ms",
        {
            RAW_NAME: partial(_time_raw, bench, data_set, raw, size_bytes),
            MOUNTFS.name: partial(_time_mounted, bench, data_set, own, counts, size_bytes),
        },
    )
    return [
        Row(
            job=job,
            condition=route.name,
            subject=MOUNTFS.name,
            unit="ms (median)",
            values=tuple(own.values),
            raw_values=tuple(raw.values),
            target=ratio_at_most(1.3),
        ),
        Row(
            job=job,
            condition=route.name,
            subject=MOUNTFS.name,
            unit="GETs a read",
            values=tuple(counts.values),
            target=at_most(1),
            note=counts.note,
        ),
    ]


def _choose(bench: Bench, size_bytes: int, index: int) -> Ranges:
    """Return other ranges for each repeat, the same for all subjects; none twice."""
    draw = random.Random(f"{size_bytes}/{index}")
    blocks = range(HEAD_BYTES // size_bytes, bench.sizes.big_bytes // size_bytes)
    return [
        (block * size_bytes, (block + 1) * size_bytes)
        for block in draw.sample(blocks, bench.sizes.random_reads)
    ]


def _time_raw(
    bench: Bench, data_set: DataSet, series: Series, size_bytes: int, index: int
) -> Series:
    ((key, _),) = data_set.objects
    ranges = [(key, start, stop) for start, stop in _choose(bench, size_bytes, index)]
    outcome = bench.service.run_raw(bench.service.slow, data_set.bucket, kind="time", ranges=ranges)
    series.add(outcome.median_ms)
    return series


def _time_mounted(
    bench: Bench, data_set: DataSet, series: Series, counts: Series, size_bytes: int, index: int
) -> Series:
    ((key, _),) = data_set.objects
    ranges = _choose(bench, size_bytes, index)
    with bench.mounted(MOUNTFS, data_set.bucket, bench.service.slow) as mount:
        path = str(mount.path / key)
        mark = bench.service.mark()
        # Without a read, so that what the opening costs can be taken off.
        run_crew(READER, [{"kind": "ranges", "path": path, "ranges": []}])
        opening = bench.service.count(mark)["GET"]
    with bench.mounted(MOUNTFS, data_set.bucket, bench.service.slow) as mount:
        path = str(mount.path / key)
        mark = bench.service.mark()
        outcome = run_crew(READER, [{"kind": "ranges", "path": path, "ranges": ranges}])
        requests = bench.service.count(mark)["GET"] - opening
    assert outcome.total("bytes") == size_bytes * len(ranges)
    counts.add(requests / len(ranges), f"{requests} for {len(ranges)} reads; {opening} at the open")
    series.add(outcome.median_ms)
    return series
