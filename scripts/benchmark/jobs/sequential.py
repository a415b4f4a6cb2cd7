"""One large object from begin to end."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import READER, run_crew
from scripts.benchmark.data_set import MIB, big_objects
from scripts.benchmark.results import RAW_NAME, Row, Series, ratio_at_least
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import MOUNTFS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.data_set import DataSet
    from scripts.benchmark.service import Route
    from scripts.benchmark.subjects import Subject

OUTSTANDING = 8
"""As many parts as mountfs's read-ahead window holds."""

PART_BYTES = 8 * MIB

TARGETS = {True: ratio_at_least(0.75), False: ratio_at_least(0.60)}
"""With latency, and without."""


def measure_sequential(bench: Bench) -> list[Row]:
    """Read with 1 MiB at a time; raw: GETs of 8 MiB, eight outstanding."""
    data_set = big_objects(bench.sizes)
    bench.upload(data_set)
    _read_raw(bench, data_set, bench.service.direct, Series(), 0)  # the store's own caches
    rows: list[Row] = []
    for route in (bench.service.direct, bench.service.slow):
        rows += _measure_route(bench, data_set, route)
    return rows


def _measure_route(bench: Bench, data_set: DataSet, route: Route) -> list[Row]:
    series: dict[str, Series] = defaultdict(Series)
    subjects = (MOUNTFS, *bench.peers)
    passes: dict[str, Callable[[int], Series]] = {
        RAW_NAME: partial(_read_raw, bench, data_set, route, series[RAW_NAME])
    }
    for subject in subjects:
        passes[subject.name] = partial(
            _read_mounted, bench, data_set, route, subject, series[subject.name]
        )
    job = f"{data_set.size_bytes // MIB:,} MiB in order"
    bench.interleave(f"{job}, {route.name}, MB/s", passes)
    return [
        Row(
            job=job,
            condition=route.name,
            subject=subject.name,
            unit="MB/s",
            values=tuple(series[subject.name].values),
            raw_values=tuple(series[RAW_NAME].values),
            target=TARGETS[route.latency_ms > 0] if subject is MOUNTFS else None,
            note=series[subject.name].note,
            own_values=tuple(series[MOUNTFS.name].values) if subject in bench.peers else (),
            own_factor=1.0 if subject in bench.peers else 0.0,
        )
        for subject in subjects
    ]


def _read_raw(bench: Bench, data_set: DataSet, route: Route, series: Series, _: int) -> Series:
    ((key, size),) = data_set.objects
    ranges = [(key, at, min(at + PART_BYTES, size)) for at in range(0, size, PART_BYTES)]
    outcome = bench.service.run_raw(
        route, data_set.bucket, kind="get", ranges=ranges, outstanding=OUTSTANDING
    )
    series.add(outcome.mb_per_second)
    return series


def _read_mounted(
    bench: Bench, data_set: DataSet, route: Route, subject: Subject, series: Series, _: int
) -> Series:
    ((key, size),) = data_set.objects
    with bench.mounted(subject, data_set.bucket, route) as mount:
        mark = bench.service.mark()
        outcome = run_crew(READER, [{"kind": "files", "paths": [str(mount.path / key)]}])
        assert outcome.total("bytes") == size
        if route.latency_ms:
            requests: dict[str, int] = bench.service.count(mark)
        else:  # no proxy counts; mountfs does, from the mount on
            requests = mount.requests() if subject is MOUNTFS else {}
    series.add(outcome.mb_per_second, describe_requests(requests))
    return series
