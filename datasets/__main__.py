"""``python -m mountfs.datasets PATH``: list it, read some of it, say how fast that was."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mountfs.datasets.paths import local_path
from mountfs.datasets.smoke_test import choose, list_some, read_some

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = "Try whether a place can be read, and how fast."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the smoke test; return 0, or 1 after a line on stderr that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m mountfs.datasets", description=DESCRIPTION)
    parser.add_argument("place", help="a directory, file, prefix, pattern or s3://bucket/prefix")
    parser.add_argument("--files", type=_count, default=64, help="to read (default: 64)")
    parser.add_argument("--threads", type=_count, default=8, help="that read (default: 8)")
    parser.add_argument(
        "--list", type=_count, default=10_000, metavar="FILES", help="at most (default: 10000)"
    )
    parser.add_argument(
        "--mib", type=_count, default=64, help="of each file to read at most (default: 64)"
    )
    options = parser.parse_args(arguments)
    try:
        path = local_path(options.place)
        if path != options.place:
            _say(f"{options.place} is at {path}")
        entries, rate = list_some(options.place, options.list)
        _say(f"listed {rate}{', and there may be more' * (rate.files == options.list)}")
        chosen = choose(entries, options.files)
        rate = read_some(chosen, threads=options.threads, bytes_max=options.mib << 20)
        _say(f"read {rate}")
    except OSError as error:
        sys.stderr.write(f"python -m mountfs.datasets: {_describe(error)}\n")
        return 1
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _describe(error: OSError) -> str:
    name = "" if error.filename is None else f"{error.filename}: "
    return f"{name}{error.strerror or error}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
