"""A tree of many names, from nothing: os.walk and os.stat."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import READER, run_crew
from scripts.benchmark.data_set import tiny_objects
from scripts.benchmark.results import RAW_NAME, Row, Series, at_most, ratio_at_most
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import MOUNTFS

if TYPE_CHECKING:
    from scripts.benchmark.bench import Bench
    from scripts.benchmark.data_set import DataSet

CHAINS = 16
"""Listings under way at a time in the bare one: more are not faster here."""

LISTS_PER_THOUSAND = 2.2
"""For 100,000 objects at most 220 LISTs."""


def measure_walk(bench: Bench) -> list[Row]:
    """Walk with latency, beside a bare parallel listing of the same keys with awscrt."""
    data_set = tiny_objects(bench.sizes)
    bench.upload(data_set)
    raw, own = Series(), Series()
    counts: list[dict[str, int]] = []
    job = f"walk and stat {len(data_set.objects):,} objects"
    bench.interleave(
        f"{job}, {bench.service.slow.name}, s",
        {
            RAW_NAME: partial(_list_raw, bench, data_set, raw),
            MOUNTFS.name: partial(_walk, bench, data_set, own, counts),
        },
    )

    def row(unit: str, values: list[float], **rest: object) -> Row:
        return Row(
            job=job,
            condition=bench.service.slow.name,
            subject=MOUNTFS.name,
            unit=unit,
            values=tuple(values),
            **rest,  # type: ignore[arg-type]
        )

    lists = len(data_set.objects) / 1000 * LISTS_PER_THOUSAND
    return [
        row(
            "s", own.values, raw_values=tuple(raw.values), target=ratio_at_most(2.5),
            note=f"{own.note}; raw: {raw.note}",
        ),
        row("LISTs", [float(each["LIST"]) for each in counts], target=at_most(lists)),
        row("HEADs", [float(each["HEAD"]) for each in counts], target=at_most(0)),
    ]  # fmt: skip


def _list_raw(bench: Bench, data_set: DataSet, series: Series, _: int) -> Series:
    outcome = bench.service.run_raw(bench.service.slow, data_set.bucket, kind="list", chains=CHAINS)
    assert outcome.total("files") == len(data_set.objects)
    series.add(outcome.seconds, f"{outcome.total('requests'):,} LIST")
    return series


def _walk(
    bench: Bench, data_set: DataSet, series: Series, counts: list[dict[str, int]], _: int
) -> Series:
    with bench.mounted(MOUNTFS, data_set.bucket, bench.service.slow) as mount:
        mark = bench.service.mark()
        outcome = run_crew(READER, [{"kind": "walk", "root": str(mount.path), "with_stat": True}])
        requests = bench.service.count(mark)
    assert outcome.total("files") == len(data_set.objects)
    assert outcome.total("bytes") == data_set.size_bytes
    counts.append({"LIST": 0, "HEAD": 0, **requests})
    series.add(outcome.seconds, describe_requests(requests))
    return series
