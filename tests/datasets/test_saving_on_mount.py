from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch

from mountfs.datasets import Checkpoint, Checkpoints, local_path
from mountfs.datasets.paths import is_on_mount, s3_address
from tests.mount.conftest import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from mountfs.datasets.writer import Writer
    from tests.mount.conftest import Mounter
    from tests.mount.write.place import MountedPlace

__all__ = ["mounted"]  # a fixture

pytestmark = [
    pytest.mark.mount,
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning"),
]


def keys_of(s3: S3Client, place: str) -> dict[str, int]:
    """Return what the bucket holds below an address: sizes by the rest of the key."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {one["Key"].removeprefix(prefix): one["Size"] for one in listed}


@pytest.fixture(params=["direct", "write-back"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a directory in a mount of either kind."""
    if request.param == "direct":
        mounted_place: MountedPlace = request.getfixturevalue("mounted_place")
        yield f"s3://{mounted_place.bucket}/{mounted_place.prefix}"
        return
    mounter: Mounter = request.getfixturevalue("mounted")
    with mounter("--write-back"):
        yield f"s3://{request.getfixturevalue('bucket')}/run/"


def test_checkpoints_are_in_the_bucket_when_they_are_saved(place: str, s3: S3Client) -> None:
    """Files and directories, the newest and the best, with their records and nothing else."""
    checkpoints = Checkpoints(place, keep=2, best=("loss", "min"))
    weight = torch.rand(3_000_000)
    for step, loss in ((1, 0.1), (2, 0.3), (3, 0.2)):
        checkpoints.save_async({"weight": weight + step}, step, metrics={"loss": loss})
    checkpoints.wait()
    checkpoints.save_sharded({"weight": weight + 4}, 4)
    kept = {f"step-0000000{step}" for step in (1, 3)}
    expected = {f"{name}.{kind}" for name in kept for kind in ("pt", "json")}
    shards = {f"step-00000004{name}" for name in (".json", "/.metadata", "/__0_0.distcp")}
    found = {key for key in keys_of(s3, place) if key and not key.endswith("/")}
    assert {"step-00000003.pt", "step-00000003.json"} <= found
    assert expected | shards == found
    again = Checkpoints(place, best=("loss", "min"))
    assert [1, 3, 4] == again.steps()
    assert torch.equal(weight + 1, again.load("best")["weight"])
    state = {"weight": torch.zeros(3_000_000)}
    again.load_sharded(state)
    assert torch.equal(weight + 4, state["weight"])


def test_a_writer_replaces_an_object_whole_or_not_at_all(
    mounted_place: MountedPlace, s3: S3Client
) -> None:
    """Small and in parts; the old object stays until then, and nothing else is left."""
    mounted_place.path.mkdir()
    place = f"s3://{mounted_place.bucket}/{mounted_place.prefix}"
    checkpoint = Checkpoint(place)
    assert str(mounted_place.path / "x") == local_path(f"{place}x")
    key = f"{mounted_place.prefix}x"
    assert (mounted_place.bucket, key) == s3_address(mounted_place.path / "x")
    assert is_on_mount(mounted_place.path)
    for size_bytes in (10, 20_000_000, 30):
        with checkpoint.writer("x") as writer:
            writer.write(os.urandom(size_bytes))
        assert {"": 0, "x": size_bytes} == keys_of(s3, place)
    with pytest.raises(KeyError), checkpoint.writer("x") as writer:
        write_half(writer)
    assert {"": 0, "x": 30} == keys_of(s3, place)
    with checkpoint.reader("x") as reader:
        assert (mounted_place.bucket, key, 30) == (reader.bucket, reader.key, len(reader.read()))


def write_half(writer: Writer) -> None:
    """Do as a program does that fails when some parts are in the store already."""
    writer.write(os.urandom(20_000_000))
    writer.flush()
    os.fsync(writer.fileno())
    raise KeyError
