"""The one place where an error of ours becomes an errno."""

from __future__ import annotations

import errno

from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeError,
    RequestRejectedError,
    StorageFullError,
    StoreError,
    WrongRegionError,
)

_ERRNOS: tuple[tuple[type[Exception], int], ...] = (
    # Most special first: the first class that fits wins.
    (ObjectNotFoundError, errno.ENOENT),
    # The version that the application opened is gone; a mix of two would be worse than an error.
    (PreconditionFailedError, errno.ESTALE),
    (RangeError, errno.ESTALE),
    (AccessDeniedError, errno.EACCES),
    # Expired or revoked: to the application that is a permission, and EACCES is what it handles.
    (CredentialsError, errno.EACCES),
    (QuotaExceededError, errno.EDQUOT),
    (StorageFullError, errno.ENOSPC),
    (ObjectTooLargeError, errno.EFBIG),
    # ENOENT would look like an empty disk to a training loop that tolerates missing files.
    (BucketNotFoundError, errno.EIO),
    (WrongRegionError, errno.EIO),
    (RequestRejectedError, errno.EIO),
    # Also time-outs: ETIMEDOUT is legal but few programs expect it of a file.
    (StoreError, errno.EIO),
)


def errno_of(error: Exception) -> int:
    """Return the errno for *error*: its own, or what the table says, or EIO."""
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    for kind, number in _ERRNOS:
        if isinstance(error, kind):
            return number
    return errno.EIO
