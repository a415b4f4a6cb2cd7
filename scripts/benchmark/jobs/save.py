"""torch.save of a large state dict, until it is where a close promises it to be."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmark.crew import WRITER, run_crew
from scripts.benchmark.data_set import MIB
from scripts.benchmark.results import RAW_NAME, Row, Series, at_most, ratio_at_least
from scripts.benchmark.service import describe_requests
from scripts.benchmark.subjects import LIMITED, LIMITED_WRITE_BACK, WRITING_PEERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.bench import Bench
    from scripts.benchmark.crew import Outcome
    from scripts.benchmark.mounts import Mount
    from scripts.benchmark.service import Route
    from scripts.benchmark.subjects import Subject

BUCKET = "saved"

KEY = "checkpoint.pt"

LIMIT_MIB = 1024
"""``--memory-limit`` of both subjects."""

EXCESS_MIB = 128
"""So much more may be resident: the interpreter, CRT's buffers, names."""

TARGET = ratio_at_least(0.85)
WRITE_BACK_TARGET = ratio_at_least(0.7)

LOCAL_NAME = "torch.save and fsync"


def measure_save(bench: Bench) -> list[Row]:
    """Save through the mount; raw: awscrt uploads the same bytes, in parts, from memory.

    With write-back the close waits for the disk only; raw is then torch.save to the same disk,
    followed by fsync.
    """
    bench.service.make_bucket(BUCKET)
    rows: list[Row] = []
    for route in (bench.service.direct, bench.service.slow):
        rows += SaveToStore(bench, route).measure()
    return rows + SaveToDisk(bench).measure()


class SaveToStore:
    """All passes of one latency, durable in the store when close returns."""

    def __init__(self, bench: Bench, route: Route) -> None:
        self._bench = bench
        self._route = route
        self._rates: dict[str, Series] = defaultdict(Series)
        self._peaks = Series()
        self._dangling: list[int] = []

    def measure(self) -> list[Row]:
        """Make all passes and return what came out."""
        bench = self._bench
        subjects = (LIMITED, *(WRITING_PEERS if bench.peers else ()))
        passes: dict[str, Callable[[int], Series]] = {RAW_NAME: self._upload_raw}
        for subject in subjects:
            passes[subject.name] = partial(self._save, subject)
        bench.interleave(f"{_job(bench)}, {self._route.name}, MB/s", passes)
        return [*map(self._rate_row, subjects), self._peak_row(), self._dangling_row()]

    def _rate_row(self, subject: Subject) -> Row:
        is_peer = subject is not LIMITED
        return Row(
            job=_job(self._bench),
            condition=self._route.name,
            subject=subject.name,
            unit="MB/s",
            values=tuple(self._rates[subject.name].values),
            raw_values=tuple(self._rates[RAW_NAME].values),
            target=None if is_peer else TARGET,
            note=self._rates[subject.name].note,
            own_values=tuple(self._rates[LIMITED.name].values) if is_peer else (),
            own_factor=1.0 if is_peer else 0.0,
        )

    def _peak_row(self) -> Row:
        return Row(
            job=_job(self._bench),
            condition=self._route.name,
            subject=f"mountfs, limit {LIMIT_MIB} MiB",
            unit="MiB RSS (peak)",
            values=tuple(self._peaks.values),
            target=at_most(LIMIT_MIB + EXCESS_MIB),
            note=self._peaks.note,
        )

    def _dangling_row(self) -> Row:
        return Row(
            job=_job(self._bench),
            condition=self._route.name,
            subject=LIMITED.name,
            unit="uploads left behind",
            values=(max(self._dangling),),
            target=at_most(0),
        )

    def _upload_raw(self, _: int) -> Series:
        job = {"kind": "save", "key": KEY, "size_bytes": self._bench.sizes.saved_bytes}
        outcome = self._bench.service.run_raw(self._route, BUCKET, **job)
        _delete(self._bench, outcome)
        self._rates[RAW_NAME].add(outcome.mb_per_second)
        return self._rates[RAW_NAME]

    def _save(self, subject: Subject, _: int) -> Series:
        service = self._bench.service
        with self._bench.mounted(subject, BUCKET, self._route) as mount:
            mark = service.mark()
            outcome = _save_to(self._bench, str(mount.path / KEY))
            requests: dict[str, int] = {}
            if subject is LIMITED:
                requests = mount.requests()
                _note_peak(self._peaks, mount)
            elif self._route.latency_ms:
                requests = service.count(mark)
        _delete(self._bench, outcome)
        if subject is LIMITED:
            with service.client() as client:
                uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
            self._dangling.append(len(uploads))
        made = {kind: count for kind, count in requests.items() if count}
        self._rates[subject.name].add(outcome.mb_per_second, describe_requests(made))
        return self._rates[subject.name]


class SaveToDisk:
    """All passes with write-back: durable on the disk of the staging directory."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._local, self._own, self._peaks = Series(), Series(), Series()

    def measure(self) -> list[Row]:
        """Make all passes and return what came out."""
        bench, route = self._bench, self._bench.service.direct
        bench.interleave(
            f"{_job(bench)}, write-back, MB/s",
            {LOCAL_NAME: self._save_locally, LIMITED_WRITE_BACK.name: self._save},
        )
        return [
            Row(
                job=_job(bench), condition=route.name, subject=LIMITED_WRITE_BACK.name, unit="MB/s",
                values=tuple(self._own.values), raw_values=tuple(self._local.values),
                target=WRITE_BACK_TARGET, note=f"raw: {LOCAL_NAME} on the same disk",
            ),
            Row(
                job=_job(bench), condition=route.name,
                subject=f"{LIMITED_WRITE_BACK.name}, limit {LIMIT_MIB} MiB",
                unit="MiB RSS (peak)", values=tuple(self._peaks.values),
                target=at_most(LIMIT_MIB + EXCESS_MIB), note=self._peaks.note,
            ),
        ]  # fmt: skip

    def _save_locally(self, _: int) -> Series:
        path = self._bench.directory / KEY
        outcome = _save_to(self._bench, str(path), is_synced=True)
        path.unlink()
        self._local.add(outcome.mb_per_second)
        return self._local

    def _save(self, _: int) -> Series:
        with self._bench.mounted(LIMITED_WRITE_BACK, BUCKET, self._bench.service.direct) as mount:
            outcome = _save_to(self._bench, str(mount.path / KEY))
            # What the store does with it is not part of it, and must not disturb what comes next.
            mount.wait_until_published()
            _note_peak(self._peaks, mount)
        _delete(self._bench, outcome)
        self._own.add(outcome.mb_per_second)
        return self._own


def _job(bench: Bench) -> str:
    return f"torch.save of {bench.sizes.saved_bytes // MIB:,} MiB"


def _save_to(bench: Bench, path: str, *, is_synced: bool = False) -> Outcome:
    size_bytes = bench.sizes.saved_bytes
    job = {"kind": "save", "path": path, "size_bytes": size_bytes, "is_synced": is_synced}
    return run_crew(WRITER, [job])


def _note_peak(peaks: Series, mount: Mount) -> None:
    used = mount.stats()["memory"]["peak_bytes"] / MIB
    peaks.add(mount.memory_bytes("VmHWM") / MIB, f"{used:,.0f} MiB of the budget")


def _delete(bench: Bench, outcome: Outcome) -> None:
    """Delete what was saved, of which the store must have every byte."""
    with bench.service.client() as client:
        stored_bytes = client.head_object(Bucket=BUCKET, Key=KEY)["ContentLength"]
        assert outcome.total("bytes") == stored_bytes, f"{stored_bytes} bytes are in the store"
        client.delete_object(Bucket=BUCKET, Key=KEY)
