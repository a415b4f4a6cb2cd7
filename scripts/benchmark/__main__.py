"""``scripts/bench``: start the store, run the jobs, print the table, leave nothing behind."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark.arguments import Arguments, parse_arguments
from scripts.benchmark.bench import Bench, count_from_one
from scripts.benchmark.chart import draw_chart
from scripts.benchmark.crew import CrewError
from scripts.benchmark.data_set import FULL, QUICK
from scripts.benchmark.jobs.append import measure_append
from scripts.benchmark.jobs.loading import measure_iterable_dataset, measure_map_dataset
from scripts.benchmark.jobs.memory import measure_names_memory, measure_streams_memory
from scripts.benchmark.jobs.random_reads import measure_random_reads
from scripts.benchmark.jobs.rename import measure_rename
from scripts.benchmark.jobs.save import measure_save
from scripts.benchmark.jobs.sequential import measure_sequential
from scripts.benchmark.jobs.shards import measure_shards
from scripts.benchmark.jobs.small_files import measure_small_files
from scripts.benchmark.jobs.small_writes import measure_small_writes
from scripts.benchmark.jobs.walk import measure_walk
from scripts.benchmark.machine import describe_machine
from scripts.benchmark.service import running_service
from scripts.benchmark.subjects import PEERS, find_missing_connector, find_missing_peers
from scripts.benchmark.table import render_machine, render_table
from tests.stores.nginx_conf import find_missing_nginx
from tests.stores.processes import ServerError
from tests.stores.rgw import find_missing_ceph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.benchmark.results import Row

JOBS: Mapping[str, Callable[[Bench], list[Row]]] = {
    "sequential": measure_sequential,
    "small-files": measure_small_files,
    "walk": measure_walk,
    "random": measure_random_reads,
    "map-dataset": measure_map_dataset,
    "iterable-dataset": measure_iterable_dataset,
    "shards": measure_shards,
    "save": measure_save,
    "small-writes": measure_small_writes,
    "rename": measure_rename,
    "append": measure_append,
    "streams-memory": measure_streams_memory,
    "names-memory": measure_names_memory,
}

LATENCY_MS = 20
"""S3 needs 10 to 30."""


def main() -> int:
    """Run the benchmark and return the exit code: 0 also if a target was missed."""
    arguments = parse_arguments(sys.argv[1:], tuple(JOBS))
    missing = [*find_missing_ceph(), *find_missing_nginx(), *find_missing_connector()]
    if arguments.with_peers:
        missing += find_missing_peers()
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    # So that the servers, the mounts and the data go, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows: list[Row] = []
    try:
        _measure(arguments, rows)
    except (CrewError, ServerError) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        if rows:  # also what was measured before something failed
            _report(arguments, rows)
    return 0


def _measure(arguments: Arguments, rows: list[Row]) -> None:
    """Run the jobs and append to *rows* as they come."""
    with tempfile.TemporaryDirectory(prefix="mountfs-bench-") as name:
        directory = Path(name)
        print("starting Ceph RGW and nginx ...", file=sys.stderr, flush=True)
        with running_service(directory, latency_ms=LATENCY_MS) as service:
            bench = Bench(
                service=service,
                sizes=QUICK if arguments.is_quick else FULL,
                repeat=arguments.repeat,
                peers=PEERS if arguments.with_peers else (),
                directory=directory,
                numbers=count_from_one(),
            )
            for job in arguments.jobs:
                print(f"-- {job}", file=sys.stderr, flush=True)
                rows += JOBS[job](bench)


def _report(arguments: Arguments, rows: list[Row]) -> None:
    facts = describe_machine()
    print(render_table(rows))
    print()
    print(render_machine(facts))
    if arguments.is_quick:
        print("--quick: too little data for the figures to mean anything")
    if arguments.json_path is not None:
        report = {
            "machine": facts,
            "repeat": arguments.repeat,
            "is_quick": arguments.is_quick,
            "rows": [row.as_dict() for row in rows],
        }
        arguments.json_path.write_text(json.dumps(report, indent=2) + "\n")
    draw_chart(rows, arguments.chart_path, render_machine(facts))


if __name__ == "__main__":
    sys.exit(main())
