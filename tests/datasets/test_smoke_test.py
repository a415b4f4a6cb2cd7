from __future__ import annotations

import re
import runpy
import sys
from typing import TYPE_CHECKING

import pytest

from mountfs.datasets.__main__ import main
from mountfs.datasets.smoke_test import choose

if TYPE_CHECKING:
    from pathlib import Path


def test_the_command_lists_reads_and_says_rates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``python -m`` starts it."""
    for n in range(10):
        (tmp_path / f"{n}.bin").write_bytes(bytes(1000))
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "--files", "4"])
    monkeypatch.delitem(sys.modules, "mountfs.datasets.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("mountfs.datasets", run_name="__main__")
    assert 0 == ended.value.code
    listed, read = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"listed 10 files in [\d.]+ s: \d+ files/s", listed)
    pattern = r"read 4 files in [\d.]+ s: \d+ files/s, 0\.004 MB, [\d.]+ MB/s"
    assert re.fullmatch(pattern, read)


def test_long_files_and_lists_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shard of 100 GB is not read to its end, a million names are not listed."""
    for n in range(3):
        (tmp_path / f"{n}.bin").write_bytes(bytes((1 << 20) + 7))
    assert 0 == main([str(tmp_path), "--list", "2", "--mib", "1"])
    out = capsys.readouterr().out
    assert "listed 2 files" in out
    assert "there may be more" in out
    assert "2.097 MB" in out


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "s3://nowhere/x",
            "s3://nowhere/x: bucket 'nowhere' is not mounted on this host; mount it",
        ),
        ("{tmp}/missing", "missing: "),
        ("{tmp}/*.jpg", "no file matches"),
    ],
)
def test_what_is_wrong_is_one_line(
    place: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with the name, and a status of 1."""
    (tmp_path / "there").touch()
    assert 1 == main([place.format(tmp=tmp_path)])
    error = capsys.readouterr().err
    assert error.startswith("python -m mountfs.datasets: ")
    assert message in error
    assert 1 == error.count("\n")


def test_files_are_chosen_from_all_over_the_list() -> None:
    """Not only the first directory."""
    entries = list(range(100))
    assert [0, 25, 50, 75] == choose(entries, 4)  # type: ignore[arg-type]
    assert entries == choose(entries, 1000)  # type: ignore[arg-type]
    assert [] == choose([], 4)
