"""How a single attribute is written as text: what s3fs-fuse and rclone write, read in all forms.

Nothing here raises: what means nothing is None.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from mountfs.vfs.posix_rules import TIME_LIMIT_SECONDS, clamp_time_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_MAX = (1 << 32) - 2
"""The largest user or group id; the one above means "leave it as it is"."""

_FILE_TYPES = frozenset(
    (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SECONDS = re.compile(r"([+-]?)([0-9]{1,11})(?:\.([0-9]*))?", re.ASCII)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))",
    re.ASCII,
)


def format_time_ns(time_ns: int) -> str:
    """Return a time as s3fs and rclone read it."""
    seconds, nanoseconds = divmod(abs(clamp_time_ns(time_ns)), 1_000_000_000)
    return f"{'-' if time_ns < 0 else ''}{seconds}.{nanoseconds:09d}"


def parse_time_ns(text: str | None) -> int | None:
    """Return a time in any of the forms that are written, or None."""
    text = (text or "").strip()
    if match := _SECONDS.fullmatch(text):
        sign, seconds, fraction = match.groups()
        time_ns = int(seconds) * 1_000_000_000 + _fraction_ns(fraction)
        if int(seconds) >= TIME_LIMIT_SECONDS:
            return None
        return -time_ns if sign == "-" else time_ns
    if match := _RFC3339.fullmatch(text):
        *civil, fraction, sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        try:
            year, month, day, hour, minute, second = map(int, civil)
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        since_epoch = moment - _EPOCH + (offset if sign == "-" else -offset)
        seconds_since = since_epoch.days * 86_400 + since_epoch.seconds
        if abs(seconds_since) < TIME_LIMIT_SECONDS:
            return seconds_since * 1_000_000_000 + _fraction_ns(fraction)
    return None


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "")[:9].ljust(9, "0"))


def parse_mode(text: str | None, is_directory: bool, *, is_decimal: bool) -> int | None:
    """Return the mode that *text* means: in decimal (s3fs) or octal (rclone).

    Few texts are possible as both. Of two possible readings, one with a file type is better; and
    when the writer is not known to be s3fs or us (*is_decimal*), so is one with the bits that
    files of that type have: links have all permissions, special files no set-uid, set-gid or sticky
    bit.
    """
    text = (text or "").strip()
    if not re.fullmatch(r"[0-9]{1,8}", text, re.ASCII):
        return None
    readings = [] if len(text) > 1 and text.startswith("0") else [int(text)]
    if re.fullmatch(r"[0-7]+", text, re.ASCII):
        readings.append(int(text, 8))
    best: tuple[bool, bool, int] | None = None
    for mode in readings:  # of two that are equally good, the first
        kind = stat.S_IFMT(mode)
        if mode > 0o177777 or (
            kind and (kind != stat.S_IFDIR if is_directory else kind not in _FILE_TYPES)
        ):
            continue
        whole = mode if kind else mode | (stat.S_IFDIR if is_directory else stat.S_IFREG)
        reading = (kind != 0, is_decimal or _is_usual(whole), whole)
        if best is None or reading[:2] > best[:2]:
            best = reading
    return best[2] if best else None


def _is_usual(mode: int) -> bool:
    if stat.S_ISLNK(mode):
        return stat.S_IMODE(mode) == 0o777
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or not mode & 0o7000


def parse_id(text: str | None) -> int | None:
    """Return a user or group id."""
    text = (text or "").strip()
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII):
        return None
    return int(text) if int(text) <= ID_MAX else None


def format_rdev(rdev: int) -> str:
    """Return the number of a device as rclone writes it."""
    return f"{rdev:x}"


def parse_rdev(text: str | None) -> int | None:
    """Return the number of a device, as wide as the kernel's."""
    text = (text or "").strip()
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]{1,8}", text, re.ASCII) else None


def format_xattrs(xattrs: Mapping[bytes, bytes]) -> str:
    """Return them as s3fs writes them: without blanks, which it would take for part of a name."""
    pairs = {
        name.decode("utf-8", "surrogateescape"): base64.b64encode(value).decode("ascii")
        for name, value in sorted(xattrs.items())
    }
    text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
    return quote(text, safe="", errors="surrogateescape")


def parse_xattrs(text: str | None) -> dict[bytes, bytes] | None:
    """Return the extended attributes; none if there is no text, None if it means nothing."""
    if not text or not text.strip():
        return {}
    try:
        pairs = json.loads(unquote(text, errors="surrogateescape"), strict=False)
        return {
            name.encode("utf-8", "surrogateescape"): base64.b64decode(value, validate=True)
            for name, value in pairs.items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        return None
