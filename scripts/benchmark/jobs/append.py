"""One byte more at the end of a large object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmark.crew import WRITER, run_crew
from scripts.benchmark.data_set import MIB, appended_objects
from scripts.benchmark.results import Row, Series, at_most
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import MOUNTFS

if TYPE_CHECKING:
    from scripts.benchmark.bench import Bench

TARGET_MIB = 32


def measure_append(bench: Bench) -> list[Row]:
    """Append a byte through a fresh mount, and count what goes over the line, both ways."""
    data_set = appended_objects(bench.sizes)
    bench.upload(data_set)
    ((key, size_bytes),) = data_set.objects
    moved, seconds = Series(), Series()

    def measure(index: int) -> Series:
        with bench.mounted(MOUNTFS, data_set.bucket, bench.service.slow) as mount:
            mark = bench.service.mark()
            outcome = run_crew(WRITER, [{"kind": "append", "path": str(mount.path / key)}])
            requests = bench.service.count(mark)
            moved.add(bench.service.count_bytes(mark) / MIB, describe_requests(requests))
            seconds.add(outcome.seconds)
        with bench.service.client() as client:
            end = client.get_object(Bucket=data_set.bucket, Key=key, Range=f"bytes={size_bytes}-")
            assert b"!" * (index + 1) == end["Body"].read(), "what was appended is not there"
        return moved

    job = f"append a byte to {size_bytes // MIB:,} MiB"
    bench.interleave(f"{job}, {bench.service.slow.name}, MiB moved", {MOUNTFS.name: measure})
    return [
        Row(
            job=job, condition=bench.service.slow.name, subject=MOUNTFS.name, unit="MiB moved",
            values=tuple(moved.values), target=at_most(TARGET_MIB), note=moved.note,
        ),
        Row(
            job=job, condition=bench.service.slow.name, subject=MOUNTFS.name, unit="s",
            values=tuple(seconds.values),
        ),
    ]  # fmt: skip
