"""What stands on the command line; everything about its shape, nothing about its effect."""

from __future__ import annotations

import argparse
import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from mountfs._version import __version__
from mountfs.command.config import default_of
from mountfs.command.exit_code import MEANINGS
from mountfs.command.mount_options import parse_mount_options
from mountfs.command.options import OPTIONS, Option, Setting, Topic, option_names, parse_setting
from mountfs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

UMOUNT_NAMES = ("umount", "unmount")
STATUS_NAME = "status"
SYNC_NAME = "sync"
COMMAND_NAMES = (UMOUNT_NAMES[0], SYNC_NAME, STATUS_NAME)

_WORD = re.compile(r"[A-Za-z][A-Za-z_-]*")
"""What somebody might take for a command, and no source is."""

_CLEARER = (
    ("ignored explicit argument", "takes no value, but was given"),
    ("expected one argument", "needs a value (one that begins with - as in --NAME=-VALUE)"),
)
"""Words of argparse, and ours instead; if it says something else one day, that will do."""

_USAGE = """\
mountfs SOURCE MOUNTPOINT [options]     mount a bucket
       mountfs umount MOUNTPOINT [--lazy]      publish everything, unmount
       mountfs sync MOUNTPOINT                 publish everything
       mountfs status [--json]                 show all mounts of this host"""

_DESCRIPTION = """\
Mount an S3 bucket, or a prefix in it, as a directory. Returns when the mount
answers; the mount itself goes on in the background."""

_EPILOG = """\
every --NAME without a value has a --no-NAME.

the same options elsewhere, the first that says something wins:
  command line      --metadata-ttl 5m, or -o metadata-ttl=5m (as in /etc/fstab)
  environment       MOUNTFS_METADATA_TTL=5m
  file              metadata-ttl = "5m" in the TOML file of --config, else in
                    $XDG_CONFIG_HOME/mountfs.toml (~/.config), else in
                    /etc/mountfs.toml

/etc/fstab:
  s3://bucket/prefix /mnt/data fuse.mountfs ro,_netdev,region=eu-west-1 0 0

control files, hidden at the root of each mount:
  .mountfs/stats (JSON), .mountfs/metrics (Prometheus), .mountfs/config (TOML)

signals of the mount process:
  SIGTERM, SIGINT   unmount and publish everything; a second one ends at once,
                    whoever uses the mount, and says what was not published
  SIGUSR1           write what it is doing to the log

exit codes:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountCommand:
    """``mountfs SOURCE MOUNTPOINT``: both as given; settings in the order of the command line."""

    source: str
    mountpoint: str
    settings: tuple[Setting, ...]
    kernel_options: tuple[str, ...]
    config_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UmountCommand:
    """``mountfs umount MOUNTPOINT``."""

    mountpoint: str
    is_lazy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCommand:
    """``mountfs sync MOUNTPOINT``."""

    mountpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCommand:
    """``mountfs status``."""

    is_json: bool


Command = MountCommand | UmountCommand | SyncCommand | StatusCommand


def parse_command_line(arguments: Sequence[str]) -> Command:
    """Return the command that *arguments* (without the program's name) say.

    Raises:
        UsageError: they say none.
        SystemExit: ``--help`` or ``--version`` was asked for, and has been answered.
    """
    if arguments and arguments[0] in UMOUNT_NAMES:
        parsed = _parse(_umount_parser(arguments[0]), arguments[1:], ["lazy"])
        return UmountCommand(mountpoint=parsed.mountpoint, is_lazy=parsed.lazy)
    if arguments and arguments[0] == SYNC_NAME:
        return SyncCommand(mountpoint=_parse(_sync_parser(), arguments[1:], []).mountpoint)
    if arguments and arguments[0] == STATUS_NAME:
        parsed = _parse(_status_parser(), arguments[1:], ["json"])
        return StatusCommand(is_json=parsed.json)
    if arguments and _WORD.fullmatch(arguments[0]):
        raise UsageError(_unknown_command(arguments[0]))
    others = ["config", "version", "help"]
    parsed = _parse(_mount_parser(), arguments, [*option_names(), *others])
    return MountCommand(
        source=parsed.source,
        mountpoint=parsed.mountpoint,
        settings=tuple(parsed.settings),
        kernel_options=tuple(parsed.kernel_options),
        config_path=parsed.config_path,
    )


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing and exiting, so that there is one place where errors end."""

    def error(self, message: str) -> NoReturn:
        for theirs, ours in _CLEARER:
            message = message.replace(theirs, ours)
        raise UsageError(f"{message}; mountfs --help lists all options")


class _TakeSetting(argparse.Action):
    """Parse the value of an option of the table and append it to the settings."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert option_string is not None
        text = values if isinstance(values, str) else "true"
        namespace.settings.append(parse_setting(option_string[2:], text, option_string))


class _TakeMountOptions(argparse.Action):
    """Sort out the words of ``-o``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, str)
        options = parse_mount_options(values)
        namespace.settings.extend(options.settings)
        namespace.kernel_options.extend(options.kernel)
        if options.config_path is not None:
            namespace.config_path = options.config_path


def _parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], names: Sequence[str]
) -> argparse.Namespace:
    parsed, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        option, _, value = unknown[0].partition("=")
        if not option.startswith("-"):
            raise UsageError(f"unexpected argument {option!r}; mountfs --help shows the usage")
        near = difflib.get_close_matches(option.lstrip("-"), names, n=1, cutoff=0.5)
        suggestion = f"did you mean --{near[0]}? " if near else ""
        given = f" (value {value!r})" if value else ""
        raise UsageError(
            f"unknown option {option}{given}; {suggestion}mountfs --help lists all options"
        )
    return parsed


def _unknown_command(word: str) -> str:
    near = difflib.get_close_matches(word.lower(), COMMAND_NAMES, n=1)
    suggestion = f"did you mean {near[0]}? " if near else ""
    *most, last = COMMAND_NAMES
    return (
        f"unknown command {word!r}; {suggestion}commands are {', '.join(most)} and {last}; "
        "a bucket is mounted with: mountfs s3://BUCKET MOUNTPOINT"
    )


def _mountpoint(text: str) -> str:
    """Refuse what a script makes of a variable that is not set: it would be the directory here."""
    if not text:
        raise UsageError("MOUNTPOINT is empty; name the directory, which may be .")
    return text


def _new_parser(**settings: Any) -> _Parser:
    return _Parser(
        allow_abbrev=False,  # a script must not break because a later version has more options
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=34
        ),
        **settings,
    )


def _mount_parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:<4d}{meaning}" for code, meaning in MEANINGS.items())
    parser = _new_parser(
        prog="mountfs", usage=_USAGE, description=_DESCRIPTION, epilog=_EPILOG + codes
    )
    parser.set_defaults(settings=[], kernel_options=[], config_path=None)
    parser.add_argument("source", metavar="SOURCE", help="s3://bucket or s3://bucket/prefix")
    parser.add_argument(
        "mountpoint", metavar="MOUNTPOINT", type=_mountpoint, help="a directory that exists"
    )
    parser.add_argument("--version", action="version", version=f"mountfs {__version__}")
    groups = {topic: parser.add_argument_group(topic.value) for topic in Topic}
    for option in OPTIONS:
        _add_option(groups[option.topic], option)
    groups[Topic.PROCESS].add_argument(
        "--config", metavar="FILE", dest="config_path", help="configuration file (see below)"
    )
    groups[Topic.MOUNT].add_argument(
        "-o", metavar="NAME[=VALUE],...", action=_TakeMountOptions,
        help="options as in /etc/fstab: those above, and the kernel's, e.g. ro,noexec,_netdev",
    )  # fmt: skip
    return parser


def _add_option(group: argparse._ArgumentGroup, option: Option) -> None:
    default = default_of(option.field)
    if not option.is_flag:
        shown = option.default_help or option.kind.format(default)
        group.add_argument(
            f"--{option.name}", metavar=option.kind.metavar, action=_TakeSetting,
            help=f"{option.help} (default: {shown})".replace("%", "%%"),
        )  # fmt: skip
        return
    # The form that changes something is shown, the other one is understood.
    names = [f"--{option.name}", f"--no-{option.name}"]
    shown_name, hidden_name = reversed(names) if default else names
    group.add_argument(shown_name, nargs=0, action=_TakeSetting, help=option.help)
    group.add_argument(hidden_name, nargs=0, action=_TakeSetting, help=argparse.SUPPRESS)


def _umount_parser(name: str) -> argparse.ArgumentParser:
    parser = _new_parser(
        prog=f"mountfs {name}",
        description="Unmount, or say who holds the mount; return when everything is published and "
        "the mount process has ended.",
    )
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", type=_mountpoint)
    parser.add_argument(
        "--lazy", "-z", action="store_true", help="detach at once, even if the mount is in use"
    )
    return parser


def _sync_parser() -> argparse.ArgumentParser:
    parser = _new_parser(
        prog=f"mountfs {SYNC_NAME}",
        description="Publish what was changed through a mount; return when the bucket has it, with "
        "--write-back too.",
    )
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", type=_mountpoint)
    return parser


def _status_parser() -> argparse.ArgumentParser:
    parser = _new_parser(
        prog=f"mountfs {STATUS_NAME}",
        description="Show all mounts of this host with their figures.",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    return parser
