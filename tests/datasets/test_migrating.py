"""Runs every example of ``docs/migrating.md`` as it stands there, in two surroundings.

In one the two buckets are mounted from RGW. In the other two directories stand for the mounts: the
table of mounts that the examples look their addresses up in says so.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from mountfs.datasets import paths
from mountfs.datasets.__main__ import main
from mountfs.datasets.mount_table import read_windows
from tests.datasets.conftest import BOTH
from tests.datasets.migration_data import write_buckets
from tests.datasets.migration_outcomes import EXPECTED
from tests.datasets.migration_page import read_examples
from tests.datasets.mountinfo import write_mountinfo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.datasets.conftest import MountedBuckets

EXAMPLES = read_examples()


@pytest.fixture(params=BOTH)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fill both buckets, and return what the first is mounted at, or what stands for that."""
    if request.param == "mount":
        mounted: MountedBuckets = request.getfixturevalue("mounted_buckets")
        return mounted.first.path
    write_buckets(tmp_path)
    mounts = [(f"s3://{name}", str(tmp_path / name)) for name in ("bucket", "bucket-2")]
    table = write_mountinfo(tmp_path, *mounts)
    monkeypatch.setattr(paths, "read_windows", lambda mountinfo: read_windows(table))
    return tmp_path / "bucket"


@pytest.mark.filterwarnings("ignore")  # of Lightning and of torch, about other things
@pytest.mark.parametrize("title", EXPECTED)
def test_the_example_runs_as_it_stands_on_the_page(
    title: str, bucket: Path, tmp_path: Path
) -> None:
    """And does what the connector did."""
    expected = EXPECTED[title]
    steps: list[Any] = []
    names = {"__name__": "example", **expected.given(tmp_path), "steps": steps}
    names["step"] = lambda *arguments: steps.append(arguments)
    exec(compile(EXAMPLES[title].after, f"{title}, after", "exec"), names)
    expected.check(names, bucket)


def test_the_command_of_the_page_runs(bucket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists and reads the place."""
    command = shlex.split(EXAMPLES["awsio: trying it"].after)
    assert ["python", "-m", "mountfs.datasets"] == command[:3]
    assert 0 == main(command[3:])
    assert "read 8 files" in capsys.readouterr().out


def test_every_example_of_the_page_is_run() -> None:
    """None is only text; what comes before is at least Python."""
    assert {*EXAMPLES} == {*EXPECTED, "awsio: trying it"}
    for example in EXAMPLES.values():
        if example.language == "python":
            compile(example.before, f"{example.title}, before", "exec")
