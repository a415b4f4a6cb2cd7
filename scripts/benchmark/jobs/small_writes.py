"""Many small files, written by several processes, until they are where a close promises them."""

from __future__ import annotations

import signal
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import WRITER, run_crew
from scripts.benchmark.data_set import WRITTEN_BYTES
from scripts.benchmark.results import RAW_NAME, Row, Series, at_least, at_most, ratio_at_least
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import MOUNTFS, WRITE_BACK, WRITING_PEERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.crew import Outcome
    from scripts.benchmark.mounts import Mount
    from scripts.benchmark.subjects import Subject

BUCKET = "written"

WRITERS = 4

TARGET = ratio_at_least(0.85)
WRITE_BACK_TARGET = at_least(800)


def measure_small_writes(bench: Bench) -> list[Row]:
    """Write with latency into a directory that was listed; raw: PUTs, as many outstanding."""
    bench.service.make_bucket(BUCKET)
    passes = SmallWrites(bench)
    passes.measure()
    return passes.rows()


class SmallWrites:
    """All passes: raw, close after close, write-back, the others."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._count = bench.sizes.written_count
        self._rates: dict[str, Series] = defaultdict(Series)
        self._excess: list[int] = []
        self._lost: list[int] = []

    def measure(self) -> None:
        """Make all passes."""
        passes: dict[str, Callable[[int], Series]] = {
            RAW_NAME: self._put_raw,
            MOUNTFS.name: partial(self._write, MOUNTFS),
            WRITE_BACK.name: self._write_back,
        }
        for peer in self._peers:
            passes[peer.name] = partial(self._write, peer)
        self._bench.interleave(f"{self._job}, {self._condition}, files/s", passes)

    def rows(self) -> list[Row]:
        """Return what came out."""
        raw_values = tuple(self._rates[RAW_NAME].values)
        own_values = tuple(self._rates[MOUNTFS.name].values)
        return [
            self._row(MOUNTFS.name, raw_values=raw_values, target=TARGET),
            Row(
                job=f"{self._job}, requests too many", condition=self._condition,
                subject=MOUNTFS.name, unit="requests", values=(max(self._excess),),
                target=at_most(0), note="anything but one PUT a file",
            ),
            self._row(WRITE_BACK.name, target=WRITE_BACK_TARGET),
            Row(
                job=f"{self._job}, lost", condition=self._condition, subject=WRITE_BACK.name,
                unit="files", values=(max(self._lost),), target=at_most(0),
                note="the mount killed after the last close, and started again",
            ),
            *(
                self._row(peer.name, raw_values=raw_values, own_values=own_values, own_factor=1.0)
                for peer in self._peers
            ),
        ]  # fmt: skip

    def _row(self, name: str, **rest: object) -> Row:
        series = self._rates[name]
        return Row(
            job=self._job,
            condition=self._condition,
            subject=name,
            unit="files/s",
            values=tuple(series.values),
            note=series.note,
            **rest,  # type: ignore[arg-type]
        )

    @property
    def _job(self) -> str:
        return f"{self._count:,} files of {WRITTEN_BYTES // 1000} KB written"

    @property
    def _condition(self) -> str:
        return f"{self._bench.service.slow.name}, {WRITERS} writers"

    @property
    def _peers(self) -> tuple[Subject, ...]:
        return WRITING_PEERS if self._bench.peers else ()

    def _put_raw(self, _: int) -> Series:
        prefix = self._make_directory()
        outcome = self._bench.service.run_raw(
            self._bench.service.slow,
            BUCKET,
            kind="put",
            objects=[(f"{prefix}{name}", WRITTEN_BYTES) for name in self._names],
            outstanding=WRITERS,
        )
        self._check_stored(prefix)
        self._rates[RAW_NAME].add(outcome.files_per_second)
        return self._rates[RAW_NAME]

    def _write(self, subject: Subject, _: int) -> Series:
        prefix = self._make_directory()
        service = self._bench.service
        with self._bench.mounted(subject, BUCKET, service.slow) as mount:
            directory = mount.path / prefix
            list(directory.iterdir())
            mark = service.mark()
            outcome = self._write_to(mount, prefix)
            requests = service.count(mark)
        self._check_stored(prefix)
        if subject is MOUNTFS:
            others = sum(requests.values()) - requests["PUT"]
            self._excess.append(abs(requests["PUT"] - self._count) + others)
        self._rates[subject.name].add(outcome.files_per_second, describe_requests(requests))
        return self._rates[subject.name]

    def _write_back(self, _: int) -> Series:
        prefix = self._make_directory()
        bench = self._bench
        with bench.mounted(WRITE_BACK, BUCKET, bench.service.slow) as mount:
            list((mount.path / prefix).iterdir())
            outcome = self._write_to(mount, prefix)
            mount.server.process.send_signal(signal.SIGKILL)
            mount.server.process.wait()
        uploaded = self._count - self._count_missing(prefix)
        with bench.mounted(WRITE_BACK, BUCKET, bench.service.slow, staging=mount.staging) as again:
            again.wait_until_published()
        self._lost.append(self._count_missing(prefix))
        note = f"{uploaded:,} of them in the store by then"
        self._rates[WRITE_BACK.name].add(outcome.files_per_second, note)
        return self._rates[WRITE_BACK.name]

    def _write_to(self, mount: Mount, prefix: str) -> Outcome:
        paths = [str(mount.path / prefix / name) for name in self._names]
        shares = (paths[index::WRITERS] for index in range(WRITERS))
        jobs = [{"kind": "files", "paths": share, "size_bytes": WRITTEN_BYTES} for share in shares]
        return run_crew(WRITER, jobs)

    @property
    def _names(self) -> list[str]:
        return [f"sample-{index:05d}.bin" for index in range(self._count)]

    def _make_directory(self) -> str:
        """Make an empty directory in the store, by its marker, and return its prefix."""
        prefix = f"pass-{next(self._bench.numbers)}/"
        with self._bench.service.client() as client:
            client.put_object(Bucket=BUCKET, Key=prefix)
        return prefix

    def _check_stored(self, prefix: str) -> None:
        missing = self._count_missing(prefix)
        assert not missing, f"{missing} files below {prefix} are not in the store"

    def _count_missing(self, prefix: str) -> int:
        """Return how many files the store does not have in full length."""
        with self._bench.service.client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            whole = [
                entry["Key"]
                for page in pages
                for entry in page.get("Contents", [])
                if entry["Size"] == WRITTEN_BYTES
            ]
        return self._count - len(whole)
