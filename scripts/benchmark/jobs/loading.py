"""Files by a DataLoader with workers: mountfs.datasets on a mount beside Amazon's connector."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from scripts.benchmark.crew import LOADER, run_crew
from scripts.benchmark.data_set import sample_objects
from scripts.benchmark.fingerprint import fingerprint
from scripts.benchmark.pattern import PatternStream
from scripts.benchmark.results import Row, Series
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import CONNECTOR, MOUNTFS, aws_environment
from tests.stores.client import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.benchmark.bench import Bench

WORKERS = 4

THREADS: Mapping[str, int] = {MOUNTFS.name: 16, f"{MOUNTFS.name}, threads=1": 1}
"""By name: as it comes, and one request of a worker at a time, as the connector does it."""

TIMES_CONNECTOR = {"map": 1.0, "iterable": 1.5}


def measure_map_dataset(bench: Bench) -> list[Row]:
    """Load files in random order."""
    return _measure(bench, "map")


def measure_iterable_dataset(bench: Bench) -> list[Row]:
    """Load files in the order of the listing, which the workers share."""
    return _measure(bench, "iterable")


def _measure(bench: Bench, kind: str) -> list[Row]:
    bench.upload(sample_objects(bench.sizes))
    loading = Loading(bench, kind)
    loading.measure()
    return loading.rows()


class Loading:
    """All passes of one kind of dataset: the connector, mountfs."""

    def __init__(self, bench: Bench, kind: str) -> None:
        self._bench = bench
        self._kind = kind
        self._data_set = sample_objects(bench.sizes)
        self._job = f"{len(self._data_set.objects):,} files, {kind} dataset"
        self._condition = f"{bench.service.slow.name}, {WORKERS} workers"
        self._series: dict[str, Series] = defaultdict(Series)
        self._fingerprint = sum(
            fingerprint(key, PatternStream(key, size).read())
            for key, size in self._data_set.objects
        )

    def measure(self) -> None:
        """Make all passes."""
        passes: dict[str, Callable[[int], Series]] = {CONNECTOR: self._load_connected}
        for name in THREADS:
            passes[name] = partial(self._load_mounted, name)
        self._bench.interleave(f"{self._job}, {self._condition}, files/s", passes)

    def rows(self) -> list[Row]:
        """Return what came out."""
        own_values = tuple(self._series[MOUNTFS.name].values)
        own = [self._row(name) for name in THREADS]
        factor = TIMES_CONNECTOR[self._kind]
        return [*own, self._row(CONNECTOR, own_values=own_values, own_factor=factor)]

    def _row(self, name: str, **rest: Any) -> Row:
        series = self._series[name]
        return Row(
            job=self._job,
            condition=self._condition,
            subject=name,
            unit="files/s",
            values=tuple(series.values),
            note=series.note,
            **rest,
        )

    def _load_connected(self, index: int) -> Series:
        endpoint = self._bench.service.slow.endpoint
        return self._load(
            CONNECTOR,
            index,
            place=f"s3://{self._data_set.bucket}/",
            connector={"region": REGION, "endpoint": endpoint.endpoint_url},
            environment=aws_environment(endpoint),
        )

    def _load_mounted(self, name: str, index: int) -> Series:
        bench = self._bench
        with bench.mounted(MOUNTFS, self._data_set.bucket, bench.service.slow) as mount:
            return self._load(name, index, place=str(mount.path), threads=THREADS[name])

    def _load(self, name: str, index: int, **job: Any) -> Series:
        mark = self._bench.service.mark()
        outcome = run_crew(LOADER, [{"kind": self._kind, "workers": WORKERS, "seed": index, **job}])
        assert outcome.total("files") == len(self._data_set.objects)
        assert outcome.total("bytes") == self._data_set.size_bytes
        assert outcome.total("fingerprint") == self._fingerprint, "wrong content"
        requests = self._bench.service.count(mark)
        self._series[name].add(outcome.files_per_second, describe_requests(requests))
        return self._series[name]
