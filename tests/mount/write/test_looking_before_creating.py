"""A new file costs its PUT and nothing else, and yet nobody is told that a new object is absent."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.write.counting import Counting
from tests.mount.write.ways_to_write import wait_for_content

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing
    from tests.mount.write.place import Bucketed
    from tests.stores.proxy import Proxy

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(os.geteuid() != 0, reason="/proc shows nobody else where threads wait"),
]

WRITE_SOME = """
import sys
for path in sys.argv[1:]:
    with open(path, "w") as file:
        file.write("content")
"""


def put(mount: Bucketed, name: str, content: bytes) -> None:
    """Make an object as another host does."""
    mount.s3.put_object(Bucket=mount.bucket, Key=mount.prefix + name, Body=content)


def test_the_first_file_of_a_process_costs_no_more_than_the_others(
    sharing: Sharing, proxy: Proxy
) -> None:
    """Another process has listed the directory; what is opened to be replaced is not asked for."""
    mount = sharing()
    os.listdir(mount.path)
    paths = [str(mount.path / name) for name in "abc"]
    requests = Counting(proxy, mount)
    counts = requests.of(
        lambda: subprocess.run([sys.executable, "-c", WRITE_SOME, *paths], check=True),
        until="PUT",
        count=3,
    )
    assert counts == {"PUT": 3}


def test_who_creates_files_is_not_told_that_others_are_absent(sharing: Sharing) -> None:
    """Another host's marker is found by the thread that has just written its own."""
    mount = sharing()
    os.listdir(mount.path)
    for number in range(3):
        (mount.path / f"mine-{number}").write_bytes(b"content")
        put(mount, f"theirs-{number}", b"theirs")
        assert (mount.path / f"theirs-{number}").exists()


def test_a_directory_that_another_host_has_made_is_found(sharing: Sharing) -> None:
    """On the way to the new file: only of its own name the listing is believed."""
    mount = sharing()
    os.listdir(mount.path)
    put(mount, "new/theirs", b"theirs")
    (mount.path / "new/ours").write_bytes(b"ours")
    assert ["ours", "theirs"] == sorted(os.listdir(mount.path / "new"))


def test_what_is_appended_to_is_asked_for(sharing: Sharing) -> None:
    """Another host's log that appeared meanwhile is added to, not replaced."""
    mount = sharing()
    os.listdir(mount.path)
    (mount.path / "mine").write_bytes(b"content")
    put(mount, "log", b"theirs\n")
    with (mount.path / "log").open("ab") as file:
        file.write(b"ours\n")
    wait_for_content(mount, "log", b"theirs\nours\n")


def test_what_must_not_exist_is_asked_for(sharing: Sharing) -> None:
    """A lock file that another host has made is not made here too."""
    mount = sharing()
    os.listdir(mount.path)
    (mount.path / "mine").write_bytes(b"content")
    put(mount, "lock", b"theirs")
    with pytest.raises(FileExistsError):
        (mount.path / "lock").open("x")
