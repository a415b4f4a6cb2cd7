"""Directories are renamed as a whole or not at all, and with as few requests as can be."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.counting import Counting
from tests.mount.write.place import SHORT_DEADLINE
from tests.mount.write.tree import list_keys, tree_of_directory
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount


@pytest.mark.dear
def test_renaming_a_directory_copies_each_file_once_and_deletes_by_the_thousand(
    sharing: Sharing, proxy: Proxy
) -> None:
    """1,000 files: as many copies, one bulk delete, two listings at most, nothing else."""
    mount = sharing(objects={f"old/{n % 10}/{n}": b"%d" % n for n in range(1000)})
    requests = Counting(proxy, mount)
    mark = requests.mark()
    os.rename(mount.path / "old", mount.path / "new")
    counts = requests.count(since=mark)
    assert counts.pop("LIST") <= 4
    assert counts == {"COPY": 1000, "DELETE_MANY": 1}
    keys = list_keys(mount.s3, mount.bucket, mount.prefix)
    assert {f"{mount.prefix}new/{n % 10}/{n}" for n in range(1000)} == set(keys)
    assert b"77" == (mount.path / "new/7/77").read_bytes()
    assert outcome_of((mount.path / "old").stat) == "ENOENT"


def test_a_large_directory_is_not_renamed_but_moved_by_mv(sharing: Sharing) -> None:
    """Above `--rename-dir-limit` EXDEV, at once, with all as it was; `mv` then copies by itself."""
    objects = {f"d/{n}": b"%d" % n for n in range(11)}
    mount = sharing("--rename-dir-limit", "10", objects=objects)
    expected = tree_of_directory(mount.path)
    assert outcome_of(lambda: os.rename(mount.path / "d", mount.path / "e")) == "EXDEV"
    mount.check_holds(expected)
    os.unlink(mount.path / "d/0")
    os.rename(mount.path / "d", mount.path / "e")
    (mount.path / "e/0").write_bytes(b"0")
    subprocess.run(["mv", "e", "f"], cwd=mount.path, check=True)
    mount.check_holds({f"f{path[1:]}": content for path, content in expected.items()})


@pytest.mark.dear
def test_a_directory_whose_rename_fails_is_whole_and_can_be_renamed_again(
    sharing: Sharing, proxy: Proxy
) -> None:
    """Nothing is deleted before all is copied."""
    objects = {f"d/{n}": b"%d" % n for n in range(30)}
    mount = sharing(*SHORT_DEADLINE, objects=objects, may_log_errors=True)
    before = {f"{mount.prefix}d/{n}" for n in range(30)}
    expected = tree_of_directory(mount.path)
    with proxy.faulty(Faults(error_fraction=1.0, only="^PUT .*/e/17")):
        assert outcome_of(lambda: os.rename(mount.path / "d", mount.path / "e")) == "EIO"
    assert expected["d/17"] == (mount.path / "d/17").read_bytes()
    assert before <= set(list_keys(mount.s3, mount.bucket, mount.prefix))
    with proxy.faulty(Faults(error_fraction=1.0, only="delete")):
        outcome = outcome_of(lambda: os.rename(mount.path / "d", mount.path / "e"))
    if outcome != "done":
        assert outcome == "EIO"
        assert before <= set(list_keys(mount.s3, mount.bucket, mount.prefix))
        os.rename(mount.path / "d", mount.path / "e")
    moved = {f"e{path[1:]}": content for path, content in expected.items()}
    wait_until(lambda: not list_keys(mount.s3, mount.bucket, f"{mount.prefix}d/"))
    mount.check_holds(moved)
