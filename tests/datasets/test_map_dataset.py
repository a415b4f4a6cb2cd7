"""Files by number: access, batches, errors and their policies."""

from __future__ import annotations

import errno
import pickle
import threading
from typing import TYPE_CHECKING

import pytest

from mountfs.datasets import Item, MapDataset
from tests.datasets.loading import load, make_files, number_of

if TYPE_CHECKING:
    from pathlib import Path


def test_samples_are_files_in_the_order_of_the_source(tmp_path: Path) -> None:
    """By number from both ends, with the attributes that connectors have."""
    paths = make_files(tmp_path, 5)
    dataset = MapDataset(tmp_path)
    assert 5 == len(dataset)
    with dataset[-1] as item:
        assert (paths[4], paths[4], 4, None) == (item.path, item.key, item.size, item.bucket)
        assert 4 == number_of(item)
    with pytest.raises(IndexError):
        dataset[5]
    assert paths[::-1] == [item.path for item in MapDataset.from_objects(paths[::-1])]


def test_the_source_is_listed_once_and_travels_in_the_pickle(place: Path) -> None:
    """A worker sees the files that its parent saw."""
    make_files(place, 3)
    dataset = MapDataset(place, transform=number_of)
    unlisted = pickle.loads(pickle.dumps(dataset))
    assert 3 == len(dataset)
    make_files(place, 4)
    assert 3 == len(dataset)
    assert [0, 1, 2] == [*pickle.loads(pickle.dumps(dataset))]
    assert 4 == len(unlisted)


def test_a_batch_is_fetched_at_the_same_time_and_transformed_in_order(tmp_path: Path) -> None:
    """All files of a batch wait for one another here; transforms run in the caller's thread."""
    paths = make_files(tmp_path, 4)
    barrier = threading.Barrier(4, timeout=20)
    threads: list[int] = []

    def open_together(path: str) -> Item:
        def opener() -> object:
            barrier.wait()
            return open(path, "rb")

        return Item(opener, path=path)  # type: ignore[arg-type]

    class Together:
        def __init__(self, path: str) -> None:
            self.path = path

        def item(self) -> Item:
            return open_together(self.path)

    def transform(item: Item) -> int:
        threads.append(threading.get_ident())
        return number_of(item)

    dataset = MapDataset([Together(path) for path in paths], transform=transform, threads=4)
    assert [3, 0, 2, 1] == dataset.__getitems__([3, 0, 2, 1])
    assert {threading.get_ident()} == {*threads}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_left_out_or_none_or_raised(place: Path, workers: int) -> None:
    """Counted over all workers; the error names the file."""
    paths = make_files(place, 6)
    (place / "0002").unlink()
    batches = [[0, 1, 2], [3, 4, 5]]
    skipping = MapDataset.from_objects(paths, transform=number_of, on_error="skip")
    none = MapDataset.from_objects(paths, transform=number_of, on_error="none")
    assert [[0, 1], [3, 4, 5]] == [*load(skipping, batch_sampler=batches, num_workers=workers)]
    assert [[0, 1, None], [3, 4, 5]] == [*load(none, batch_sampler=batches, num_workers=workers)]
    assert (1, 1) == (skipping.unreadable, none.unreadable)
    raising = MapDataset.from_objects(paths, transform=number_of)
    # In this process: torch takes ten seconds to take down workers after an error.
    with pytest.raises(FileNotFoundError, match="0002"):
        list(load(raising, batch_sampler=batches))
    with pytest.raises(OSError, match="0002") as caught:
        skipping[2]
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="no sample of the batch"):
        skipping.__getitems__([2])


def test_a_mistake_in_the_transform_is_never_left_out(tmp_path: Path) -> None:
    """Only OSError means unreadable."""
    make_files(tmp_path, 1)
    dataset = MapDataset(tmp_path, transform=lambda item: item.read()[9], on_error="skip")
    with pytest.raises(IndexError):
        dataset.__getitems__([0])


def test_sizes_are_those_of_the_files(place: Path) -> None:
    """In order; a file that is gone is an error."""
    paths = [place / str(number) for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * number)
    dataset = MapDataset(place)
    assert [0, 1, 2, 3, 4] == [*dataset.sizes()]
    paths[3].unlink()
    with pytest.raises(FileNotFoundError):
        dataset.sizes()
