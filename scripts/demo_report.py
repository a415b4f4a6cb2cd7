"""Run the demo's training on a mounted directory, and count what each stage cost in requests.

The training itself knows nothing of this; the figures come from the mount's own ``.mountfs/stats``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.benchmark.page_cache import read_refaults
from scripts.demo_training import Stage, train

KINDS = ("list", "get", "head")


def read_requests(mountpoint: Path) -> dict[str, int]:
    """Return how many requests of each kind the mount has made so far."""
    stats = json.loads((mountpoint / ".mountfs" / "stats").read_bytes())
    requests: dict[str, int] = stats["requests"]
    return requests


def format_table(stages: list[Stage], requests: list[dict[str, int]]) -> str:
    """Return the table: a row a stage, with the requests between the counts before and after it."""
    head = f"{'':<16}{'files':>7}{'seconds':>9}{'files/s':>9}"
    head += "".join(f"{kind.upper():>7}" for kind in KINDS) + f"{'loss':>9}{'accuracy':>10}"
    lines = [head, "-" * len(head)]
    for stage, before, after in zip(stages, requests, requests[1:], strict=False):
        line = f"{stage.name:<16}{stage.files:>7}{stage.seconds:>9.2f}"
        line += f"{stage.files / stage.seconds:>9.0f}"
        line += "".join(f"{after[kind] - before[kind]:>7}" for kind in KINDS)
        if stage.loss is not None and stage.accuracy is not None:
            line += f"{stage.loss:>9.3f}{stage.accuracy:>10.0%}"
        lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Train, print the table, and fail when the last epoch asked for what was still cached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    stages: list[Stage] = []
    requests = [read_requests(arguments.mountpoint)]
    refaults = [read_refaults()]

    def note(stage: Stage) -> None:
        stages.append(stage)
        requests.append(read_requests(arguments.mountpoint))
        refaults.append(read_refaults())
        print(f"    {stage.name}: {stage.files} files in {stage.seconds:.1f} s", flush=True)

    train(
        str(arguments.mountpoint),
        epochs=arguments.epochs,
        workers=arguments.workers,
        on_stage=note,
    )
    print(f"\n{format_table(stages, requests)}\n")
    extra = sum(requests[-1][kind] - requests[-2][kind] for kind in KINDS)
    last = stages[-1].name.capitalize()
    if not extra:
        print(f"{last} made no request: it came from the kernel's page cache.")
        return 0
    dropped = refaults[-1] - refaults[-2]
    if extra <= dropped:
        # Memory was short, or the kernel reclaims what looks idle (DAMON): not ours to prevent.
        print(f"{last} made {extra} requests, for pages that the kernel had dropped ({dropped}).")
        return 0
    print(f"{last} made {extra} requests: it should have made none.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
