"""`ObjectHeaders` as HTTP headers, and back.

HTTP carries ASCII. What is not (or what a signature would change: blanks at the ends) travels as an
encoded word of RFC 2047, which is also how S3 hands out the metadata of those who sent UTF-8.
"""

from __future__ import annotations

import re
from base64 import b64encode
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

from mountfs.objects import ObjectHeaders

if TYPE_CHECKING:
    from collections.abc import Iterable

METADATA_PREFIX = "x-amz-meta-"

_STANDARD = {
    "content-type": "content_type",
    "cache-control": "cache_control",
    "content-encoding": "content_encoding",
    "content-disposition": "content_disposition",
    "content-language": "content_language",
}

_PLAIN = re.compile(r"[!-~](?:[!-~]| (?! ))*(?<! )|")
"""What arrives as it was sent. Signing makes one of two blanks."""

_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?]*\?=")


def headers_to_send(headers: ObjectHeaders) -> list[tuple[str, str]]:
    """Return the HTTP headers for what is not empty."""
    found = [
        (name, _encode(value))
        for name, attribute in _STANDARD.items()
        if (value := getattr(headers, attribute))
    ]
    found += [
        (f"{METADATA_PREFIX}{name}", _encode(value)) for name, value in headers.metadata.items()
    ]
    return found


def headers_of_answer(headers: Iterable[tuple[str, str]]) -> ObjectHeaders:
    """Return what the HTTP headers of an answer say."""
    standard: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name.startswith(METADATA_PREFIX):
            metadata[name.removeprefix(METADATA_PREFIX)] = _decode(value)
        elif name in _STANDARD:
            standard[_STANDARD[name]] = _decode(value)
    return ObjectHeaders(metadata=metadata, **standard)


def _encode(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _ENCODED_WORD.search(value):
        return value
    return f"=?UTF-8?B?{b64encode(value.encode('utf-8', 'surrogateescape')).decode()}?="


def _decode(value: str) -> str:
    if not _ENCODED_WORD.search(value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError):
        return value
