"""What writing costs: each row of the request budget, counted in the proxy's log."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from mountfs.fuse.written_pages import KEPT_BYTES, STEP_BYTES
from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import wait_until
from tests.mount.write.counting import Counting
from tests.mount.write.place import SMALL_STEPS
from tests.mount.write.ways_to_write import content_of

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from tests.mount.write.conftest import Sharing
    from tests.mount.write.place import Bucketed
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount


def write_in_pieces(path: Path, content: bytes, piece: int = 128 * 1024) -> None:
    """Write as a program does that has no idea of parts."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), piece):
            file.write(content[start : start + piece])


def test_a_small_file_costs_one_put(sharing: Sharing, proxy: Proxy) -> None:
    """Create, write, close; who begins to create asks whether the name is free, and lists."""
    mount = sharing()
    requests = Counting(proxy, mount)

    def write_one(name: str) -> Counter[str]:
        return requests.of(lambda: (mount.path / name).write_bytes(b"x"), until="PUT")

    first = write_one("a") + write_one("b")
    assert first.pop("LIST", 0) <= 2
    assert first == {"PUT": 2}

    def write_many() -> None:
        for number in range(20):
            (mount.path / f"f{number}").write_bytes(make_bytes(100_000, number))

    assert requests.of(write_many, until="PUT", count=20) == {"PUT": 20}
    check_contents(mount, {f"f{number}": make_bytes(100_000, number) for number in range(20)})


def check_contents(mount: Bucketed, contents: dict[str, bytes]) -> None:
    """Fail unless the bucket holds these objects."""
    for key, content in contents.items():
        assert content == content_of(mount, key), key


def test_files_in_a_new_directory_cost_a_put_each_and_one_for_the_marker(
    sharing: Sharing, proxy: Proxy
) -> None:
    """What was made here is known to be empty; only the first name is asked for."""
    mount = sharing()
    requests = Counting(proxy, mount)
    requests.of(lambda: (mount.path / "known").write_bytes(b""), until="PUT")

    def write_many() -> None:
        (mount.path / "d").mkdir()
        for number in range(10):
            (mount.path / f"d/{number}").write_bytes(b"content")

    counts = requests.of(write_many, until="PUT", count=11)
    assert counts.pop("LIST", 0) <= 2
    assert counts == {"PUT": 11}


def test_writing_over_a_small_file_costs_one_put(sharing: Sharing, proxy: Proxy) -> None:
    """Its old content is not fetched; its metadata, which is kept, is asked for once."""
    mount = sharing(objects={"f": b"old" * 1000})
    requests = Counting(proxy, mount)
    assert ["f"] == os.listdir(mount.path)
    counts = requests.of(lambda: (mount.path / "f").write_bytes(b"new"), until="PUT")
    assert counts.pop("HEAD", 0) <= 1
    assert counts == {"PUT": 1}
    check_contents(mount, {"f": b"new"})
    for number in range(3):
        content = b"%d" % number
        counts = requests.of(lambda: (mount.path / "f").write_bytes(content), until="PUT")  # noqa: B023
        assert counts == {"PUT": 1}


def test_closing_what_was_not_changed_costs_nothing(sharing: Sharing, proxy: Proxy) -> None:
    """Opened to be written to, and not written to; and fsync and close publish once, not twice.

    The first open asks once whether this is the version that changes would be made on top of.
    """
    mount = sharing(objects={"f": b"old"})
    requests = Counting(proxy, mount)
    (mount.path / "f").read_bytes()
    mark = requests.mark()
    for _ in range(3):
        os.close(os.open(mount.path / "f", os.O_RDWR))
        os.close(os.open(mount.path / "f", os.O_WRONLY | os.O_APPEND))
    assert requests.count(since=mark) == {"HEAD": 1}

    def write_with_fsync() -> None:
        with (mount.path / "f").open("wb", buffering=0) as file:
            file.write(b"new")
            os.fsync(file.fileno())
            os.fsync(file.fileno())
            os.close(os.dup(file.fileno()))

    counts = requests.of(write_with_fsync, until="PUT")
    assert counts.pop("HEAD", 0) <= 1
    assert counts == {"PUT": 1}
    # Another file's request would come after one of this file's in the background.
    assert requests.of(lambda: (mount.path / "g").write_bytes(b"x"), until="PUT")["PUT"] == 1


@pytest.mark.parametrize("size", [5 * MIB + 1, 15 * MIB, 23 * MIB])
def test_n_parts_cost_n_and_two_requests(sharing: Sharing, proxy: Proxy, size: int) -> None:
    """Begin, parts, complete."""
    mount = sharing(*SMALL_STEPS)
    requests = Counting(proxy, mount)
    requests.of(lambda: (mount.path / "known").write_bytes(b""), until="PUT")
    content = make_bytes(size)
    part_count = -(-size // (5 * MIB))
    counts = requests.of(
        lambda: write_in_pieces(mount.path / "f", content), until="COMPLETE_UPLOAD"
    )
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"CREATE_UPLOAD": 1, "UPLOAD_PART": part_count, "COMPLETE_UPLOAD": 1}
    check_contents(mount, {"f": content})


def test_parts_go_up_while_the_application_writes(
    write_mode: str, sharing: Sharing, proxy: Proxy
) -> None:
    """A file that is written in order is mostly in the store when it is closed."""
    if write_mode != "close":
        pytest.skip("close waits for the staging directory only")
    mount = sharing(*SMALL_STEPS)
    requests = Counting(proxy, mount)
    mark = requests.mark()
    with (mount.path / "f").open("wb", buffering=0) as file:
        file.write(make_bytes(12 * MIB))
        wait_until(lambda: requests.count(since=mark)["UPLOAD_PART"] >= 2)
        assert requests.count(since=mark)["COMPLETE_UPLOAD"] == 0


def test_renaming_a_published_file_costs_a_copy_and_a_delete(
    sharing: Sharing, proxy: Proxy
) -> None:
    """No HEAD, no GET; a LIST where the new name is not known to be free."""
    mount = sharing(objects={"f": b"content", "g": b"old"})
    requests = Counting(proxy, mount)
    assert ["f", "g"] == sorted(os.listdir(mount.path))
    counts = requests.of(lambda: os.rename(mount.path / "f", mount.path / "h"), until="DELETE")
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"COPY": 1, "DELETE": 1}
    counts = requests.of(lambda: os.rename(mount.path / "h", mount.path / "g"), until="DELETE")
    assert counts == {"COPY": 1, "DELETE": 1}
    check_contents(mount, {"g": b"content"})


def test_renaming_what_is_not_published_costs_one_upload_under_the_last_name(
    sharing: Sharing, proxy: Proxy
) -> None:
    """Written to a temporary name and renamed while it is open, as safetensors does."""
    mount = sharing()
    requests = Counting(proxy, mount)
    requests.of(lambda: (mount.path / "known").write_bytes(b""), until="PUT")

    def save() -> None:
        with (mount.path / "f.tmp").open("x+b") as file:
            file.write(b"content")
            os.rename(mount.path / "f.tmp", mount.path / "f")

    counts = requests.of(save, until="PUT")
    assert counts.pop("LIST", 0) <= 2
    assert counts == {"PUT": 1}
    check_contents(mount, {"f": b"content"})


def test_unlinking_costs_one_delete(sharing: Sharing, proxy: Proxy) -> None:
    """Of a file that is published; of one that never was, nothing."""
    mount = sharing(objects={"f": b"content", "other": b""})
    requests = Counting(proxy, mount)
    assert ["f", "other"] == sorted(os.listdir(mount.path))

    def unlink_two() -> None:
        with (mount.path / "never").open("wb") as file:
            file.write(b"content")
            os.unlink(mount.path / "never")
        os.unlink(mount.path / "f")

    counts = requests.of(unlink_two, until="DELETE")
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"DELETE": 1}


@pytest.mark.dear
def test_a_byte_appended_to_a_large_object_moves_little(sharing: Sharing, proxy: Proxy) -> None:
    """128 MiB: the old bytes are copied by the store itself, at most a last piece is moved."""
    content = make_bytes(128 * MIB)
    mount = sharing(objects={"f": content})
    requests = Counting(proxy, mount)
    assert 128 * MIB == (mount.path / "f").stat().st_size
    mark = requests.mark()
    with (mount.path / "f").open("ab") as file:
        file.write(b"!")
    wait_until(lambda: requests.count(since=mark)["COMPLETE_UPLOAD"] >= 1)
    found = requests.read(since=mark)
    fetched_bytes = sum(request.sent_bytes for request in found if request.kind == "GET")
    part_count = sum(request.kind in {"UPLOAD_PART", "PUT"} for request in found)
    assert fetched_bytes <= 16 * MIB
    assert part_count <= 1
    assert sum(request.kind == "UPLOAD_PART_COPY" for request in found) >= 1
    check_contents(mount, {"f": content + b"!"})


def test_a_byte_changed_in_a_large_object_fetches_its_part_only(
    sharing: Sharing, proxy: Proxy
) -> None:
    """The parts before and behind it are copied by the store."""
    content = bytearray(make_bytes(64 * MIB))
    mount = sharing(objects={"f": bytes(content)})
    requests = Counting(proxy, mount)
    assert 64 * MIB == (mount.path / "f").stat().st_size
    mark = requests.mark()
    with (mount.path / "f").open("r+b", buffering=0) as file:
        file.seek(33 * MIB)
        file.write(b"!")
    content[33 * MIB] = ord("!")
    wait_until(lambda: requests.count(since=mark)["COMPLETE_UPLOAD"] >= 1)
    found = requests.read(since=mark)
    assert sum(r.sent_bytes for r in found if r.kind == "GET") <= 16 * MIB
    assert sum(r.kind == "UPLOAD_PART" for r in found) <= 2
    check_contents(mount, {"f": bytes(content)})


def test_own_writes_are_read_back_without_a_request(sharing: Sharing, proxy: Proxy) -> None:
    """`ls`, `stat` and the content of what was just written; while the page cache has it."""
    mount = sharing()
    requests = Counting(proxy, mount)
    os.listdir(mount.path)
    requests.of(lambda: (mount.path / "f").write_bytes(b"x" * 10_000), until="PUT")
    mark = requests.mark()
    assert ["f"] == os.listdir(mount.path)
    assert 10_000 == (mount.path / "f").stat().st_size
    assert requests.count(since=mark) == {}
    assert b"x" * 10_000 == (mount.path / "f").read_bytes()
    assert requests.count(since=mark).keys() <= {"GET"}
    assert requests.count(since=mark)["GET"] <= 1


def test_a_large_file_does_not_stay_in_the_page_cache_when_it_is_written(sharing: Sharing) -> None:
    """It would push out what training reads; and its memory is used again at once instead."""
    content = make_bytes(KEPT_BYTES + 16 * MIB)
    mount = sharing()
    path = mount.path / "f"
    write_in_pieces(path, content)
    wait_until(lambda: resident_bytes(path) <= 4 * STEP_BYTES)
    assert content == path.read_bytes()


def test_what_somebody_reads_stays_in_the_page_cache_while_it_is_written(sharing: Sharing) -> None:
    """Pages that a reader may be waiting for cannot be dropped, and it wants them."""
    content = make_bytes(KEPT_BYTES + 16 * MIB)
    mount = sharing()
    path = mount.path / "f"
    path.touch()
    with path.open("rb", buffering=0) as reader:
        write_in_pieces(path, content)
        assert resident_bytes(path) > KEPT_BYTES
        assert content == reader.read(len(content))


def resident_bytes(path: Path) -> int:
    """Return how much of a file is in the kernel's page cache."""
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_directory_costs_a_put_and_a_delete(sharing: Sharing, proxy: Proxy) -> None:
    """Making writes the marker, removing deletes it; at most a LIST each asks what is there."""
    mount = sharing()
    requests = Counting(proxy, mount)
    os.listdir(mount.path)
    counts = requests.of((mount.path / "d").mkdir, until="PUT")
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"PUT": 1}
    counts = requests.of((mount.path / "d").rmdir, until="DELETE")
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"DELETE": 1}
