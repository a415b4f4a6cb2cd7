"""One number for many contents with their names, in whatever order they came."""

from __future__ import annotations

import zlib


def fingerprint(name: str, content: bytes) -> int:
    """Return the number of one content; those of several are added up."""
    return zlib.crc32(content, zlib.crc32(name.encode()))
