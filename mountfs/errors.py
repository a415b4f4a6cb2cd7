"""Every error that mountfs raises on purpose.

::

    MountfsError
    ├── UsageError                     an option, a variable or the configuration file is wrong
    ├── MountError                     the mountpoint or the kernel refused
    │   └── BusyError                  somebody uses the mount that should go away
    ├── NotPublishedError              changes that were made through a mount are not in the bucket
    └── StoreError                     the object store refused, or could not be asked
        ├── ObjectNotFoundError        no object has this key
        ├── BucketNotFoundError        no bucket has this name
        ├── UploadNotFoundError        no multipart upload has this id
        ├── PreconditionFailedError    the object is no longer the version that was asked for
        │   └── BaseGoneError          nor is that of which untouched bytes are needed
        ├── RangeError                 the range lies outside of the object
        ├── AccessDeniedError          the credentials are good and do not suffice
        ├── CredentialsError           the credentials are missing, wrong or expired
        ├── WrongRegionError           the bucket lives elsewhere
        ├── QuotaExceededError         the account or the bucket may not hold more
        ├── StorageFullError           the store has no room left
        ├── ObjectTooLargeError        no object, or no single request, may be so large
        ├── CorruptedError             what the store says it has is not what was sent
        ├── RequestRejectedError       the store calls the request invalid; repeating it is useless
        └── StoreUnavailableError      no good answer in spite of retries
            ├── ThrottledError         the store asked us to slow down
            ├── ConflictError          somebody else changes the same key at this moment
            └── DeadlineError          no answer in time

Errors of awscrt and boto3 are translated in `mountfs.store` and nowhere else. The errno that an
application sees is chosen in `mountfs.fuse.errno_map`, the exit code of the command in
`mountfs.command.exit_code`.
"""

from __future__ import annotations

import copy


class MountfsError(Exception):
    """Base of all errors that mountfs raises on purpose."""


class UsageError(MountfsError):
    """An option, a variable or the configuration file holds something that cannot work."""


class MountError(MountfsError):
    """The mountpoint cannot be used, or the kernel refused the mount."""


class BusyError(MountError):
    """Somebody uses the mount that should go away."""


class NotPublishedError(MountfsError):
    """Changes that were made through a mount are not in the bucket; the message says which."""


class StoreError(MountfsError):
    """The object store refused, or could not be asked.

    Attributes:
        code: the store's own error code, e.g. ``NoSuchKey``; empty when it sent none.
        request_id: the store's name for the request; empty when it sent none.
        status: the HTTP status; 0 when there was no response.
        may_have_landed: a change was asked for more than once, and the store may have made it
            though it refused the last time.
    """

    def __init__(
        self, message: str, *, code: str = "", request_id: str = "", status: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.status = status
        self.may_have_landed = False

    @property
    def leaves_doubt(self) -> bool:
        """Tell whether a change that was asked for may have been made."""
        return self.may_have_landed

    def __str__(self) -> str:
        facts = [
            f"{name} {value}"
            for name, value in (
                ("status", self.status),
                ("code", self.code),
                ("request id", self.request_id),
            )
            if value
        ]
        message = super().__str__()
        return f"{message} ({', '.join(facts)})" if facts else message


class ObjectNotFoundError(StoreError):
    """No object has this key."""


class BucketNotFoundError(StoreError):
    """No bucket has this name."""


class UploadNotFoundError(StoreError):
    """No multipart upload has this id: it was completed, aborted, or never begun."""


class PreconditionFailedError(StoreError):
    """The object is no longer the version that was asked for.

    Of a change: the key does not hold what it had to hold. Nothing was changed.
    """


class BaseGoneError(PreconditionFailedError):
    """The version is gone of which a change needs the untouched bytes. Nothing was changed."""


class RangeError(StoreError):
    """The range lies outside of the object."""


class AccessDeniedError(StoreError):
    """The credentials are good and do not suffice."""


class CredentialsError(StoreError):
    """The credentials are missing, wrong or expired."""


class WrongRegionError(StoreError):
    """The bucket lives in another region.

    Attributes:
        region: where it lives, when the store said so; else empty.
    """

    def __init__(
        self,
        message: str,
        *,
        region: str = "",
        code: str = "",
        request_id: str = "",
        status: int = 0,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id, status=status)
        self.region = region


class QuotaExceededError(StoreError):
    """The account or the bucket may not hold more."""


class StorageFullError(StoreError):
    """The store has no room left."""


class ObjectTooLargeError(StoreError):
    """No object, or no single request, may be so large."""


class CorruptedError(StoreError):
    """What the store says it has is not what was sent.

    The key may hold that by now: whoever wrote must write again.
    """


class RequestRejectedError(StoreError):
    """The store calls the request invalid; repeating it is useless."""


class StoreUnavailableError(StoreError):
    """The store gave no good answer in spite of retries."""

    @property
    def leaves_doubt(self) -> bool:
        """Tell whether a change that was asked for may have been made: nobody knows."""
        return True


class ThrottledError(StoreUnavailableError):
    """The store asked us to slow down (503 SlowDown, 429)."""


class ConflictError(StoreUnavailableError):
    """Somebody else changes the same key at this moment (409)."""


class DeadlineError(StoreUnavailableError):
    """The store did not answer in time."""


def raise_again(error: Exception | None) -> None:
    """Raise what others have met too, if anything: a copy, since each raise adds to a traceback."""
    if error is not None:
        raise copy.copy(error) from error
