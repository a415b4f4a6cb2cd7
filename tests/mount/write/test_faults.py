"""A store that refuses, breaks off or says nothing while something is published."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.mounted import wait_until
from tests.mount.outcome import outcome_of
from tests.mount.write.place import SHORT_DEADLINE, SMALL_STEPS
from tests.mount.write.tree import list_uploads
from tests.mount.write.ways_to_write import (
    append,
    content_of,
    wait_for_content,
    write_backwards,
    write_stream,
)
from tests.stores.proxy import Faults

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing
    from tests.mount.write.place import MountedPlace
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount

LARGE = 12 * MIB
"""Three parts, so five requests."""

ONE_FAULT = {
    "503": Faults(error_fraction=1.0, limit=1),
    "reset": Faults(reset_fraction=1.0, limit=1),
    "answer lost": Faults(truncate_fraction=1.0, limit=1),
}


@pytest.mark.dear
@pytest.mark.parametrize("kind", ONE_FAULT)
def test_a_fault_at_any_request_of_a_publish_is_not_noticed(
    sharing: Sharing, proxy: Proxy, kind: str
) -> None:
    """Of a small file, of a large one that streams, and of one that is written backwards."""
    mount = sharing(*SMALL_STEPS)
    (mount.path / "known").write_bytes(b"")
    for write, size, request_count in (
        (write_stream, 1000, 1),
        (write_stream, LARGE, 5),
        (write_backwards, LARGE, 5),
    ):
        for skip in range(request_count):
            fault = ONE_FAULT[kind]
            content = make_bytes(size, (kind, size, skip, write.__name__))
            with proxy.faulty(
                Faults(
                    error_fraction=fault.error_fraction,
                    reset_fraction=fault.reset_fraction,
                    truncate_fraction=fault.truncate_fraction,
                    only="^(PUT|POST|DELETE)",
                    skip=skip,
                    limit=1,
                )
            ):
                write(mount.path / "f", content)
                wait_for_content(mount, "f", content)
    # Nobody knows the id of an upload whose first answer was lost, so nobody may abort it.
    lost = list_uploads(mount.s3, mount.bucket, mount.prefix)
    assert len(lost) <= (2 if kind == "answer lost" else 0)
    found = mount.s3.list_multipart_uploads(Bucket=mount.bucket, Prefix=mount.prefix)
    for upload in found.get("Uploads", []):
        mount.s3.abort_multipart_upload(
            Bucket=mount.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        )
    mount.check_holds({"known": b"", "f": content})


def test_nothing_is_noticed_when_one_request_in_ten_fails(sharing: Sharing, proxy: Proxy) -> None:
    """Files, directories, renames, appends: all arrive, once, and nothing is left unfinished."""
    mount = sharing(*SMALL_STEPS)
    expected: dict[str, bytes | None] = {}
    faults = Faults(
        error_fraction=0.05,
        reset_fraction=0.03,
        truncate_fraction=0.02,
        # Nobody can abort an upload of which nobody has heard the id.
        only="^(?!POST .*[?&]uploads)",
    )
    with proxy.faulty(faults):
        for number in range(8):
            directory = mount.path / f"d{number}"
            directory.mkdir()
            expected[f"e{number}"] = None
            for name in ("a", "b"):
                content = make_bytes(20_000 * number, (number, name))
                write_stream(directory / f"{name}.tmp", content)
                append(directory / f"{name}.tmp", b"appended")
                os.rename(directory / f"{name}.tmp", directory / name)
                expected[f"e{number}/{name}"] = content + b"appended"
            os.rename(directory, mount.path / f"e{number}")
        write_stream(mount.path / "large", make_bytes(23 * MIB))
        append(mount.path / "large", b"appended")
        expected["large"] = make_bytes(23 * MIB) + b"appended"
    mount.check_holds(expected)


FAILING = {
    "f0": (write_stream, 1000, "^PUT .*/f0$"),  # the only request
    "f1": (write_stream, LARGE, "^PUT .*/f1.*partNumber=2"),
    "f2": (write_backwards, LARGE, "^PUT .*/f2.*partNumber=2"),
    "f3": (write_stream, LARGE, "^PUT .*/f3.*partNumber=3"),  # the last part
    "f4": (write_stream, LARGE, "^POST .*/f4.*uploads"),  # the beginning
    "f5": (write_stream, LARGE, "^POST .*/f5.*uploadId"),  # the completion
    "f6": (append, 1000, "^POST .*/f6.*uploadId"),
}
"""Names, how they are written, how much, and the requests that fail for good."""

OLD = make_bytes(LARGE, "old")


@pytest.fixture
def failing(sharing: Sharing) -> MountedPlace:
    """Mount a bucket that holds large objects; an operation is tried for two seconds only."""
    objects = dict.fromkeys(FAILING, OLD)
    return sharing(*SHORT_DEADLINE, objects=objects, may_log_errors=True)


def test_a_publish_that_fails_for_good_leaves_the_old_object(
    failing: MountedPlace, proxy: Proxy
) -> None:
    """Close (or a write before it) says so, or keeps it and goes on trying; no upload dangles."""

    def write(name: str) -> str:
        how, size, _ = FAILING[name]
        return outcome_of(lambda: how(failing.path / name, make_bytes(size, "new")))

    new = {
        name: (OLD if how is append else b"") + make_bytes(size, "new")
        for name, (how, size, _) in FAILING.items()
    }
    only = "|".join(pattern for _, _, pattern in FAILING.values())
    is_close = failing.mode == "close"
    with (
        proxy.faulty(Faults(error_fraction=1.0, only=only)),
        ThreadPoolExecutor(len(FAILING)) as pool,
    ):
        outcomes = dict(zip(FAILING, pool.map(write, FAILING), strict=True))
        assert dict.fromkeys(FAILING, "EIO" if is_close else "done") == outcomes
        assert [] == [name for name in FAILING if content_of(failing, name) != OLD]
        if is_close:
            wait_until(lambda: not list_uploads(failing.s3, failing.bucket, failing.prefix))
        expected = dict.fromkeys(FAILING, OLD) if is_close else new
        found = {name: (failing.path / name).read_bytes() for name in FAILING}
        assert [] == [name for name in FAILING if expected[name] != found[name]]
    if is_close:
        assert dict.fromkeys(FAILING, "done") == {name: write(name) for name in FAILING}
    failing.check_holds(dict(new))


def test_fsync_that_failed_fails_again_until_it_works(failing: MountedPlace, proxy: Proxy) -> None:
    """Nobody is told that data is safe which is not; when the store is back, it is."""
    descriptor = os.open(failing.path / "f0", os.O_RDWR)
    with proxy.faulty(Faults(error_fraction=1.0, only="^(PUT|POST)")):
        os.pwrite(descriptor, b"new", 0)
        assert outcome_of(lambda: os.fsync(descriptor)) == "EIO"
        assert outcome_of(lambda: os.fsync(descriptor)) == "EIO"
        assert OLD == content_of(failing, "f0")
    outcome = outcome_of(lambda: os.fsync(descriptor))
    outcome_of(lambda: os.close(descriptor))
    found = content_of(failing, "f0")
    if outcome == "done":
        assert b"new" + OLD[3:] == found
    else:
        assert found in (OLD, b"new" + OLD[3:])


def test_a_request_that_hangs_ends_in_an_error_and_holds_up_nobody(
    failing: MountedPlace, proxy: Proxy
) -> None:
    """Other files are written meanwhile."""
    with proxy.faulty(Faults(hang=True, only="^(PUT|POST) .*/f0")):
        outcome = outcome_of(lambda: write_stream(failing.path / "f0", b"new"))
        assert outcome == ("EIO" if failing.mode == "close" else "done")
        write_stream(failing.path / "f1", b"other")
        wait_until(lambda: content_of(failing, "f1") == b"other")
        assert OLD == content_of(failing, "f0")
    if failing.mode == "close":
        write_stream(failing.path / "f0", b"new")
    wait_until(lambda: content_of(failing, "f0") == b"new")
