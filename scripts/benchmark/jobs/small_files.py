"""Thousands of photographs in random order, as training reads them, in two epochs."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import READER, run_crew
from scripts.benchmark.data_set import small_objects
from scripts.benchmark.page_cache import count_incomplete, read_refaults
from scripts.benchmark.results import RAW_NAME, Row, Series, at_least, at_most, ratio_at_least
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import MOUNTFS, READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.crew import Outcome
    from scripts.benchmark.data_set import DataSet
    from scripts.benchmark.mounts import Mount
    from scripts.benchmark.results import Target
    from scripts.benchmark.service import Route
    from scripts.benchmark.subjects import Subject

    Targets = Mapping[str, Target]

SUBJECTS = (MOUNTFS, READ_ONLY)

TIMES_PEERS = 1.5

WARM_READERS = 4
"""The second epoch is measured with so many readers only."""

WARM_TARGETS = {MOUNTFS.name: at_least(4_000), READ_ONLY.name: at_least(12_000)}
"""Files a second from the kernel's memory; for the full size."""


def measure_small_files(bench: Bench) -> list[Row]:
    """Read every file once, in shuffled order, after one walk; then again from the same mount."""
    data_set = small_objects(bench.sizes)
    bench.upload(data_set)
    names = [subject.name for subject in SUBJECTS]
    slow, direct = bench.service.slow, bench.service.direct
    plan: list[tuple[Route, int, Targets, Targets]] = [
        (slow, 4, dict.fromkeys(names, ratio_at_least(0.90)), {}),
        (slow, 16, dict.fromkeys(names, ratio_at_least(0.80)), {}),
        (direct, 4, {READ_ONLY.name: ratio_at_least(0.70)}, WARM_TARGETS),
    ]
    rows: list[Row] = []
    for route, readers, targets, warm_targets in plan:
        condition = Condition(bench, data_set, route, readers)
        condition.measure()
        rows += condition.rows(targets, warm_targets)
    return rows


class Condition:
    """All passes of one latency and one number of readers."""

    def __init__(self, bench: Bench, data_set: DataSet, route: Route, readers: int) -> None:
        self._bench = bench
        self._data_set = data_set
        self._route = route
        self._readers = readers
        self._name = f"{route.name}, {readers} readers"
        self._job = f"{len(data_set.objects):,} small files"
        self._cold: dict[str, Series] = defaultdict(Series)
        self._warm: dict[str, Series] = defaultdict(Series)
        self._excess: dict[str, list[int]] = defaultdict(list)

    def measure(self) -> None:
        """Make all passes."""
        passes: dict[str, Callable[[int], Series]] = {RAW_NAME: self._read_raw}
        for subject in (*SUBJECTS, *self._bench.peers):
            passes[subject.name] = partial(self._read_mounted, subject)
        self._bench.interleave(f"{self._job}, {self._name}, files/s", passes)

    def rows(self, targets: Targets, warm_targets: Targets) -> list[Row]:
        """Return what came out, by subject."""
        rows: list[Row] = []
        for subject in SUBJECTS:
            rows.append(self._cold_row(subject, targets.get(subject.name)))
            if self._readers == WARM_READERS:
                rows.append(self._warm_row(subject, warm_targets.get(subject.name)))
            rows.append(self._excess_row(subject))
        return rows + [self._peer_row(peer) for peer in self._bench.peers]

    def _cold_row(self, subject: Subject, target: Target | None) -> Row:
        return Row(
            job=self._job,
            condition=self._name,
            subject=subject.name,
            unit="files/s",
            values=tuple(self._cold[subject.name].values),
            raw_values=tuple(self._cold[RAW_NAME].values),
            target=target,
            note=self._cold[subject.name].note,
        )

    def _peer_row(self, peer: Subject) -> Row:
        return Row(
            job=self._job,
            condition=self._name,
            subject=peer.name,
            unit="files/s",
            values=tuple(self._cold[peer.name].values),
            raw_values=tuple(self._cold[RAW_NAME].values),
            note=self._cold[peer.name].note,
            own_values=tuple(self._cold[MOUNTFS.name].values),
            own_factor=TIMES_PEERS,
        )

    def _warm_row(self, subject: Subject, target: Target | None) -> Row:
        return Row(
            job=f"{self._job}, again",
            condition=self._name,
            subject=subject.name,
            unit="files/s",
            values=tuple(self._warm[subject.name].values),
            target=target,
            note=self._warm[subject.name].note,
        )

    def _excess_row(self, subject: Subject) -> Row:
        """Return the row that must be 0: the worst pass counts."""
        return Row(
            job=f"{self._job}, requests too many",
            condition=self._name,
            subject=subject.name,
            unit="requests",
            values=(max(self._excess[subject.name]),),
            target=at_most(0),
            note="HEAD, GET beyond one a file, any in the second epoch",
        )

    def _read_raw(self, index: int) -> Series:
        outcome = self._bench.service.run_raw(
            self._route,
            self._data_set.bucket,
            kind="get",
            ranges=[(key, 0, size) for key, size in self._data_set.shuffled(index)],
            outstanding=self._readers,
        )
        self._cold[RAW_NAME].add(outcome.files_per_second)
        return self._cold[RAW_NAME]

    def _read_mounted(self, subject: Subject, index: int) -> Series:
        name = subject.name
        is_ours = subject in SUBJECTS
        with self._bench.mounted(subject, self._data_set.bucket, self._route) as mount:
            walk = {"kind": "walk", "root": str(mount.path), "with_stat": False}
            assert run_crew(READER, [walk]).total("files") == len(self._data_set.objects)
            order = self._data_set.shuffled(index)
            outcome, cold = self._read_counted(mount, order, is_ours=is_ours)
            self._cold[name].add(outcome.files_per_second, describe_requests(cold))
            if is_ours:
                excess = (
                    abs(cold["GET"] - len(order))
                    + cold["HEAD"]
                    + self._read_again(mount, name, index)
                )
                self._excess[name].append(excess)
        return self._cold[name]

    def _read_again(self, mount: Mount, name: str, index: int) -> int:
        """Read everything once more; return how many requests were not the kernel's doing.

        A kernel short of memory, or one that reclaims what it takes for cold (DAMON), drops pages
        at any time; such a file must be fetched again. What is gone before the pass can be seen;
        of what goes during the pass, most counts as a refault when it comes back.
        """
        order = self._data_set.shuffled(index + self._bench.repeat)
        sizes = {str(mount.path / key): size for key, size in order}
        incomplete, refaults = count_incomplete(sizes), read_refaults()
        outcome, requests = self._read_counted(mount, order, is_ours=True)
        dropped = max(incomplete, read_refaults() - refaults)
        note = describe_requests(requests)
        if any(requests.values()):
            note += f" (the kernel had dropped {dropped:,} pages, or more)"
        self._warm[name].add(outcome.files_per_second, note)
        return max(0, sum(requests.values()) - dropped)

    def _read_counted(
        self, mount: Mount, order: Sequence[tuple[str, int]], *, is_ours: bool
    ) -> tuple[Outcome, dict[str, int]]:
        """Read the files; count in the proxy's log, or without a proxy ask the mount itself."""
        service = self._bench.service
        before = mount.requests() if is_ours else {}
        mark = service.mark()
        paths = [str(mount.path / key) for key, _ in order]
        jobs = [{"kind": "files", "paths": paths[i :: self._readers]} for i in range(self._readers)]
        outcome = run_crew(READER, jobs)
        assert outcome.total("bytes") == sum(size for _, size in order)
        if self._route.latency_ms:
            return outcome, {"GET": 0, "HEAD": 0, **service.count(mark)}
        after = mount.requests() if is_ours else {}
        return outcome, {kind: after[kind] - before[kind] for kind in after}
