"""What was measured where and when, as the reader of a figure must know."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scripts.benchmark.subjects import find_program

PACKAGES = ("awscrt", "trio")

PROGRAMS = {"radosgw": "radosgw --version", "s3fs": "s3fs --version", "rclone": "rclone version"}


def describe_machine() -> dict[str, str]:
    """Return the date, the machine, and the versions of whatever takes part."""
    facts = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_model()}, {len(os.sched_getaffinity(0))} cores for everything",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    for name, command in PROGRAMS.items():
        program, *arguments = command.split()
        if (path := find_program(program)) is not None:
            facts[name] = _version([path, *arguments])
    return facts


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "of unknown version"
