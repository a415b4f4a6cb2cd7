"""The configuration of one mount: composed of the components' own, and checked.

Four places are asked, the first that says something wins: the command line, ``MOUNTFS_*``
variables, the configuration file, the component's default. This module imports neither trio nor
awscrt nor boto3, since it runs before the fork.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mountfs.attributes import AttributesConfig
from mountfs.command.config_check import check_config
from mountfs.command.host_memory import default_memory_limit_bytes
from mountfs.command.options import ENVIRONMENT_PREFIX, OPTIONS, Setting, parse_setting
from mountfs.command.quantities import MODE
from mountfs.data.config import ReadConfig, WriteConfig
from mountfs.errors import UsageError
from mountfs.keys import KEY_MAX_BYTES, encode_name, is_presentable
from mountfs.log import LogConfig, state_folder
from mountfs.meta.config import MetadataConfig
from mountfs.store.config import S3Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"
"""Names the configuration file, as ``--config`` does."""

SYSTEM_FILE = Path("/etc/mountfs.toml")

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is mounted.

    Attributes:
        bucket: its name.
        prefix: of the keys that are shown; empty, or ends with ``/``.
    """

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountConfig:
    """Everything that one mount needs to know.

    Attributes:
        source: what is mounted.
        mountpoint: an absolute path.
        store, metadata, read, write, attributes, log: of the components.
        attributes_mode: ``posix`` keeps owner, mode, times, links and ``user.*`` attributes with
            the objects; ``default`` does not.
        version_at_ns: show the bucket as it was then, in ns since the epoch; None: as it is.
        read_only: the kernel refuses every change.
        allow_other: other users may enter the mount.
        kernel_options: mount options that are for the kernel, e.g. ``noexec``.
        foreground: do not go to the background.
        unmount_grace_seconds: after a signal, how long a busy mount is waited for.
        origins: option name to where its value came from; options that are not in it have their
            default.
    """

    source: Source
    mountpoint: str
    store: S3Config
    metadata: MetadataConfig
    read: ReadConfig
    write: WriteConfig = field(default_factory=WriteConfig)
    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    log: LogConfig = field(default_factory=LogConfig)
    attributes_mode: str = "default"
    version_at_ns: int | None = None
    read_only: bool = False
    allow_other: bool = False
    kernel_options: tuple[str, ...] = ()
    foreground: bool = False
    unmount_grace_seconds: float = 10.0
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_posix(self) -> bool:
        """Tell whether POSIX attributes are kept with the objects."""
        return self.attributes_mode == "posix"


def parse_source(text: str) -> Source:
    """Return the source that ``s3://bucket/prefix`` names; the prefix is taken as a folder.

    Raises:
        UsageError: it names none.
    """
    scheme, separator, rest = text.partition("://")
    if scheme != "s3" or not separator:
        raise UsageError(f"source {text!r} is not of the form s3://bucket or s3://bucket/prefix")
    bucket, _, path = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"source {text!r}: {bucket!r} is no name of a bucket")
    path = path.strip("/")
    names = [encode_name(part) for part in path.split("/")] if path else []
    if not all(is_presentable(name) for name in names) or len(encode_name(path)) >= KEY_MAX_BYTES:
        raise UsageError(
            f"source {text!r}: a prefix has no empty part, '.' or '..', parts of at most 255 bytes "
            f"and at most {KEY_MAX_BYTES - 1} bytes in all"
        )
    return Source(bucket=bucket, prefix=f"{path}/" if path else "")


def find_file(
    explicit: str | None, environment: Mapping[str, str], system_file: Path = SYSTEM_FILE
) -> Path | None:
    """Return the configuration file to read; None if there is none.

    Args:
        explicit: what ``--config`` says; it must exist.
        environment: asked for `CONFIG_VARIABLE` (must exist), ``XDG_CONFIG_HOME`` and ``HOME``.
        system_file: used when the user has none.
    """
    named = explicit or environment.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(
        environment.get("HOME", "/"), ".config"
    )
    for path in (Path(home) / "mountfs.toml", system_file):
        if path.is_file():
            return path
    return None


def read_file(path: Path) -> list[Setting]:
    """Return the settings of a configuration file: a flat TOML table of option names.

    Raises:
        UsageError: it cannot be read, is not TOML, or holds a name or value that is not allowed.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"configuration file {path} is not TOML: {error}") from error
    settings = []
    for name, value in table.items():
        setting = parse_setting(name, _text_of(value), f"{path}: {name}")
        if setting.option.kind is MODE and not isinstance(value, str):
            # 644 and 0o644 are both numbers to TOML, and only one of them is meant.
            raise UsageError(f'{path}: {name}: write the mode as a text, e.g. "0644"')
        settings.append(setting)
    return settings


def read_environment(environment: Mapping[str, str]) -> list[Setting]:
    """Return the settings of the ``MOUNTFS_*`` variables.

    Raises:
        UsageError: one of them is unknown or holds a value that is not allowed.
    """
    return [
        parse_setting(
            name.removeprefix(ENVIRONMENT_PREFIX), text, name, spelling=f"{ENVIRONMENT_PREFIX}{{}}"
        )
        for name, text in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_VARIABLE
    ]


def compose(
    source: Source,
    mountpoint: str,
    layers: Iterable[Iterable[Setting]],
    kernel_options: tuple[str, ...] = (),
) -> MountConfig:
    """Return the configuration that *layers* make.

    Args:
        source: what to mount.
        mountpoint: where, an absolute path.
        layers: the weakest first; within a layer the last setting of an option wins.
        kernel_options: for the kernel, as they are.

    Raises:
        UsageError: values that are allowed by themselves do not go together.
    """
    settings = {setting.option.name: setting for layer in layers for setting in layer}
    parts: dict[str, dict[str, Any]] = {
        "store": {"bucket": source.bucket},
        "metadata": {"prefix": source.prefix},
        "read": {"memory_limit_bytes": default_memory_limit_bytes()},
        "write": {"cache_dir": default_cache_dir(os.environ)},
        "attributes": {},
        "log": {},
        "": {},
    }
    for setting in settings.values():
        component, _, name = setting.option.field.rpartition(".")
        parts[component][name] = setting.value
    config = MountConfig(
        source=source,
        mountpoint=mountpoint,
        store=S3Config(**parts["store"]),
        metadata=MetadataConfig(**parts["metadata"]),
        read=ReadConfig(**parts["read"]),
        write=WriteConfig(**parts["write"]),
        attributes=AttributesConfig(**parts["attributes"]),
        log=LogConfig(**parts["log"]),
        kernel_options=kernel_options,
        origins={name: setting.origin for name, setting in settings.items()},
        **parts[""],
    )
    return check_config(config)


def default_cache_dir(environment: Mapping[str, str], uid: int | None = None) -> str:
    """Return where staged data lies unless told otherwise.

    Among what programs keep, not among caches: those may be cleared by anybody, and what lies here
    may be the only copy of somebody's file.
    """
    uid = os.getuid() if uid is None else uid
    if uid == 0:
        return WriteConfig().cache_dir
    if not environment.get("XDG_STATE_HOME") and not os.path.isdir(environment.get("HOME", "")):
        return f"/var/tmp/mountfs-{uid}"  # services and containers; it outlives a reboot
    return str(state_folder(environment, uid) / "staging")


def value_of(config: MountConfig, path: str) -> Any:
    """Return the value at ``component.field``."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def default_of(path: str) -> Any:
    """Return the default of ``component.field``, as its dataclass has it."""
    component, _, name = path.rpartition(".")
    owner = {
        "": MountConfig,
        "store": S3Config,
        "metadata": MetadataConfig,
        "read": ReadConfig,
        "write": WriteConfig,
        "attributes": AttributesConfig,
        "log": LogConfig,
    }[component]
    found = {item.name: item for item in dataclasses.fields(owner)}[name]
    if found.default_factory is not dataclasses.MISSING:
        return found.default_factory()
    return found.default


def effective_toml(config: MountConfig) -> str:
    """Return *config* as a configuration file, with where each value came from; no secrets."""
    lines = [f"# {_toml_of(str(config.source))} on {_toml_of(config.mountpoint)}"]
    topic = None
    for option in OPTIONS:
        if option.topic is not topic:
            topic = option.topic
            lines += ["", f"# {topic.value}"]
        value = value_of(config, option.field)
        origin = config.origins.get(option.name, "default")
        if value is None or value == "":
            lines.append(f"# {option.name} is not set: {option.default_help}")
        else:
            lines.append(f"{option.name} = {_toml_of(option.kind.format(value))}  # {origin}")
    return "\n".join(lines) + "\n"


def _text_of(value: object) -> str:
    """Return a TOML value as it would stand on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml_of(text: str) -> str:
    escaped = "".join(
        char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in text
    )
    return f'"{escaped}"'
