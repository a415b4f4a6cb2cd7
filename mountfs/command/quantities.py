"""Read and write the values of options: sizes, durations, modes, booleans.

One `Kind` is both directions of one type: text as a person writes it (on the command line, in a
variable, in the file, in ``/etc/fstab``) to a value, and back. A parser raises `ValueError` and
says nothing about the option; whoever called it knows the option's name and adds it.
"""

from __future__ import annotations

import grp
import math
import os
import pwd
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mountfs.ttl import Ttl

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_WORD = re.compile(r"[A-Za-z0-9_.:/+=@-]+")
_UNIT_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BOOLEANS = {
    "true": True, "1": True, "yes": True, "on": True,
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip
_MODE_MAX = 0o7777


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of option.

    Attributes:
        metavar: how ``--help`` calls the value.
        allowed: what an error says is allowed.
        parse: text to value; raises `ValueError`.
        format: value to a text that `parse` takes.
    """

    metavar: str
    allowed: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str


def parse_size(text: str) -> int:
    """Return the bytes of ``512M``, ``4G``, ``1GiB`` or ``1048576``; units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    return int(float(number) * _UNIT_BYTES[unit.upper()]) if unit else int(number)


def format_size(size_bytes: int) -> str:
    """Return the shortest exact text for *size_bytes*; the inverse of `parse_size`."""
    for unit, unit_bytes in reversed(_UNIT_BYTES.items()):
        if size_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes}{unit}"
    return str(size_bytes)


def describe_bytes(size_bytes: float) -> str:
    """Return *size_bytes* for people, e.g. ``1.5 GiB``."""
    if size_bytes < 1024:
        return f"{int(size_bytes)} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def parse_duration(text: str) -> float:
    """Return the seconds of ``60``, ``60s``, ``5m``, ``1h`` or ``250ms``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    return float(number) * _UNIT_SECONDS[unit or "s"]


def parse_positive_duration(text: str) -> float:
    """Return the seconds of *text*; more than 0."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(text)
    return seconds


def format_duration(seconds: float) -> str:
    """Return a text for *seconds*; the inverse of `parse_duration`."""
    if math.isinf(seconds):
        return "inf"
    # repr would say 1e-05, which no duration is written like.
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def parse_ttl(text: str) -> Ttl:
    """Return the TTL of a duration or ``inf``."""
    return Ttl(math.inf if text.strip() == "inf" else parse_duration(text))


def parse_boolean(text: str) -> bool:
    """Return the truth of ``true/false``, ``yes/no``, ``on/off`` or ``1/0``."""
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def parse_mode(text: str) -> int:
    """Return the permission bits of an octal text such as ``644``, ``0644`` or ``0o644``."""
    mode = int(text, 8)
    if not 0 <= mode <= _MODE_MAX:
        raise ValueError(text)
    return mode


def parse_positive_number(text: str) -> float:
    """Return a finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def parse_url(text: str) -> str:
    """Return *text* if it is an ``http`` or ``https`` address without credentials in it."""
    parts = urlsplit(text)
    # An @ behind the host is the end of a password that holds a / or a ?.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in text:
        raise ValueError(text)
    if parts.port == 0:  # reading it raises if it is no number
        raise ValueError(text)
    return text.rstrip("/")


def parse_text(text: str) -> str:
    """Return *text* if there is any."""
    if not text:
        raise ValueError(text)
    return text


def parse_path(text: str) -> str:
    """Return *text* as an absolute path, since the mount process leaves the current directory."""
    return os.path.abspath(os.path.expanduser(parse_text(text)))


def parse_readable_file(text: str) -> str:
    """Return *text* as the absolute path of a file that can be read."""
    path = parse_path(text)
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise ValueError(text)
    return path


def parse_uid(text: str) -> int:
    """Return the number of a user, given as a number or a name."""
    return _parse_id(text, lambda name: pwd.getpwnam(name).pw_uid)


def parse_gid(text: str) -> int:
    """Return the number of a group, given as a number or a name."""
    return _parse_id(text, lambda name: grp.getgrnam(name).gr_gid)


def _parse_id(text: str, look_up: Callable[[str], int]) -> int:
    if text.isascii() and text.isdigit():
        number = int(text)
        # (uid_t) -1 means "no change" to the kernel, so it is nobody's.
        if number >= 2**32 - 1:
            raise ValueError(text)
        return number
    try:
        return look_up(text)
    except KeyError:
        raise ValueError(text) from None


def parse_count(text: str) -> int:
    """Return a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def parse_word(text: str) -> str:
    """Return *text* if it is one word that can stand in a header."""
    if not _WORD.fullmatch(text):
        raise ValueError(text)
    return text


def choice(*allowed: str, metavar: str | None = None) -> Kind:
    """Return the kind of an option that takes one of a few words.

    Args:
        allowed: the words.
        metavar: how ``--help`` calls the value; None shows the words themselves.
    """

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return Kind(metavar=metavar or "|".join(allowed), allowed=", ".join(allowed), parse=parse)


SIZE = Kind(
    metavar="SIZE",
    allowed="a size such as 512M, 4G or 1GiB",
    parse=parse_size,
    format=format_size,
)
DURATION = Kind(
    metavar="DURATION",
    allowed="a duration above 0 such as 60, 60s or 5m",
    parse=parse_positive_duration,
    format=format_duration,
)
TTL = Kind(
    metavar="DURATION",
    allowed="a duration such as 0, 60s or 5m, or inf",
    parse=parse_ttl,
    format=lambda ttl: format_duration(ttl.seconds),
)
BOOLEAN = Kind(
    metavar="BOOL",
    allowed="true or false (yes/no, on/off, 1/0)",
    parse=parse_boolean,
    format=lambda value: "true" if value else "false",
)
MODE = Kind(
    metavar="MODE",
    allowed="octal permission bits such as 0644",
    parse=parse_mode,
    format=lambda mode: format(mode, "04o"),
)
NUMBER = Kind(
    metavar="N",
    allowed="a number above 0",
    parse=parse_positive_number,
    format=lambda number: repr(number).removesuffix(".0"),
)
URL = Kind(
    metavar="URL",
    allowed="an address such as http://host:port, without a user name or password",
    parse=parse_url,
)
TEXT = Kind(metavar="NAME", allowed="a word", parse=parse_text)
WORD = Kind(metavar="NAME", allowed="a word of letters, digits and _.:/+=@-", parse=parse_word)
COUNT = Kind(metavar="N", allowed="a whole number, 0 or more", parse=parse_count)
DIRECTORY = Kind(metavar="DIR", allowed="a path", parse=parse_path)
PATH = Kind(metavar="FILE", allowed="a path", parse=parse_path)
READABLE_FILE = Kind(
    metavar="FILE", allowed="the path of a file that can be read", parse=parse_readable_file
)
UID = Kind(metavar="USER", allowed="a user's name or number", parse=parse_uid)
GID = Kind(metavar="GROUP", allowed="a group's name or number", parse=parse_gid)
