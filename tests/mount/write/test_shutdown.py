"""The end of a mount that has something to publish, and what is said of it before."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.content import make_bytes
from tests.mount.mounted import run_mountfs, wait_until
from tests.mount.write.ways_to_write import (
    content_of,
    write_stream,
)
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from tests.mount.write.conftest import Writing
    from tests.mount.write.place import WritableMount
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount


@pytest.mark.parametrize("end", ["SIGTERM", "umount"])
def test_the_end_waits_until_all_is_published(writing: Writing, proxy: Proxy, end: str) -> None:
    """Six files on a slow store, not yet uploaded where close does not wait; exit code 0."""
    mount = writing()
    expected: dict[str, bytes | None] = {f"f{n}": make_bytes(50_000, n) for n in range(6)}
    with proxy.faulty(Faults(latency_ms=200)):
        for name, content in expected.items():
            assert content is not None
            write_stream(mount.path / name, content)
        if end == "umount":
            done = run_mountfs("umount", str(mount.path))
            assert done.returncode == 0, done.stderr
            assert mount.mount.wait_for_end() == 0
        else:
            mount.mount.end()
        for name, content in expected.items():
            assert content == content_of(mount, name)


def test_a_second_signal_gives_up_and_the_next_mount_publishes(
    write_mode: str, writing: Writing, proxy: Proxy
) -> None:
    """It says how many files remain and where; nothing is lost."""
    if write_mode != "write-back":
        pytest.skip("nothing remains")
    mount = writing(may_log_errors=True)
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        for number in range(3):
            write_stream(mount.path / f"f{number}", b"%d" % number * 1000)
        process = mount.mount.process
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not mount.mount.is_mounted() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert mount.mount.wait_for_end() != 0
    assert str(mount.cache_dir) in mount.mount.log_path.read_text()
    mount.stop()
    mount.start()
    mount.check_holds({f"f{n}": b"%d" % n * 1000 for n in range(3)})


def test_status_shows_what_is_not_published(
    write_mode: str, writing: Writing, proxy: Proxy
) -> None:
    """For as long as it is not."""
    mount = writing()
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST)")):
        descriptor = os.open(mount.path / "f", os.O_RDWR | os.O_CREAT)
        os.write(descriptor, b"content")
        assert {"dirty_files": 1, "pending_files": 0}.items() <= changes_of(mount).items()
        if write_mode == "write-back":
            os.close(descriptor)
            assert {"dirty_files": 0, "pending_files": 1}.items() <= changes_of(mount).items()
    if write_mode == "close":
        os.close(descriptor)
    wait_until(lambda: content_of(mount, "f") == b"content")
    wait_until(lambda: changes_of(mount)["pending_files"] == changes_of(mount)["dirty_files"] == 0)


def changes_of(mount: WritableMount) -> dict[str, Any]:
    """Return what `mountfs status` says of unpublished changes."""
    done = run_mountfs("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (entry,) = (e for e in json.loads(done.stdout) if e["mountpoint"] == str(mount.path))
    changes: dict[str, Any] = entry["stats"]["write"]
    return changes
