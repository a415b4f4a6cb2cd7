"""With `--attributes=posix` a mount does what POSIX says, seen beside a local directory."""

from __future__ import annotations

import os
import pickle
import stat
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.write import posix_attributes, posix_kinds, posix_permissions
from tests.mount.write.conftest import mount_for_a_while
from tests.mount.write.sight import look, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.conftest import Writing
    from tests.mount.write.place import WritableMount
    from tests.mount.write.sight import Seen

pytestmark = pytest.mark.mount

SOMEBODY = 12345
"""A user and a group that own nothing."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def posix_mount(write_mode: str, writing: Writing) -> WritableMount | None:
    """Mount the bucket with POSIX attributes; None for a local directory."""
    return writing("--attributes", "posix", "--metadata-ttl", "60s")


@pytest.fixture(scope="module")
def shared_posix(
    request: pytest.FixtureRequest, write_mode: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Mount a bucket with POSIX attributes for all tests of a mode, or make a local directory."""
    home = tmp_path_factory.mktemp(f"posix-{write_mode}")
    home.chmod(0o755)
    home.parent.chmod(0o755)
    home.parent.parent.chmod(0o755)
    if write_mode == "local":
        (home / "mnt").mkdir()
        yield home / "mnt"
        return
    options = ["--attributes", "posix"]
    if os.geteuid() == 0:
        options.append("--allow-other")
    with mount_for_a_while(request, write_mode, home, options) as mount:
        yield mount.path


@pytest.fixture
def both_roots(shared_posix: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an empty local directory and one of the mount, which anybody may enter."""
    local = tmp_path_factory.mktemp("reference")
    local.chmod(0o755)
    mounted = shared_posix / local.name
    mounted.mkdir()
    mounted.chmod(0o755)
    return local, mounted


@pytest.mark.parametrize(
    "scenario",
    [
        posix_attributes.modes,
        posix_attributes.modes_at_creation,
        pytest.param(posix_attributes.owners, marks=needs_root),
        posix_kinds.symlinks,
        posix_kinds.special_files,
        posix_kinds.link_counts,
        posix_attributes.times_of_calls,
        posix_attributes.times_that_are_set,
        posix_attributes.extended_attributes,
    ],
    ids=lambda scenario: getattr(scenario, "__name__", None),
)
def test_a_mount_does_what_a_local_directory_does(
    both_roots: tuple[Path, Path], scenario: Callable[[Path], Seen]
) -> None:
    """Everything that can be seen is the same."""
    expected, found = (scenario(root) for root in both_roots)
    for number, (one, two) in enumerate(zip(expected, found, strict=True)):
        assert one == two, f"observation {number}"


@needs_root
@pytest.mark.parametrize(
    "scenario",
    [
        posix_permissions.permissions,
        posix_attributes.writing_takes_set_uid_away,
        posix_attributes.modes,
        posix_kinds.special_files,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_another_user_may_do_what_they_may_in_a_local_directory(
    both_roots: tuple[Path, Path], scenario: Callable[[Path], Seen]
) -> None:
    """In a directory of their own, with `--allow-other`."""
    for root in both_roots:
        os.chown(root, SOMEBODY, SOMEBODY)
    expected, found = (as_somebody(lambda: scenario(root)) for root in both_roots)  # noqa: B023
    for number, (one, two) in enumerate(zip(expected, found, strict=True)):
        assert one == two, f"observation {number}"


@needs_root
def test_another_user_may_not_do_more_with_others_things(both_roots: tuple[Path, Path]) -> None:
    """Also where the sticky bit is what protects them."""
    for root in both_roots:
        posix_permissions.prepare_what_is_of_others(root)
    expected, found = (
        as_somebody(lambda: posix_permissions.what_is_of_others(root))  # noqa: B023
        for root in both_roots
    )
    assert expected == found


def as_somebody(call: Callable[[], Any]) -> Any:
    """Return what *call* returns in a child process without privileges."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(SOMEBODY)
            os.setuid(SOMEBODY)
            answer: tuple[bool, Any] = (True, call())
        except BaseException:
            answer = (False, traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        is_good, result = pickle.load(pipe)
    os.waitpid(child, 0)
    assert is_good, result
    return result


@needs_root
def test_attributes_outlive_the_mount(posix_mount: WritableMount) -> None:
    """Modes, owners, times, links, devices and extended attributes, of files and directories."""
    root = posix_mount.path
    (root / "f").write_bytes(b"content")
    (root / "d").mkdir()
    os.symlink("f", root / "link")
    os.mkfifo(root / "fifo")
    os.mknod(root / "zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.setxattr(root / "f", "user.a", b"\x00\xff value")
    for name, mode in (("f", 0o4750), ("d", 0o1777), ("fifo", 0o640)):
        os.chmod(root / name, mode)
        os.chown(root / name, 1234, 4321)
        os.chmod(root / name, mode)
        os.utime(root / name, ns=(10**18 + 1, 10**18 + 123_456_789))
    names = sorted(os.listdir(root))
    assert [] == os.listdir(root / "d")  # so the number of its links is known
    before = [(name, look(root / name), times(root / name)[1]) for name in names]
    posix_mount.remount()
    assert names == sorted(os.listdir(root))
    assert [] == os.listdir(root / "d")
    after = [(name, look(root / name), times(root / name)[1]) for name in names]
    assert before == after
    assert ("f", b"\x00\xff value") == (
        os.readlink(root / "link"),
        os.getxattr(root / "f", "user.a"),
    )


def test_what_other_programs_put_has_ordinary_attributes(
    s3: S3Client, bucket: str, posix_mount: WritableMount
) -> None:
    """And what s3fs and rclone have written into the metadata of an object is understood."""
    s3.put_object(Bucket=bucket, Key="plain", Body=b"content")
    s3.put_object(
        Bucket=bucket,
        Key="of-s3fs",
        Body=b"content",
        Metadata={"mode": "33152", "uid": "1234", "gid": "4321", "mtime": "1000000000"},
    )
    s3.put_object(
        Bucket=bucket, Key="of-rclone", Body=b"content", Metadata={"mtime": "1000000000.123456789"}
    )
    s3.put_object(Bucket=bucket, Key="link", Body=b"plain", Metadata={"mode": "41471"})
    root = posix_mount.path
    assert 0o100644 == (root / "plain").stat().st_mode
    found = (root / "of-s3fs").stat()
    assert (0o100600, 1234, 4321, 10**18) == (
        found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns,
    )  # fmt: skip
    assert 10**18 + 123_456_789 == (root / "of-rclone").stat().st_mtime_ns
    assert "plain" == os.readlink(root / "link")
