"""What a shell sees of a mount that cannot be made: one line on stderr, and the code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import environment, run_mountfs
from tests.stores.processes import LOCALHOST, find_free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores.moto import Moto
    from tests.stores.rgw import Rgw


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    """Make a directory to mount on."""
    path = tmp_path / "mnt"
    path.mkdir()
    return path


def check(result: tuple[int, str, str], code: int, message: str) -> None:
    """Check that a command ended with *code* and one line that holds *message*."""
    returncode, stdout, stderr = result
    assert (code, "") == (returncode, stdout), stderr
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("mountfs: ")
    assert message in lines[0]


def run(*arguments: object, env: dict[str, str]) -> tuple[int, str, str]:
    """Run the command; return its code and what it wrote."""
    done = run_mountfs(*map(str, arguments), env=env)
    return done.returncode, done.stdout, done.stderr


def test_a_bad_option(tmp_path: Path, mountpoint: Path) -> None:
    """Usage: 2."""
    result = run("s3://b", mountpoint, "--part-size", "big", env=environment(tmp_path))
    check(result, 2, "--part-size: 'big' is not a size such as 512M, 4G or 1GiB")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--endpoint-url", "https://user:pass/word@host"),
        ("--endpoint-url", "https://user:pass?word@host"),
        ("--endpoint-url", "https://user:pass word@host"),
        ("--endpoint-url", "user:pass@host"),
        ("--endpoint-urll=https://user:pass@host",),
        ("-o", "endpoint-urll=https://user:pass/word@host"),
        ("https://user:pass@host",),
    ],
)
def test_a_password_in_an_address_is_not_repeated(
    tmp_path: Path, mountpoint: Path, arguments: tuple[str, ...]
) -> None:
    """Terminals are recorded and shared; whatever else is wrong with the address."""
    result = run("s3://b", mountpoint, *arguments, env=environment(tmp_path))
    check(result, 2, "***@host")
    assert "pass" not in result[2].replace("password", "")
    assert "word@" not in result[2]


def test_a_bad_port(tmp_path: Path, mountpoint: Path) -> None:
    """Usage: 2."""
    result = run("s3://b", mountpoint, "--endpoint-url", "http://h:8O", env=environment(tmp_path))
    check(result, 2, "--endpoint-url: 'http://h:8O' is not an address")


def test_a_bad_variable(tmp_path: Path, mountpoint: Path) -> None:
    """Usage: 2."""
    env = environment(tmp_path, MOUNTFS_PART_SISE="1M")
    check(run("s3://b", mountpoint, env=env), 2, "did you mean MOUNTFS_PART_SIZE?")


def test_a_bad_file(tmp_path: Path, mountpoint: Path) -> None:
    """Usage: 2."""
    path = tmp_path / "config" / "mountfs.toml"
    path.parent.mkdir()
    path.write_text("colour = 'red'")
    check(run("s3://b", mountpoint, env=environment(tmp_path)), 2, f"{path}: colour (value 'red')")


def test_a_missing_mountpoint(tmp_path: Path) -> None:
    """Mountpoint: 8."""
    result = run("s3://b", tmp_path / "missing", env=environment(tmp_path))
    check(result, 8, f"mountpoint {tmp_path}/missing does not exist; create it with: mkdir")


def test_nothing_to_unmount(tmp_path: Path, mountpoint: Path) -> None:
    """Mountpoint: 8."""
    check(run("umount", mountpoint, env=environment(tmp_path)), 8, "nothing is mounted there")


def test_no_fusermount3(tmp_path: Path, mountpoint: Path) -> None:
    """Mountpoint: 8, and which package to install."""
    env = environment(tmp_path, PATH=str(tmp_path))
    check(run("s3://b", mountpoint, env=env), 8, "apt-get install fuse3")


def test_a_store_that_does_not_listen(tmp_path: Path, mountpoint: Path) -> None:
    """Store unavailable: 7."""
    env = environment(
        tmp_path,
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        MOUNTFS_ENDPOINT_URL=f"http://{LOCALHOST}:{find_free_port()}",
        MOUNTFS_DEADLINE="3s",
    )
    check(run("s3://bucket", mountpoint, env=env), 7, "check --endpoint-url")


def test_no_credentials(tmp_path: Path, mountpoint: Path, moto: Moto) -> None:
    """Credentials: 5."""
    env = environment(tmp_path, MOUNTFS_ENDPOINT_URL=moto.endpoint_url)
    check(run("s3://bucket", mountpoint, env=env), 5, "set AWS_ACCESS_KEY_ID")


def test_a_missing_bucket(tmp_path: Path, mountpoint: Path, moto: Moto) -> None:
    """Bucket not found: 3; in the foreground it is the same line and the same code."""
    env = environment(tmp_path, moto)
    expected = "there is no bucket 'no-such-bucket'"
    check(run("s3://no-such-bucket", mountpoint, env=env), 3, expected)
    check(run("s3://no-such-bucket", mountpoint, "--foreground", env=env), 3, expected)


def test_wrong_credentials(tmp_path: Path, mountpoint: Path, rgw: Rgw, bucket: str) -> None:
    """Credentials: 5, whether the key does not exist or the signature does not fit it."""
    for name, value in (("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "NOBODY")):
        env = environment(tmp_path, rgw) | {name: value}
        check(run(f"s3://{bucket}", mountpoint, env=env), 5, "does not accept the credentials")


def test_a_forbidden_bucket(tmp_path: Path, mountpoint: Path, rgw: Rgw, bucket: str) -> None:
    """Access denied: 4."""
    stranger = rgw.create_user("stranger")
    env = environment(tmp_path, rgw) | {
        "AWS_ACCESS_KEY_ID": stranger.access_key,
        "AWS_SECRET_ACCESS_KEY": stranger.secret_key,
    }
    check(run(f"s3://{bucket}", mountpoint, env=env), 4, f"access to bucket '{bucket}' is denied")


def test_version_and_help(tmp_path: Path) -> None:
    """On stdout, and 0."""
    code, stdout, stderr = run("--version", env=environment(tmp_path))
    assert (code, stderr) == (0, "")
    assert stdout.startswith("mountfs ")
    code, stdout, stderr = run("--help", env=environment(tmp_path, COLUMNS="80"))
    assert (code, stderr) == (0, "")
    assert not [line for line in stdout.splitlines() if len(line) > 80]


def test_status_prints_a_list_whatever_is_mounted(tmp_path: Path) -> None:
    """An empty list is an answer, too."""
    code, stdout, stderr = run("status", "--json", env=environment(tmp_path))
    assert code in {0, 8}  # the machine may have mounts of its own, even one that hangs
    assert isinstance(json.loads(stdout), list)
    assert stderr == ""
