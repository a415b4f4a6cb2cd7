"""What the store is asked when a dataset on a mount is read: counted at the proxy."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.datasets import (
    BatchSampler,
    Item,
    IterableDataset,
    MapDataset,
    Source,
    TarIndex,
    members,
)
from mountfs.store.fake import FakeStore
from tests.datasets.archives import tar_bytes, write_tar
from tests.datasets.loading import flat, load
from tests.mount.content import make_bytes, put_objects
from tests.mount.fake_mount import mounting_fake
from tests.mount.write.counting import Counting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.mount.write.place import MountedPlace
    from tests.stores.proxy import Proxy


def name_and_bytes(item: Item) -> tuple[str, bytes]:
    """Return what a sample is compared by."""
    return item.name.rpartition("/")[2], item.read()


def named_bytes(item: Item) -> tuple[str, bytes]:
    """Return the whole name and the content."""
    return item.name, item.read()


def put(place: MountedPlace, objects: Mapping[str, bytes]) -> str:
    """Put objects below the place, as another client would; return the place's address."""
    put_objects(place.s3, place.bucket, {f"{place.prefix}{key}": objects[key] for key in objects})
    return f"s3://{place.bucket}/{place.prefix}"


@pytest.mark.mount
@pytest.mark.parametrize("kind", ["map", "iterable"])
def test_an_epoch_of_files_costs_one_get_each(
    kind: str, mounted_place: MountedPlace, proxy: Proxy
) -> None:
    """And a LIST for each directory; no HEAD, whatever the workers; the second epoch hardly any."""
    contents = {f"{n:03}.bin": make_bytes(20_000 + n, n) for n in range(60)}
    address = put(mounted_place, contents)
    requests = Counting(proxy, mounted_place)
    options: dict[str, Any] = {"num_workers": 2}
    if kind == "map":
        dataset: Any = MapDataset(address, transform=name_and_bytes)
        options["batch_sampler"] = BatchSampler(dataset, 8, shuffle=True)
    else:
        dataset = IterableDataset(address, transform=name_and_bytes, batch_size=8, shuffle=True)
    loader = load(dataset, **options)
    mark = requests.mark()
    assert contents == dict(flat(loader))
    counts = requests.count(since=mark)
    assert counts.pop("LIST") <= 2
    assert {"GET": 60} == counts
    mark = requests.mark()
    assert contents == dict(flat(loader))
    counts = requests.count(since=mark)
    assert counts.pop("GET", 0) < 30  # of what the kernel has dropped from memory meanwhile
    assert {} == counts


@pytest.mark.mount
def test_listing_is_lazy_and_costs_a_list_per_thousand(tmp_path: Path) -> None:
    """Who wants the first files of very many waits for those only."""
    directories, files = 60, 1000
    store = FakeStore()
    for directory, file in itertools.product(range(directories), range(files)):
        store.bucket.put_zeros(f"train/{directory:03}/{file:04}", 100)
    with mounting_fake(store, tmp_path / "mnt") as mount:
        source = Source.of(mount.path / "train")
        first = [entry.path for entry in itertools.islice(source, 1500)]
        assert f"{mount.path}/train/001/0499" == first[-1]
        few = store.requests["LIST"]
        assert directories * files == len(source)
        assert few < directories / 3  # those, and what is listed ahead of them
        assert store.requests["LIST"] <= 1.3 * directories  # some pages end early
        assert {"LIST"} == {*store.requests}


@pytest.mark.mount
def test_no_byte_of_an_archive_is_fetched_twice(mounted_place: MountedPlace, proxy: Proxy) -> None:
    """By workers that have several archives each, and open the next one ahead; no HEAD either."""
    files = {
        f"{shard}.tar": {f"{shard}/{n}": make_bytes(n * 5_000, n) for n in range(60)}
        for shard in range(4)
    }
    archives = {name: tar_bytes(contents) for name, contents in files.items()}
    address = put(mounted_place, archives)
    requests = Counting(proxy, mounted_place)
    stream = IterableDataset(address, expand=members, transform=named_bytes, batch_size=4)
    mark = requests.mark()
    asked_before = mounted_place.mount.stats()["data"]["read_bytes"]
    found = dict(flat(load(stream, num_workers=2)))
    assert {name: one for contents in files.values() for name, one in contents.items()} == found
    made = requests.read(since=mark)
    assert {"GET", "LIST"} == {request.kind for request in made}
    fetched_bytes = sum(request.sent_bytes for request in made if request.kind == "GET")
    asked_bytes = mounted_place.mount.stats()["data"]["read_bytes"] - asked_before
    archives_bytes = sum(map(len, archives.values()))
    # A kernel that drops pages which nobody has read yet asks for them again.
    assert archives_bytes <= asked_bytes
    # A read that overtakes what is on its way may be answered by a small request of its own.
    assert 0.95 * archives_bytes < fetched_bytes <= asked_bytes + 0.01 * archives_bytes


@pytest.mark.mount
def test_members_by_number_are_fetched_without_most_of_the_archive(
    mounted_place: MountedPlace, proxy: Proxy, tmp_path: Path
) -> None:
    """With the index that is there: a GET for it, and few for each member."""
    files = {f"{n:03}": make_bytes(100_000, n) for n in range(200)}
    local = write_tar(tmp_path / "a.tar", files)
    index = Path(TarIndex.build(local).save())
    address = put(
        mounted_place, {"a.tar": Path(local).read_bytes(), "a.tar.index": index.read_bytes()}
    )
    requests = Counting(proxy, mounted_place)
    mark = requests.mark()
    dataset = MapDataset.from_tar(f"{address}a.tar", transform=name_and_bytes)
    wanted = [150, 20, 90]
    assert [(f"{n:03}", files[f"{n:03}"]) for n in wanted] == dataset.__getitems__(wanted)
    made = requests.read(since=mark)
    assert {"GET", "LIST"} == {request.kind for request in made}
    assert len(made) <= 2 + 2 * len(wanted)
    assert sum(request.sent_bytes for request in made) < os.path.getsize(local) / 5
