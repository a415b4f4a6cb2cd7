"""The ordinary tools work on a mounted tree as on a local one."""

from __future__ import annotations

import filecmp
import io
import os
import shutil
import subprocess
import tarfile
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.mounted import mounting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.stores.rgw import Rgw

pytestmark = pytest.mark.mount


class Trees(NamedTuple):
    """The same tree twice."""

    mounted: Path
    local: Path


@pytest.fixture(scope="module")
def trees(rgw: Rgw, s3: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    """Mount a bucket, and write its tree into a local directory too."""
    contents = {
        f"d{i}/e{j}/f {k}.bin": make_bytes(k * 7000, f"{i}{j}")
        for i in range(4)
        for j in range(5)
        for k in range(6)
    }
    contents |= {"top.txt": b"a line\nneedle\n", "big.bin": make_bytes(9 * MIB), "deep/" * 12: b""}
    local = tmp_path_factory.mktemp("tools") / "local"
    for key, content in contents.items():
        path = local / key
        if key.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    put_objects(s3, bucket, contents)
    try:
        with mounting(f"s3://{bucket}", local.with_name("mnt"), endpoint=rgw) as mount:
            yield Trees(mount.path, local)
    finally:
        rgw.purge_bucket(bucket)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a tool in *cwd* and return what it printed; it must say nothing on stderr."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_cp_copies_the_tree(trees: Trees, tmp_path: Path) -> None:
    """`cp -r`, compared by `diff -r`."""
    run("cp", "-r", trees.mounted, tmp_path / "copy", cwd=tmp_path)
    assert run("diff", "-r", trees.local, tmp_path / "copy", cwd=tmp_path) == ""


def test_copytree_copies_the_tree_with_times(trees: Trees, tmp_path: Path) -> None:
    """`shutil`, which uses `sendfile` and sets times."""
    shutil.copytree(trees.mounted, tmp_path / "copy")
    assert run("diff", "-r", trees.local, tmp_path / "copy", cwd=tmp_path) == ""
    assert filecmp.cmp(trees.mounted / "big.bin", tmp_path / "copy/big.bin")  # also the mtime


@pytest.mark.parametrize(
    "command",
    [
        ["find", ".", "-type", "f", "-printf", r"%p %s\n"],
        ["find", ".", "-type", "d"],
        ["find", ".", "-size", "+30k", "-name", "*.bin"],
        ["grep", "-rl", "needle", "."],
        ["du", "-a", "--apparent-size", "-B1", "--exclude=*e*", "--threshold=1"],
        ["sh", "-c", "find . -type f | sort | xargs -d '\\n' sha256sum"],
        ["ls", "-1R"],
        ["sh", "-c", "stat -c '%n %s %F' d0/e1/* d0/e2"],
        ["sh", "-c", "cat d3/e4/*.bin | sha256sum"],
    ],
    ids=lambda command: command[-1] if command[0] == "sh" else command[0],
)
def test_a_tool_prints_the_same_of_both_trees(trees: Trees, command: list[str]) -> None:
    """Names, sizes, types and contents."""
    printed = [sorted(run(*command, cwd=tree).splitlines()) for tree in trees]
    if command[0] in {"stat", "du"} or "stat" in command[-1]:
        # A local directory has a size of its own.
        printed = [[line for line in lines if "directory" not in line] for lines in printed]
        printed = [[line for line in lines if ".bin" in line or "top" in line] for lines in printed]
    assert printed[1] == printed[0]
    assert printed[0]


def test_du_adds_up_the_sizes_of_the_files(trees: Trees) -> None:
    """Directories take nothing."""
    total = sum(path.stat().st_size for path in trees.local.rglob("*") if path.is_file())
    assert f"{total}\t." == run("du", "-sb", ".", cwd=trees.mounted).strip()


def test_tar_archives_the_tree(trees: Trees) -> None:
    """Every file with its bytes, every directory; no "file changed as we read it"."""
    done = subprocess.run(
        ["tar", "cf", "-", "."], cwd=trees.mounted, capture_output=True, check=True
    )
    assert done.stderr == b""
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = {member.name: member for member in archive.getmembers()}
        for path in trees.local.rglob("*"):
            member = members.pop(f"./{path.relative_to(trees.local)}")
            assert path.is_dir() == member.isdir()
            if path.is_file():
                extracted = archive.extractfile(member)
                assert extracted is not None
                assert path.read_bytes() == extracted.read()
    assert list(members) == ["."]


def test_os_walk_and_glob_see_the_same_names(trees: Trees) -> None:
    """Also from the bottom up."""
    for is_topdown in (True, False):
        walks = [
            sorted(
                (os.path.relpath(top, tree), sorted(dirs), sorted(names))
                for top, dirs, names in os.walk(tree, topdown=is_topdown)
            )
            for tree in trees
        ]
        assert walks[1] == walks[0]
    globs = [sorted(p.relative_to(tree) for p in tree.glob("d*/**/f ?.bin")) for tree in trees]
    assert globs[1] == globs[0]
    assert len(globs[0]) == 4 * 5 * 6
