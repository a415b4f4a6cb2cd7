"""Writers are slowed down, never failed; and nothing grows that should not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import wait_until
from tests.mount.write.place import SMALL_STEPS
from tests.mount.write.tree import list_uploads
from tests.mount.write.ways_to_write import wait_for_content, write_backwards, write_stream
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing
    from tests.mount.write.place import MountedPlace
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount

LIMIT = 64 * MIB
"""Of the memory for data; the process has 128 MiB more for everything else."""


def peak_bytes(mount: MountedPlace) -> int:
    """Return the most memory that the process of the mount has ever had."""
    for line in Path(f"/proc/{mount.mount.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def reset_peak(mount: MountedPlace) -> None:
    """Begin to measure anew."""
    Path(f"/proc/{mount.mount.pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("write", [write_stream, write_backwards])
def test_a_file_larger_than_the_memory_is_written_to_a_slow_store(
    sharing: Sharing, proxy: Proxy, write: object
) -> None:
    """The writer waits, or the staging directory takes it; the memory stays within its limit."""
    mount = sharing("--memory-limit", "64M")
    content = make_bytes(16 * MIB) * 7
    reset_peak(mount)
    with proxy.faulty(Faults(latency_ms=100)):
        assert callable(write)
        write(mount.path / "f", content)
        wait_for_content(mount, "f", content)
    assert peak_bytes(mount) <= LIMIT + 128 * MIB
    assert list_uploads(mount.s3, mount.bucket, mount.prefix) == []


def test_many_large_files_at_once_share_the_memory(sharing: Sharing, proxy: Proxy) -> None:
    """Eight writers of 12 MiB each with 64 MiB: all arrive."""
    mount = sharing(*SMALL_STEPS)
    contents = {f"f{n}": make_bytes(12 * MIB, n) for n in range(8)}
    with proxy.faulty(Faults(latency_ms=50)), ThreadPoolExecutor(8) as pool:
        writers = (write_stream, write_backwards)
        done = [
            pool.submit(writers[number % 2], mount.path / name, content)
            for number, (name, content) in enumerate(contents.items())
        ]
        for each in done:
            each.result()
    mount.check_holds(dict(contents))


def test_nothing_is_left_of_what_was_written(sharing: Sharing) -> None:
    """Descriptors, dirty files and staged bytes are gone when all is published."""
    mount = sharing(*SMALL_STEPS)

    def work(number: int) -> None:
        directory = mount.path / f"d{number}"
        directory.mkdir()
        for n in range(5):
            write_stream(directory / f"{n}.tmp", make_bytes(30_000, n))
            os.rename(directory / f"{n}.tmp", directory / f"{n}")
        write_backwards(directory / "large", make_bytes(11 * MIB))
        for n in range(5):
            os.unlink(directory / f"{n}")
        os.unlink(directory / "large")
        directory.rmdir()

    work(0)
    wait_until_clean(mount)
    before = mount.mount.count_descriptors()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(1, 9)))
    wait_until_clean(mount)
    # Connections come and go.
    assert mount.mount.count_descriptors() <= before + 20
    mount.check_holds({})
    assert staged_bytes(mount) <= 16 * MIB  # a journal that is used again


def wait_until_clean(mount: MountedPlace) -> None:
    """Return when nothing is dirty any more."""

    def is_clean() -> bool:
        write = mount.mount.stats()["write"]
        return bool(write["dirty_files"] == write["pending_files"] == 0)

    wait_until(is_clean)


def staged_bytes(mount: MountedPlace) -> int:
    """Return what the staging directory takes on the disk."""
    return sum(
        path.stat().st_blocks * 512 for path in mount.within.cache_dir.rglob("*") if path.is_file()
    )
