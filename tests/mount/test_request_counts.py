"""What the store is asked: each row of the request budget, counted in the proxy's log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.fake_mount import mounting_fake
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.pinned_pages import pinned_pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount


class Counting:
    """Counts the requests that an action causes."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def of(self, action: Callable[[], object]) -> dict[str, int]:
        """Return how many requests of each kind *action* needs."""
        mark = self._proxy.log.mark()
        action()
        return dict(self._proxy.log.count(since=mark))


@pytest.fixture
def requests(proxy: Proxy) -> Counting:
    """Return what counts requests at the proxy."""
    return Counting(proxy)


def stat_all(directory: Path) -> int:
    """Do what ``ls -l`` does; return how many entries there are."""
    with os.scandir(directory) as entries:
        return sum(entry.stat().st_size >= 0 for entry in entries)


def read_all(directory: Path, names: list[str]) -> None:
    """Read files to their ends."""
    for name in names:
        (directory / name).read_bytes()


@pytest.mark.parametrize("option", ["--no-read-only", "--read-only"])
def test_reading_files_costs_one_get_each_and_nothing_the_second_time(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting, option: str
) -> None:
    """`ls -l` 1 LIST; stat and open of what is listed nothing; first read 1 GET; second epoch 0."""
    names = [f"{n:02d}.jpg" for n in range(40)]
    put_objects(s3, bucket, {f"d/{name}": make_bytes(60_000 + 977, name) for name in names})
    with mounted(option) as mount:
        directory = mount.path / "d"
        # One for the directory's name, one for its entries.
        assert requests.of(directory.stat) == {"LIST": 1}
        assert requests.of(lambda: stat_all(directory)) == {"LIST": 1}
        assert requests.of(lambda: stat_all(directory)) == {}
        assert requests.of(lambda: [(directory / name).stat() for name in names]) == {}
        assert requests.of(lambda: read_all(directory, names)) == {"GET": 40}
        with pinned_pages(directory / name for name in names):
            assert requests.of(lambda: read_all(directory, names)) == {}


def test_listing_n_entries_costs_a_list_per_thousand(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """Rounded up."""
    put_objects(s3, bucket, {f"{n:05d}": b"" for n in range(1010)})
    with mounted() as mount:
        listed: list[int] = []
        assert requests.of(lambda: listed.append(stat_all(mount.path))) == {"LIST": 2}
        assert listed == [1010]
        assert requests.of(lambda: stat_all(mount.path)) == {}


@pytest.mark.parametrize(("count", "lists"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (4500, 5)])
def test_lists_are_counted_at_the_edges_of_pages(tmp_path: Path, count: int, lists: int) -> None:
    """Directories count as files do."""
    store = FakeStore()
    for number in range(count):
        store.bucket.put(f"{number:05d}{'/x' * (number % 2)}", b"x")
    with mounting_fake(store, tmp_path / "mnt") as mount:
        assert count == stat_all(mount.path)
    assert {"LIST": lists} == dict(store.requests)


def test_looking_up_an_unlisted_name_costs_one_list_and_brings_its_siblings(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """The page begins at the name: what comes after it is known then."""
    put_objects(s3, bucket, {f"{n:03d}": b"12345" for n in range(300)})
    with mounted() as mount:
        assert requests.of((mount.path / "100").stat) == {"LIST": 1}
        assert requests.of((mount.path / "200").stat) == {}
        assert requests.of((mount.path / "299").read_bytes) == {"GET": 1}
        assert requests.of((mount.path / "050").stat) == {"LIST": 1}


def test_looking_up_an_absent_name_costs_one_list_each_time(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """What is absent is not remembered, also where the directory was listed; two LISTs at most."""
    put_objects(s3, bucket, {"a": b"1", "c": b"1", "b-": b"1"})
    with mounted() as mount:
        stat_all(mount.path)
        for _ in range(2):
            counts = requests.of(lambda: outcome_of((mount.path / "b").stat))
            assert counts.keys() == {"LIST"}
            assert counts["LIST"] <= 2


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB])
def test_a_small_file_is_read_by_one_get(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting, size: int
) -> None:
    """An empty one by none."""
    content = make_bytes(size)
    put_objects(s3, bucket, {"f": content})
    with mounted() as mount:
        path = mount.path / "f"
        path.stat()
        got: list[bytes] = []
        expected = {"GET": 1} if size else {}
        assert requests.of(lambda: got.append(path.read_bytes())) == expected
        assert got == [content]


@pytest.mark.parametrize("size", [2 * MIB + 1, 8 * MIB, 8 * MIB + 1, 40 * MIB])
def test_a_large_file_is_read_in_parts_and_no_byte_twice(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting, proxy: Proxy, size: int
) -> None:
    """Parts of a MiB and more; nothing but GETs."""
    content = make_bytes(size)
    put_objects(s3, bucket, {"f": content})
    with mounted() as mount:
        path = mount.path / "f"
        path.stat()
        mark = proxy.log.mark()
        got: list[bytes] = []
        counts = requests.of(lambda: got.append(path.read_bytes()))
        assert got == [content]
        assert counts.keys() == {"GET"}
        assert counts["GET"] <= size // MIB + 1
        assert size == sum(request.sent_bytes for request in proxy.log.read(since=mark))


def test_random_reads_of_a_large_file_cost_one_get_each(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting, proxy: Proxy
) -> None:
    """And not much more than was asked for."""
    content = make_bytes(64 * MIB)
    put_objects(s3, bucket, {"f": content})
    starts = [(n * 37 % 60 + 3) * MIB + 12_288 for n in range(20)]
    with mounted() as mount:
        descriptor = os.open(mount.path / "f", os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            assert content[:4096] == os.pread(descriptor, 4096, 0)
            # What was asked for at `open` may still be on its way.
            wait_until(lambda: mount.stats()["store"]["in_flight"] == 0)
            mark = proxy.log.mark()

            def read_randomly() -> None:
                for start in starts:
                    assert content[start : start + 4096] == os.pread(descriptor, 4096, start)

            assert requests.of(read_randomly) == {"GET": len(starts)}
            sent_bytes = sum(request.sent_bytes for request in proxy.log.read(since=mark))
            assert sent_bytes <= len(starts) * MIB
        finally:
            os.close(descriptor)


def test_many_processes_that_read_one_file_cost_one_get(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """Whoever comes while it is on its way waits for it."""
    put_objects(s3, bucket, {"f": make_bytes(2 * MIB)})
    with mounted() as mount:
        (mount.path / "f").stat()
        asked_before = mount.stats()["data"]["read_bytes"]

        def read_in_parallel() -> None:
            commands = " & ".join([f"cat '{mount.path}/f' > /dev/null"] * 8)
            assert os.system(f"({commands} & wait)") == 0

        counts = requests.of(read_in_parallel)
        # A kernel that drops pages which somebody has just read asks for them again.
        is_asked_once = mount.stats()["data"]["read_bytes"] - asked_before <= 2 * MIB
        assert counts == {"GET": 1 if is_asked_once else counts["GET"]}


def test_a_refused_object_costs_no_head(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """Replaced behind a fresh listing: the GET that fails, a LIST, and the GET of the new one."""
    put_objects(s3, bucket, {"f": b"old"})
    with mounted() as mount:
        stat_all(mount.path)
        s3.put_object(Bucket=bucket, Key="f", Body=b"new version")
        got: list[bytes] = []
        counts = requests.of(lambda: got.append((mount.path / "f").read_bytes()))
        assert got == [b"new version"]
        assert counts == {"GET": 2, "LIST": 1}


def walk(root: Path) -> int:
    """Do what ``os.walk`` with ``stat`` does; return how many files there are."""
    return sum(
        os.stat(os.path.join(top, leaf)).st_size >= 0
        for top, _, leaves in os.walk(root)
        for leaf in leaves
    )


def test_walking_a_tree_lists_it_flat(tmp_path: Path) -> None:
    """100 classes of 50 files: about 6 LISTs instead of 101, and everything is there."""
    store = FakeStore(latency_seconds=0.01)
    for label in range(100):
        for number in range(50):
            store.bucket.put(f"train/n{label:08d}/{number}.jpg", b"x")
    with mounting_fake(store, tmp_path / "mnt") as mount:
        assert walk(mount.path / "train") == 5000
    assert store.requests.keys() == {"LIST"}
    assert store.requests["LIST"] <= 9


def test_a_tree_is_walked_flat_on_a_real_store(
    s3: S3Client, bucket: str, mounted: Mounter, requests: Counting
) -> None:
    """35 classes of 30 files, 1,050 keys: 2 LISTs would do; one for each level comes first."""
    keys = [f"n{label:08d}/{number}.jpg" for label in range(35) for number in range(30)]
    put_objects(s3, bucket, dict.fromkeys(keys, b"x"))
    with mounted() as mount:
        found: list[int] = []
        counts = requests.of(lambda: found.append(walk(mount.path)))
        assert found == [1050]
        assert counts.keys() == {"LIST"}
        assert counts["LIST"] <= 6
        assert requests.of(lambda: walk(mount.path)) == {}
