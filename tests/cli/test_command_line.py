"""The shape of the command line, ``-o`` included."""

from __future__ import annotations

import pytest

from mountfs.command.cli import load_config
from mountfs.command.command_line import (
    MountCommand,
    StatusCommand,
    UmountCommand,
    parse_command_line,
)
from mountfs.command.exit_code import MEANINGS, ExitCode
from mountfs.command.mount_options import parse_mount_options
from mountfs.command.options import OPTIONS
from mountfs.errors import UsageError


def parsed(*arguments: str) -> MountCommand:
    """Return the mount command of *arguments*."""
    command = parse_command_line(arguments)
    assert isinstance(command, MountCommand)
    return command


def values(command: MountCommand) -> dict[str, object]:
    """Return what the command sets, by option name."""
    return {setting.option.name: setting.value for setting in command.settings}


@pytest.mark.parametrize(
    "arguments",
    [
        ("s3://b", "/m", "--read-only", "--region", "r", "--metadata-ttl=0"),
        ("--read-only", "s3://b", "--region=r", "/m", "--metadata-ttl", "0"),
        ("-o", "ro,region=r", "s3://b", "/m", "-o", "metadata_ttl=0"),
    ],
)
def test_options_stand_anywhere(arguments: tuple[str, ...]) -> None:
    """Before, between and behind the arguments, as words of their own and in ``-o``."""
    command = parsed(*arguments)
    assert (command.source, command.mountpoint) == ("s3://b", "/m")
    found = {name: str(value) for name, value in values(command).items()}
    expected = {"read-only": "True", "region": "r", "metadata-ttl": "Ttl(seconds=0.0)"}
    assert expected == found


def test_every_flag_can_be_negated() -> None:
    """So that the command line can overrule the file in both directions."""
    for option in OPTIONS:
        if option.is_flag:
            yes, no = (
                parsed("s3://s", "m", f"--{option.name}"),
                parsed("s3://s", "m", f"--no-{option.name}"),
            )
            assert {option.name: True} == values(yes)
            assert {option.name: False} == values(no)


def test_what_mount_passes_is_understood() -> None:
    """``mount -t fuse.mountfs`` hands over words that are for others: kernel, mount, systemd."""
    options = parse_mount_options(
        "rw,nosuid,nodev,noexec,noatime,user=alice,_netdev,nofail,noauto,"
        "x-systemd.automount,comment=ours,defaults,allow_other,uid=0,region=eu-west-1"
    )
    assert options.kernel == ("noexec", "noatime")
    found = {setting.option.name: setting.value for setting in options.settings}
    assert found == {"allow-other": True, "uid": 0, "region": "eu-west-1"}


def test_rw_does_not_overrule_read_only() -> None:
    """mount(8) says rw whenever nothing is said, so it means nothing."""
    assert parse_mount_options("rw").settings == ()


def test_a_comma_in_a_value_is_escaped() -> None:
    r"""As libfuse does it: ``\,``."""
    (setting,) = parse_mount_options(r"log-file=/tmp/a\,b").settings
    assert setting.value == "/tmp/a,b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s3://s", "m", "--regoin", "x"), r"unknown option --regoin; did you mean --region\?"),
        (
            ("s3://s", "m", "--regoin=x"),
            r"unknown option --regoin \(value 'x'\); did you mean --region",
        ),
        (("s3://s", "m", "--reg", "x"), r"unknown option --reg"),
        (("s3://s", "m", "--part-size", "big"), r"--part-size: 'big' is not a size such as 512M"),
        (
            ("s3://s", "m", "--read-only=maybe"),
            r"--read-only: takes no value, but was given 'maybe'",
        ),
        (
            ("s3://s", "m", "--version-at", "-2h"),
            r"--version-at: needs a value .* as in --NAME=-VALUE",
        ),
        (("s3://s", "m", "--region"), r"--region: needs a value"),
        (("s3://s", ""), r"MOUNTPOINT is empty"),
        (("umount", ""), r"MOUNTPOINT is empty"),
        (("sync", ""), r"MOUNTPOINT is empty"),
        (("s3://s", "m", "more"), r"unexpected argument 'more'"),
        (("s3://s",), r"MOUNTPOINT"),
        ((), r"SOURCE, MOUNTPOINT"),
        (("s3://s", "m", "-o", "alow_other"), r"-o alow_other; did you mean -o allow-other\?"),
        (("s3://s", "m", "-o", "region"), r"-o region needs a value"),
        (("s3://s", "m", "-o", "part_size=x"), r"-o part_size: 'x' is not a size"),
        (("s3://s", "m", "-o", "noexce"), r"did you mean -o noexec\?"),
        (("umount",), r"MOUNTPOINT"),
        (("umount", "m", "--lzy"), r"unknown option --lzy; did you mean --lazy\?"),
        (("drain", "m"), r"unknown command 'drain'; commands are umount, sync and status"),
        (("config", "check"), r"unknown command 'config'"),
        (("drain",), r"unknown command 'drain'"),
        (("umonut", "m"), r"unknown command 'umonut'; did you mean umount\?"),
        (("bucket", "m"), r"a bucket is mounted with: mountfs s3://BUCKET MOUNTPOINT"),
        (("status", "--jsn"), r"did you mean --json\?"),
    ],
)
def test_an_error_names_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    """The option, the value, and what is allowed or nearest."""
    with pytest.raises(UsageError, match=message):
        parse_command_line(arguments)


def test_the_other_commands() -> None:
    """``unmount`` is understood, since that is how it is spelled."""
    assert UmountCommand(mountpoint="m", is_lazy=True) == parse_command_line(["umount", "m", "-z"])
    assert UmountCommand(mountpoint="m", is_lazy=False) == parse_command_line(["unmount", "m"])
    assert StatusCommand(is_json=True) == parse_command_line(["status", "--json"])


def test_help_names_every_option_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` is complete."""
    with pytest.raises(SystemExit) as caught:
        parse_command_line(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in OPTIONS:
        assert f"--{option.name}" in text or f"--no-{option.name}" in text
    for code in ExitCode:
        assert MEANINGS[code] in text


def test_the_configuration_file_may_be_named_in_o() -> None:
    """Fstab has no other place for it."""
    assert parsed("s3://s", "m", "-o", "config=/etc/a.toml").config_path == "/etc/a.toml"


def test_a_source_that_is_none_is_refused_before_anything_else() -> None:
    """It needs neither a file nor a mountpoint to be wrong."""
    with pytest.raises(UsageError, match="source 'http://bucket'"):
        load_config(parsed("http://bucket", "/nonexistent", "--config", "/nonexistent"), {})
