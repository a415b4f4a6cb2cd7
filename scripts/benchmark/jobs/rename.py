"""The rename of a directory, which S3 does not know: a copy and a deletion of each object."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import WRITER, run_crew
from scripts.benchmark.data_set import WRITTEN_BYTES
from scripts.benchmark.results import Row, Series, at_most
from scripts.benchmark.service import UPLOADS_OUTSTANDING, describe_requests
from scripts.benchmark.subjects import MOUNTFS, RCLONE_WRITER

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.subjects import Subject

BUCKET = "renamed"

TARGET_SECONDS = 3.0
"""For the full size."""


def measure_rename(bench: Bench) -> list[Row]:
    """Rename a directory of small files on a fresh mount, with latency."""
    bench.service.make_bucket(BUCKET)
    # s3fs does it file by file, in minutes.
    subjects = (MOUNTFS, RCLONE_WRITER) if bench.peers else (MOUNTFS,)
    series: dict[str, Series] = defaultdict(Series)
    job = f"rename of a directory of {bench.sizes.written_count:,} files"
    passes: dict[str, Callable[[int], Series]] = {
        subject.name: partial(_rename, bench, subject, series[subject.name]) for subject in subjects
    }
    bench.interleave(f"{job}, {bench.service.slow.name}, s", passes)
    return [
        Row(
            job=job,
            condition=bench.service.slow.name,
            subject=subject.name,
            unit="s",
            values=tuple(series[subject.name].values),
            target=at_most(TARGET_SECONDS) if subject is MOUNTFS else None,
            note=series[subject.name].note,
        )
        for subject in subjects
    ]


def _rename(bench: Bench, subject: Subject, series: Series, _: int) -> Series:
    number = next(bench.numbers)
    source, target = f"epoch-{number}", f"final-{number}"
    names = [f"shard-{index:05d}.bin" for index in range(bench.sizes.written_count)]
    bench.service.run_raw(
        bench.service.direct,
        BUCKET,
        kind="put",
        objects=[(f"{source}/{name}", WRITTEN_BYTES) for name in names],
        outstanding=UPLOADS_OUTSTANDING,
    )
    with bench.mounted(subject, BUCKET, bench.service.slow) as mount:
        mark = bench.service.mark()
        paths = {"source": str(mount.path / source), "target": str(mount.path / target)}
        outcome = run_crew(WRITER, [{"kind": "rename", **paths}])
        requests = bench.service.count(mark)
    assert _list(bench, f"{source}/") == [], "the old directory is still there"
    found = [key for key in _list(bench, f"{target}/") if not key.endswith("/")]
    assert [f"{target}/{name}" for name in names] == found, "not all files are in the new directory"
    series.add(outcome.seconds, describe_requests(requests))
    return series


def _list(bench: Bench, prefix: str) -> list[str]:
    with bench.service.client() as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
