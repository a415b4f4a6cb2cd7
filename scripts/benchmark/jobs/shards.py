"""Tar shards as a stream of their members, by one process and by the workers of a DataLoader."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from scripts.benchmark.crew import LOADER, READER, run_crew
from scripts.benchmark.data_set import MIB, shard_objects
from scripts.benchmark.fingerprint import fingerprint
from scripts.benchmark.jobs.sequential import OUTSTANDING, PART_BYTES
from scripts.benchmark.results import RAW_NAME, Row, Series, ratio_at_least
from scripts.benchmark.service import describe_requests
from scripts.benchmark.shard import make_members
from scripts.benchmark.subjects import MOUNTFS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.crew import Outcome

WORKERS = 4

TARGET = ratio_at_least(0.9)

NETWORK_BYTES_PER_SECOND = 200_000_000
"""Less than what two cores can do besides being the store, so that the network is what is scarce.
Each connection carries its share of it, with as many of them as raw awscrt has outstanding."""

PLAIN = f"{MOUNTFS.name}, plain reads"
"""The same files without a look into them: the difference is what the members cost."""


def measure_shards(bench: Bench) -> list[Row]:
    """Read shards on a mount with latency; raw: GETs of the same objects.

    As fast as the machine can, and then as fast as a network of `NETWORK_BYTES_PER_SECOND` can.
    """
    bench.upload(shard_objects(bench.sizes))
    rows: list[Row] = []
    for network in (0, NETWORK_BYTES_PER_SECOND):
        for workers in (0, WORKERS):
            shards = Shards(bench, workers, network)
            shards.check()
            with bench.service.paced(shards.connection_bytes_per_second):
                shards.measure()
            rows += shards.rows()
    return rows


class Shards:
    """All passes with so many workers (0: without, in one process) on a network (0: loopback).

    Attributes:
        connection_bytes_per_second: what a connection carries; 0 for what it can.
    """

    def __init__(self, bench: Bench, workers: int, network_bytes_per_second: int) -> None:
        self._bench = bench
        self._workers = workers
        self._data_set = shard_objects(bench.sizes)
        self.connection_bytes_per_second = network_bytes_per_second // (OUTSTANDING * self._readers)
        readers = f"{workers} workers" if workers else "1 process"
        pace = f"{network_bytes_per_second // 1_000_000} MB/s, " if network_bytes_per_second else ""
        self._condition = f"{bench.service.slow.name}, {pace}{readers}"
        count, shard_bytes = len(self._data_set.objects), self._data_set.objects[0][1]
        self._job = f"{count} tar shards of {shard_bytes // MIB} MiB"
        self._series: dict[str, Series] = defaultdict(Series)
        self._expected: dict[str, int] = {}

    def check(self) -> None:
        """Read everything and compare it, which takes too much time to be measured.

        The passes that are measured compare the names, the sizes and the ends of the members.
        """
        found = [found for key, size in self._data_set.objects for found in make_members(key, size)]
        expected = sum(fingerprint(name, content) for name, content in found)
        outcome, _ = self._load(is_checked=True)
        assert expected == outcome.total("fingerprint"), "wrong content"
        self._expected = {
            "files": len(found),
            "bytes": sum(len(content) for _, content in found),
            "fingerprint": sum(
                fingerprint(name, content[:1] + content[-1:]) for name, content in found
            ),
        }

    def measure(self) -> None:
        """Make all passes."""
        self._bench.interleave(
            f"{self._job}, {self._condition}, MB/s",
            {RAW_NAME: self._read_raw, MOUNTFS.name: self._read_members, PLAIN: self._read_plain},
        )

    def rows(self) -> list[Row]:
        """Return what came out."""
        return [
            Row(
                job=self._job,
                condition=self._condition,
                subject=name,
                unit="MB/s",
                values=tuple(self._series[name].values),
                raw_values=tuple(self._series[RAW_NAME].values),
                target=TARGET if name == MOUNTFS.name else None,
                note=self._series[name].note,
            )
            for name in (MOUNTFS.name, PLAIN)
        ]

    @property
    def _readers(self) -> int:
        return max(1, self._workers)

    def _read_raw(self, _: int) -> Series:
        ranges = [
            (key, at, min(at + PART_BYTES, size))
            for key, size in self._data_set.objects
            for at in range(0, size, PART_BYTES)
        ]
        outcome = self._bench.service.run_raw(
            self._bench.service.slow,
            self._data_set.bucket,
            kind="get",
            ranges=ranges,
            outstanding=OUTSTANDING * self._readers,
        )
        return self._add(RAW_NAME, outcome)

    def _read_members(self, _: int) -> Series:
        outcome, requests = self._load(is_checked=False)
        assert self._expected == {name: outcome.total(name) for name in self._expected}
        return self._add(MOUNTFS.name, outcome, requests)

    def _read_plain(self, _: int) -> Series:
        def share(paths: list[str]) -> list[dict[str, Any]]:
            shares = (paths[index :: self._readers] for index in range(self._readers))
            return [{"kind": "files", "paths": each} for each in shares]

        outcome, requests = self._run_mounted(READER, share)
        assert outcome.total("bytes") == self._data_set.size_bytes
        return self._add(PLAIN, outcome, requests)

    def _load(self, *, is_checked: bool) -> tuple[Outcome, str]:
        job = {"kind": "shards", "workers": self._workers, "is_checked": is_checked}
        return self._run_mounted(LOADER, lambda paths: [{**job, "paths": paths}])

    def _run_mounted(
        self, module: str, jobs: Callable[[list[str]], list[dict[str, Any]]]
    ) -> tuple[Outcome, str]:
        """Run *jobs* of the shards' paths on a fresh mount; return the requests in words, too."""
        service = self._bench.service
        with self._bench.mounted(MOUNTFS, self._data_set.bucket, service.slow) as mount:
            mark = service.mark()
            paths = [str(mount.path / key) for key, _ in self._data_set.objects]
            outcome = run_crew(module, jobs(paths))
            return outcome, describe_requests(service.count(mark))

    def _add(self, name: str, outcome: Outcome, requests: str = "") -> Series:
        # Of the archives, headers and all, whatever was done with them.
        rate = self._data_set.size_bytes / 1e6 / outcome.seconds
        self._series[name].add(rate, requests)
        return self._series[name]
