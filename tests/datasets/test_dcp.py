from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mountfs.datasets import extent_file
from mountfs.datasets.checkpoints import Checkpoints
from mountfs.datasets.dcp import ShardReader, ShardWriter
from mountfs.datasets.key_spread import KeySpread

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning"),
]


def state_of(seed: int, *, layers: int = 40) -> dict[str, Any]:
    """Return tensors of many shapes and types, and what is no tensor."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"layer{n}": torch.rand((n + 1, 3), generator=generator, dtype=torch.float32)
        for n in range(layers)
    }
    return {
        "model": tensors,
        "half": torch.rand(64, 64, generator=generator).half(),
        "strided": torch.rand(8, 8, generator=generator).t(),
        "step": seed,
        "nested": {"list": [1, 2, {"x": torch.tensor(seed)}]},
    }


def assert_same(expected: Any, actual: Any) -> None:
    """Compare states."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(expected, actual)
    elif isinstance(expected, dict):
        assert expected.keys() == actual.keys()
        for name, value in expected.items():
            assert_same(value, actual[name])
    elif isinstance(expected, list):
        for value, other in zip(expected, actual, strict=True):
            assert_same(value, other)
    else:
        assert expected == actual


@pytest.mark.parametrize("read_max_bytes", [1, 3000, 32 << 20])
@pytest.mark.parametrize(
    ("writer", "reader"),
    [(ShardWriter, ShardReader), (ShardWriter, FileSystemReader), (FileSystemWriter, ShardReader)],
    ids=lambda cls: cls.__name__,
)
def test_what_one_writes_the_other_reads(
    writer: Any, reader: Any, read_max_bytes: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours and torch's halves fit together, with joined and with direct reads."""
    monkeypatch.setattr(extent_file, "READ_MAX_BYTES", read_max_bytes)
    save(state_of(1), storage_writer=writer(place), no_dist=True)
    state = state_of(2)
    load(state, storage_reader=reader(place), no_dist=True)
    assert_same(state_of(1), state)


@pytest.mark.parametrize("options", [{"thread_count": 3}, {"single_file_per_rank": False}], ids=str)
def test_files_are_spread_over_the_directories(options: dict[str, Any], place: Path) -> None:
    """And found again; nothing but the metadata is in the directory itself."""
    writer = ShardWriter(place, spread=KeySpread.hexadecimal(16), **options)
    save(state_of(1), storage_writer=writer, no_dist=True)
    assert {".metadata", "0"} == {*os.listdir(place)}
    assert 3 <= len(os.listdir(place / "0"))
    state = state_of(2)
    load(state, storage_reader=ShardReader(place), no_dist=True)
    assert_same(state_of(1), state)


def test_the_place_may_be_given_as_checkpoint_id(place: Path) -> None:
    """One writer and one reader serve many checkpoints."""
    writer, reader = ShardWriter(), ShardReader()
    for step in (1, 2):
        save(state_of(step), checkpoint_id=place / str(step), storage_writer=writer, no_dist=True)
    for step in (1, 2):
        state = state_of(3)
        load(state, checkpoint_id=place / str(step), storage_reader=reader, no_dist=True)
        assert_same(state_of(step), state)
    assert ShardReader.validate_checkpoint_id(place / "any")
    assert not ShardWriter.validate_checkpoint_id("s3://not-mounted/x")


def test_a_checkpoint_is_read_in_few_reads_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one and more for each tensor."""
    save(state_of(1, layers=200), storage_writer=ShardWriter(tmp_path), no_dist=True)
    reads = list[int]()
    pread = os.pread

    def count(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", count)
    monkeypatch.setattr(os, "preadv", None)  # nothing is read but what was announced
    load(state_of(2, layers=200), storage_reader=ShardReader(tmp_path), no_dist=True)
    assert [0] == reads


def test_a_truncated_shard_is_an_error_that_names_the_file(place: Path) -> None:
    """Never a tensor of something else."""
    save(state_of(1), storage_writer=ShardWriter(place), no_dist=True)
    os.truncate(place / "__0_0.distcp", 5000)
    with pytest.raises(CheckpointException, match=r"short read.*__0_0\.distcp"):
        load(state_of(2), storage_reader=ShardReader(place), no_dist=True)


def test_checkpoints_hold_shards(place: Path) -> None:
    """Saved at once or in the background; the latest complete one is loaded."""
    checkpoints = Checkpoints(place, keep=2)
    state = state_of(1)
    checkpoints.save_sharded(state, 1)
    checkpoints.save_sharded_async(state, 2)
    state["model"]["layer3"] += 1
    checkpoints.wait()
    checkpoints.save_sharded(state, 3)
    assert [2, 3] == checkpoints.steps()
    loaded = state_of(5)
    record = checkpoints.load_sharded(loaded, 2)
    assert 2 == record.step
    assert_same(state_of(1), loaded)
    os.truncate(f"{checkpoints.at(3).path}/.metadata", 3)  # type: ignore[union-attr]
    checkpoints.load_sharded(loaded)
    assert_same(state_of(1), loaded)
    with pytest.raises(FileNotFoundError, match="no complete checkpoint 9"):
        checkpoints.load_sharded(loaded, 9)


def test_a_single_file_is_not_loaded_as_shards(tmp_path: Path) -> None:
    """The error says what to call."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"x": 1}, 1)
    with pytest.raises(NotADirectoryError, match="use load"):
        checkpoints.load_sharded({"x": 1})
