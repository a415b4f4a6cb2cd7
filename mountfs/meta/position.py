"""Places in a directory's order, and how to ask a store to begin at one of them.

A position is a relative key as bytes (see `mountfs.meta.coverage`). A store begins a LIST *behind*
a key (``start-after``), so beginning *at* a position needs a key just before it.
"""

from __future__ import annotations

from mountfs.keys import decode_name

_LAST_CHARACTER = "\U0010ffff"
"""The greatest character: allowed in keys, in URLs and in XML."""

_FIRST_SAFE_CODE = 0x20
"""XML cannot hold most control characters, and some stores echo ``start-after`` as it came."""

_SURROGATES = range(0xD800, 0xE000)


def after_file(key: bytes) -> bytes:
    """Return the first position behind the file at *key*."""
    return key + b"\0"


def after_directory(name: bytes) -> bytes:
    """Return the first position behind everything in the subdirectory *name*."""
    return name + b"0"  # "0" follows "/"


def after_entry(entry_key: bytes) -> bytes:
    """Return the first position behind an entry, a file's or a directory's."""
    if entry_key.endswith(b"/"):
        return after_directory(entry_key[:-1])
    return after_file(entry_key)


def start_after(position: bytes) -> str:
    """Return a key to list behind, such that the listing begins at *position* or a little before.

    Nothing but oddities lies between the two; whoever applies the answer ignores them.
    """
    if position.endswith(b"\0"):
        return decode_name(position[:-1])
    text = decode_name(position)
    if not text:
        return ""
    code = ord(text[-1]) - 1
    if code < _FIRST_SAFE_CODE or code in _SURROGATES or code + 1 in _SURROGATES:
        return text[:-1]
    return text[:-1] + chr(code) + _LAST_CHARACTER
