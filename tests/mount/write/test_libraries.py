"""Libraries that write files in their own ways: patching headers, appending, mapping, locking."""

from __future__ import annotations

import contextlib
import sqlite3
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
import pytest

from tests.mount.content import make_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.write.conftest import Compared

pytestmark = [pytest.mark.mount, pytest.mark.filterwarnings("ignore")]


def make_frame(start: int, count: int) -> pd.DataFrame:
    """Return a table; the same for the same arguments."""
    steps = np.arange(start, start + count)
    names = [f"n{step}" for step in steps]
    return pd.DataFrame({"step": steps, "loss": 1 / (steps + 1.0), "name": names})


def test_h5py_creates_and_modifies_a_file(compared: Compared) -> None:
    """It goes back to the head, changes the middle, makes it longer, and locks the file."""

    def scenario(directory: Path) -> None:
        path = directory / "features.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=np.arange(100_000), chunks=(1000,), maxshape=(None,))
            file.attrs["version"] = 1
        with h5py.File(path, "r+") as file:
            file["x"][500:600] = -1
            file["x"].resize((150_000,))
            file["x"][149_000:] = 7
            file.flush()
            file.create_group("g").create_dataset("y", data=np.ones((300, 300)), compression="gzip")
            file.attrs["version"] = 2
        with h5py.File(path, "a") as file:
            del file["g/y"]
        with h5py.File(path, "r") as file:
            assert (2, [], 150_000) == (file.attrs["version"], list(file["g"]), len(file["x"]))
            assert [499, -1, -1, 600] == [file["x"][n] for n in (499, 500, 599, 600)]
            assert 7 == file["x"][-1]

    compared(scenario)


def test_zipfile_writes_appends_and_patches_headers(compared: Compared) -> None:
    """Sizes and checksums are written behind the data, and then before it; the list is last."""

    def add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as member:
            member.write(content)

    def scenario(directory: Path) -> None:
        path = directory / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            add(archive, "first", make_bytes(200_000))
            add(archive, "second", b"x" * 100_000)
        with zipfile.ZipFile(path, "a") as archive:
            add(archive, "third", b"added")
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert ["first", "second", "third"] == archive.namelist()
            assert make_bytes(200_000) == archive.read("first")

    compared(scenario)


def test_sqlite_with_a_rollback_journal(compared: Compared) -> None:
    """Transactions, a rollback, a vacuum; the journal comes and goes beside the database."""

    def scenario(directory: Path) -> None:
        path = directory / "runs.db"
        with closing(sqlite3.connect(path)) as database:
            assert ("delete",) == database.execute("pragma journal_mode").fetchone()
            database.execute("create table runs (step integer primary key, loss real)")
            for step in range(5):
                with database:
                    database.executemany(
                        "insert into runs values (?, ?)",
                        [(n, n / 7) for n in range(step * 100, step * 100 + 100)],
                    )
            with contextlib.suppress(sqlite3.IntegrityError), database:
                database.execute("delete from runs where step < 50")
                database.execute("insert into runs values (60, 0)")  # there is one: undone
            with database:
                database.execute("update runs set loss = 0 where step % 3 = 0")
            database.execute("vacuum")
        with closing(sqlite3.connect(path)) as database:
            assert ("ok",) == database.execute("pragma integrity_check").fetchone()
            assert (500,) == database.execute("select count(*) from runs").fetchone()
            assert (167,) == database.execute("select count(*) from runs where loss = 0").fetchone()

    compared(scenario)


def test_numpy_maps_a_file_and_changes_it(compared: Compared) -> None:
    """`memmap` with ``w+`` makes a file in full size; ``r+`` changes one of them in the middle."""

    def scenario(directory: Path) -> None:
        path = directory / "tokens.bin"
        made = np.memmap(path, np.uint16, "w+", shape=(500_000,))
        made[:] = np.arange(500_000)
        made.flush()
        del made
        changed = np.memmap(path, np.uint16, "r+")
        changed[1000:2000] = 7
        changed[-1] = 9
        changed.flush()
        del changed
        seen = np.fromfile(path, np.uint16)
        assert [999, 7, 7, 2000, 9] == seen[[999, 1000, 1999, 2000, -1]].tolist()

    compared(scenario)


def test_numpy_saves_arrays_and_archives_of_them(compared: Compared) -> None:
    """`save` over an older file, `savez`, and `lib.format.open_memmap`."""

    def scenario(directory: Path) -> None:
        for value in (1, 2):
            np.save(directory / "a.npy", np.full((300, 300), value))
        mapped = np.lib.format.open_memmap(directory / "b.npy", "w+", np.float32, (1000, 100))
        mapped[10] = 3
        mapped.flush()
        del mapped
        assert 300 * 300 * 2 == np.load(directory / "a.npy", mmap_mode="r").sum()
        assert 300 == np.load(directory / "b.npy").sum()

    compared(scenario)


def test_pandas_writes_parquet_and_appends_csv(compared: Compared) -> None:
    """Tables read back as they were written."""

    def scenario(directory: Path) -> None:
        make_frame(0, 20_000).to_parquet(directory / "log.parquet")
        pd.testing.assert_frame_equal(
            make_frame(0, 20_000), pd.read_parquet(directory / "log.parquet")
        )
        path = directory / "log.csv"
        for start in range(0, 500, 100):
            make_frame(start, 100).to_csv(path, mode="a", header=not path.exists(), index=False)
        pd.testing.assert_frame_equal(make_frame(0, 500), pd.read_csv(path))

    compared(scenario)


def test_text_files_are_written_line_by_line(compared: Compared) -> None:
    """A log that is flushed after each line, and read by another descriptor at once."""

    def scenario(directory: Path) -> None:
        path = directory / "log.txt"
        with path.open("w") as writer, path.open() as reader:
            for number in range(50):
                writer.write(f"line {number}\n")
                writer.flush()
                assert f"line {number}\n" == reader.readline()
        with path.open("a+") as file:
            file.write("the end\n")
            file.seek(0)
            assert 51 == len(file.readlines())

    compared(scenario)
