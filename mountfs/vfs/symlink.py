"""Symbolic links: objects whose content is the target.

s3fs writes the target without anything around it, and so do we; it strips blanks when it reads,
which are part of the target here.
"""

from __future__ import annotations

import errno
import os

TARGET_MAX_BYTES = 4095
"""The kernel's limit: ``PATH_MAX`` without the NUL."""


def encode_target(target: bytes) -> bytes:
    """Return the content of the object for a link to *target*.

    Raises:
        OSError: ENOENT, it is empty; ENAMETOOLONG.
    """
    if not target:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if len(target) > TARGET_MAX_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return target


def decode_target(content: bytes) -> bytes:
    """Return the target of a link whose object has this content.

    Raises:
        OSError: EIO, no link has such a target; somebody else wrote it.
    """
    if not content or len(content) > TARGET_MAX_BYTES or b"\0" in content:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return content
