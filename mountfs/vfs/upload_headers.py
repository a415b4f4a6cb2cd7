"""Which headers an object is sent with: those of a new content, and those of a copy.

What is kept when an object gets new content: user metadata but for what told of the old content,
``Cache-Control``, ``Content-Disposition`` and ``Content-Language``, since somebody chose them for
this name; the content type, if somebody chose one. Not ``Content-Encoding``: the
new bytes are what the application wrote.
"""

from __future__ import annotations

import stat

from mountfs.objects import ObjectHeaders
from mountfs.vfs import content_type
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes
from mountfs.vfs.posix_metadata import encode_metadata

NO_HEADERS = ObjectHeaders()


def headers_for_content(name: bytes, attributes: NodeAttributes | None) -> ObjectHeaders:
    """Return the headers of an upload to *name*, whatever it held before."""
    attributes = attributes or NO_ATTRIBUTES
    old = attributes.headers or NO_HEADERS
    if old.content_type in content_type.GENERIC:
        kind = content_type.guess_content_type(name)
    else:
        kind = old.content_type
    is_plain_file = not attributes.file_type or stat.S_ISREG(attributes.file_type)
    return ObjectHeaders(
        content_type=kind if is_plain_file else content_type.DEFAULT,
        cache_control=old.cache_control,
        content_disposition=old.content_disposition,
        content_language=old.content_language,
        metadata=encode_metadata(attributes, is_content_new=True),
    )


def headers_for_copy(attributes: NodeAttributes) -> ObjectHeaders:
    """Return the headers of an object that stays as it is but for its attributes.

    `NodeAttributes.headers` must be known: a copy that replaces headers replaces them all.
    """
    old = attributes.headers
    assert old is not None
    return ObjectHeaders(
        content_type=old.content_type,
        cache_control=old.cache_control,
        content_encoding=old.content_encoding,
        content_disposition=old.content_disposition,
        content_language=old.content_language,
        metadata=encode_metadata(attributes, is_content_new=False),
    )


def headers_for_directory(attributes: NodeAttributes | None) -> ObjectHeaders:
    """Return the headers of a directory's marker."""
    attributes = attributes or NO_ATTRIBUTES
    return ObjectHeaders(
        content_type=content_type.DIRECTORY,
        metadata=encode_metadata(attributes, is_content_new=False),
    )
