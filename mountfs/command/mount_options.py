"""The options of ``-o``: what ``/etc/fstab`` and mount(8) say, sorted by whom it is for.

A word is one of three: for us (an option of the table, with ``-`` or ``_``), for the kernel (handed
on), or for somebody else (mount(8), systemd, libfuse of old), and then it is taken without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mountfs.command.options import (
    Setting,
    find_option,
    normalize_name,
    parse_setting,
    unknown_option,
)
from mountfs.errors import UsageError

FOR_THE_KERNEL = frozenset(("noexec", "noatime", "sync", "dirsync"))
"""Handed to fusermount3, which knows these and refuses what it does not know."""

FOR_OTHERS = frozenset((
    "defaults", "rw", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail",
    "_netdev", "dev", "nodev", "suid", "nosuid", "exec", "async", "default_permissions", "nonempty",
    "atime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "lazytime", "nolazytime", "symfollow", "nosymfollow", "iversion", "noiversion", "mand",
    "nomand", "silent", "loud",
))  # fmt: skip
"""Already so, of no use here, or for mount(8). mount(8) says ``rw`` whenever nothing is said, so it
must not override a ``read-only`` of the configuration file; nodev and nosuid always hold."""

VALUES_FOR_OTHERS = frozenset(("user", "comment", "uhelper", "helper"))
"""The same with a value, e.g. ``user=alice``, which mount(8) adds."""

CONFIG = "config"
"""The one option that is not in the table: it says where the table's values are."""

_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """What one ``-o`` says.

    Attributes:
        settings: for us, in order.
        kernel: for the kernel, in order.
        config_path: of the configuration file; None when it was not named.
    """

    settings: tuple[Setting, ...]
    kernel: tuple[str, ...]
    config_path: str | None


def parse_mount_options(text: str) -> MountOptions:
    r"""Return what ``a,b=c`` says; a comma in a value is written ``\,``.

    Raises:
        UsageError: a word is unknown, or a value is not allowed.
    """
    settings: list[Setting] = []
    kernel: list[str] = []
    config_path: str | None = None
    for word in _COMMA.split(text):
        name, separator, value = word.replace("\\,", ",").partition("=")
        name = name.strip()
        if not name or name.startswith("x-"):
            continue
        if separator and name in VALUES_FOR_OTHERS:
            continue
        if not separator and name in FOR_THE_KERNEL:
            kernel.append(name)
        elif not separator and name in FOR_OTHERS:
            continue
        elif normalize_name(name) == CONFIG and separator:
            config_path = value
        else:
            settings.append(_parse_word(name, value if separator else None))
    return MountOptions(settings=tuple(settings), kernel=tuple(kernel), config_path=config_path)


def _parse_word(name: str, value: str | None) -> Setting:
    origin = f"-o {name}"
    if name == "ro":
        return parse_setting("read-only", "true" if value is None else value, origin)
    found = find_option(name)
    if found is None:
        others = FOR_THE_KERNEL | FOR_OTHERS | {"ro", CONFIG}
        raise UsageError(unknown_option(origin, value, name, spelling="-o {}", others=others))
    if value is None:
        if not found[0].is_flag:
            raise UsageError(f"{origin} needs a value: {found[0].kind.allowed}")
        value = "true"
    return parse_setting(name, value, origin, spelling="-o {}")
