"""The one table of options: what there is, what it is called, what it means.

The command line, ``-o``, ``MOUNTFS_*`` variables, the configuration file, ``--help`` and
``.mountfs/config`` are all made from it. Defaults are those of the components' own configs, and
stand there only.
"""

from __future__ import annotations

import difflib
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mountfs.command.past_time import PAST_TIME
from mountfs.command.quantities import (
    BOOLEAN,
    COUNT,
    DIRECTORY,
    DURATION,
    GID,
    MODE,
    NUMBER,
    PATH,
    READABLE_FILE,
    SIZE,
    TEXT,
    TTL,
    UID,
    URL,
    WORD,
    Kind,
    choice,
)
from mountfs.errors import UsageError
from mountfs.log import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable

ENVIRONMENT_PREFIX = "MOUNTFS_"

CANNED_ACLS = (
    "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read",
    "bucket-owner-read", "bucket-owner-full-control",
)  # fmt: skip
"""Those that an object may have."""


class Topic(enum.Enum):
    """The groups of ``--help``."""

    STORE = "Store: where the bucket is and who asks"
    METADATA = "Metadata: names, owners, freshness"
    READING = "Reading: memory and requests"
    WRITING = "Writing: durability, conflicts, what objects are stored as"
    MOUNT = "Mount: what the kernel and other users see"
    PROCESS = "Process: background, log, configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        name: as on the command line, without ``--``.
        topic: its group in ``--help``.
        kind: its type.
        field: where the value goes: ``component.field``, a path from `MountConfig`.
        help: one sentence; of a flag, for the form that does not say what is the default anyway.
        default_help: what ``--help`` says of the default where the value alone says too little.
    """

    name: str
    topic: Topic
    kind: Kind
    field: str
    help: str
    default_help: str = ""

    @property
    def is_flag(self) -> bool:
        """Tell whether it takes no value on the command line; then ``no-NAME`` exists, too."""
        return self.kind is BOOLEAN

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")


def _option(
    topic: Topic, name: str, kind: Kind, field: str, help_: str, default_help: str = ""
) -> Option:
    return Option(
        name=name, topic=topic, kind=kind, field=field, help=help_, default_help=default_help
    )


_S, _M, _R, _W = Topic.STORE, Topic.METADATA, Topic.READING, Topic.WRITING
_K, _P = Topic.MOUNT, Topic.PROCESS

# fmt: off
OPTIONS: tuple[Option, ...] = (
    _option(_S, "profile", TEXT, "store.profile",
            "profile of the AWS configuration files", "the usual credential chain"),
    _option(_S, "sign-request", BOOLEAN, "store.sign_requests",
            "read a public bucket, without credentials"),
    _option(_S, "region", TEXT, "store.region",
            "region of the bucket", "asked of the bucket"),
    _option(_S, "endpoint-url", URL, "store.endpoint_url",
            "address of a store that is not AWS", "AWS"),
    _option(_S, "addressing-style", choice("auto", "path", "virtual"), "store.addressing",
            "where requests name the bucket; auto is path for IP addresses and localhost"),
    _option(_S, "ca-bundle", READABLE_FILE, "store.ca_bundle",
            "PEM file of certificate authorities", "the system's"),
    _option(_S, "verify-ssl", BOOLEAN, "store.verify_ssl",
            "accept any certificate"),
    _option(_S, "requester-pays", BOOLEAN, "store.requester_pays",
            "pay for requests to somebody else's bucket"),
    _option(_S, "deadline", DURATION, "store.deadline_seconds",
            "time for one operation with all of its retries"),
    _option(_M, "metadata-ttl", TTL, "metadata.ttl",
            "how long listings are believed: 0 asks every time, inf means that nothing changes"),
    _option(_M, "uid", UID, "attributes.uid",
            "owner of everything", "who mounts"),
    _option(_M, "gid", GID, "attributes.gid",
            "group of everything", "that of who mounts"),
    _option(_M, "file-mode", MODE, "attributes.file_mode",
            "permissions of files"),
    _option(_M, "dir-mode", MODE, "attributes.dir_mode",
            "permissions of directories"),
    _option(_M, "attributes", choice("default", "posix"), "attributes_mode",
            "posix keeps owners, modes, times, links and user.* attributes with the objects"),
    _option(_M, "version-at", PAST_TIME, "version_at_ns",
            "show a versioned bucket as it was then, read-only; e.g. 2026-01-31T12:00Z or 2h (ago)",
            "now"),
    _option(_R, "memory-limit", SIZE, "read.memory_limit_bytes",
            "memory for all object data of the mount", "a quarter of the memory, at most 4G"),
    _option(_R, "max-read-ahead", SIZE, "read.max_read_ahead_bytes",
            "how far one sequential reader is read ahead; twice as far where all files are read"),
    _option(_R, "part-size", SIZE, "store.part_size_bytes",
            "largest single request for data"),
    _option(_R, "throughput-target-gbps", NUMBER, "store.throughput_target_gbps",
            "gigabits a second to aim for"),
    _option(_W, "write-back", BOOLEAN, "write.write_back",
            "close returns when the data is safe in --cache-dir; it is uploaded in the background, "
            "if need be by the next mount"),
    _option(_W, "cache-dir", DIRECTORY, "write.cache_dir",
            "staging directory, on a local disk: what does not fit into memory, and what "
            "--write-back has not uploaded yet", "/var/lib/mountfs, or ~/.local/state/mountfs"),
    _option(_W, "warn-after", DURATION, "write.warn_after_seconds",
            "with --write-back: complain loudly about what waits longer than that"),
    _option(_W, "conflict", choice("overwrite", "fail"), "write.conflict",
            "if somebody else has changed the object meanwhile: the last one wins, or ESTALE"),
    _option(_W, "rename-dir-limit", COUNT, "write.rename_dir_limit",
            "objects that the rename of one directory may copy at most"),
    _option(_W, "storage-class", WORD, "store.storage_class",
            "of what is written, e.g. INTELLIGENT_TIERING", "the bucket's"),
    _option(_W, "sse", choice("AES256", "aws:kms", "aws:kms:dsse"), "store.sse",
            "encryption by the store of what is written", "the bucket's"),
    _option(_W, "sse-kms-key-id", WORD, "store.sse_kms_key_id",
            "key for --sse aws:kms", "the account's"),
    _option(_W, "acl", choice(*CANNED_ACLS, metavar="ACL"), "store.acl",
            "canned ACL of what is written, e.g. bucket-owner-full-control", "none"),
    _option(_K, "read-only", BOOLEAN, "read_only",
            "refuse every change in the kernel, which also makes opening a file cheap"),
    _option(_K, "allow-other", BOOLEAN, "allow_other",
            "let other users enter the mount"),
    _option(_K, "unmount-grace", DURATION, "unmount_grace_seconds",
            "after SIGTERM, how long to wait for a busy mount before it is detached"),
    _option(_P, "foreground", BOOLEAN, "foreground",
            "stay in the foreground and log to stderr"),
    _option(_P, "log-level", choice(*LEVELS), "log.level",
            "least severe lines to log"),
    _option(_P, "log-file", PATH, "log.file",
            "file for the log", "syslog or journal; stderr in the foreground"),
)
# fmt: on


def normalize_name(text: str) -> str:
    """Return the spelling of the table for ``read_only``, ``READ-ONLY`` and ``read-only``."""
    return text.strip().lower().replace("_", "-")


def find_option(name: str) -> tuple[Option, bool] | None:
    """Return the option called *name* (None: there is none), and whether it is the ``no-`` form."""
    name = normalize_name(name)
    for option in OPTIONS:
        if name == option.name:
            return option, False
        if option.is_flag and name == f"no-{option.name}":
            return option, True
    return None


def option_names() -> list[str]:
    """Return all names, ``no-`` forms included."""
    return [
        name
        for option in OPTIONS
        for name in ((option.name, f"no-{option.name}") if option.is_flag else (option.name,))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value that somebody gave to an option.

    Attributes:
        option: which one.
        value: parsed.
        origin: where it was given, e.g. ``MOUNTFS_REGION`` or ``/etc/mountfs.toml: region``.
    """

    option: Option
    value: Any
    origin: str


def parse_setting(name: str, text: str, origin: str, *, spelling: str = "{}") -> Setting:
    """Return the setting that gives *text* to the option called *name*.

    Args:
        name: of an option, or its ``no-`` form.
        text: the value.
        origin: what an error calls the option.
        spelling: how the nearest name is written there, e.g. ``--{}``.

    Raises:
        UsageError: no option has this name, or *text* is none of its values.
    """
    found = find_option(name)
    if found is None:
        raise UsageError(unknown_option(origin, text, name, spelling=spelling))
    option, is_negated = found
    try:
        value = option.kind.parse(text)
    except ValueError:
        # An address may hold a password, which is everything before the @ at worst.
        user, _, host = text.rpartition("@")
        shown = f"***@{host}" if user and option.kind is URL else text
        raise UsageError(f"{origin}: {shown!r} is not {option.kind.allowed}") from None
    return Setting(option=option, value=(not value) if is_negated else value, origin=origin)


def unknown_option(
    origin: str,
    text: str | None,
    name: str,
    *,
    spelling: str = "{}",
    others: Iterable[str] = (),
) -> str:
    """Return the message for an option that does not exist, with the nearest one that does.

    Args:
        origin: as it was written.
        text: the value that was given; None if none was.
        name: the part of *origin* that was meant as a name.
        spelling: how a name is written there.
        others: further names that are allowed there.
    """
    value = "" if text is None else f" (value {text!r})"
    near = difflib.get_close_matches(
        normalize_name(name), [*option_names(), *others], n=1, cutoff=0.5
    )
    suggestion = f"did you mean {spell(near[0], spelling)}? " if near else ""
    return f"unknown option {origin}{value}; {suggestion}mountfs --help lists all options"


def spell(name: str, spelling: str) -> str:
    """Return *name* as it is written in a variable, a file or on the command line."""
    if spelling.startswith(ENVIRONMENT_PREFIX):
        name = name.upper().replace("-", "_")
    return spelling.format(name)
