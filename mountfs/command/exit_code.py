"""How the command ends: a number for each thing that an operator would do something else about."""

from __future__ import annotations

import enum

from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    BusyError,
    CredentialsError,
    MountError,
    NotPublishedError,
    StoreError,
    UsageError,
    WrongRegionError,
)


class ExitCode(enum.IntEnum):
    """What the command's exit status means; part of the interface, so numbers are never reused."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    BUCKET_NOT_FOUND = 3
    ACCESS_DENIED = 4
    CREDENTIALS = 5
    WRONG_REGION = 6
    STORE_UNAVAILABLE = 7
    MOUNTPOINT = 8
    BUSY = 9
    NOT_PUBLISHED = 10
    INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended


MEANINGS = {
    ExitCode.OK: "done; after a mount: it answers",
    ExitCode.INTERNAL: "a fault of mountfs itself; the log has the details",
    ExitCode.USAGE: "an option, a variable or the configuration file is wrong",
    ExitCode.BUCKET_NOT_FOUND: "no bucket has this name",
    ExitCode.ACCESS_DENIED: "the credentials are good and do not suffice",
    ExitCode.CREDENTIALS: "the credentials are missing, wrong or expired",
    ExitCode.WRONG_REGION: "the bucket lives in another region",
    ExitCode.STORE_UNAVAILABLE: "the store cannot be reached, or gives no usable answer",
    ExitCode.MOUNTPOINT: "the mountpoint cannot be used, or nothing is mounted there",
    ExitCode.BUSY: "the mount is in use",
    ExitCode.NOT_PUBLISHED: "some changes are not in the bucket; the message says which, and where",
    ExitCode.INTERRUPTED: "interrupted before the mount was there; none is left",
}

_BY_ERROR: tuple[tuple[type[Exception], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (BusyError, ExitCode.BUSY),
    (MountError, ExitCode.MOUNTPOINT),
    (NotPublishedError, ExitCode.NOT_PUBLISHED),
    (BucketNotFoundError, ExitCode.BUCKET_NOT_FOUND),
    (AccessDeniedError, ExitCode.ACCESS_DENIED),
    (CredentialsError, ExitCode.CREDENTIALS),
    (WrongRegionError, ExitCode.WRONG_REGION),
    # The rest of the store's errors: whatever it is, the store is where to look.
    (StoreError, ExitCode.STORE_UNAVAILABLE),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for *error*: the first row of the table that fits, else `INTERNAL`."""
    for error_type, code in _BY_ERROR:
        if isinstance(error, error_type):
            return code
    return ExitCode.INTERNAL
