"""Every error of S3, awscrt and boto3, as one of ours.

Whether an error is worth a retry follows from its class: `StoreUnavailableError` and below are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from awscrt.exceptions import AwsCrtError
from awscrt.s3 import S3ResponseError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError as BotoHttpError

from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConflictError,
    CredentialsError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeError,
    RequestRejectedError,
    StorageFullError,
    StoreError,
    StoreUnavailableError,
    ThrottledError,
    UploadNotFoundError,
    WrongRegionError,
)
from mountfs.store.list_xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CLASS_OF_CODE: Mapping[str, type[StoreError]] = {
    "NoSuchKey": ObjectNotFoundError,
    "NoSuchVersion": ObjectNotFoundError,
    "NoSuchUpload": UploadNotFoundError,
    "NoSuchBucket": BucketNotFoundError,
    "InvalidBucketName": BucketNotFoundError,
    "PreconditionFailed": PreconditionFailedError,
    "InvalidRange": RangeError,
    "AccessDenied": AccessDeniedError,
    "AllAccessDisabled": AccessDeniedError,
    "AccountProblem": AccessDeniedError,
    # An archived object must be restored first; to an application that is "you may not".
    "InvalidObjectState": AccessDeniedError,
    "ObjectLocked": AccessDeniedError,
    # The key that encrypts: disabled, deleted, or of somebody else.
    "KMS.DisabledException": AccessDeniedError,
    "KMS.InvalidKeyUsageException": AccessDeniedError,
    "KMS.InvalidStateException": AccessDeniedError,
    "KMS.KMSInvalidStateException": AccessDeniedError,
    "KMS.NotFoundException": AccessDeniedError,
    "QuotaExceeded": QuotaExceededError,
    "ServiceQuotaExceeded": QuotaExceededError,
    "XMinioAdminBucketQuotaExceeded": QuotaExceededError,
    "InsufficientStorage": StorageFullError,
    "StorageFull": StorageFullError,
    "XMinioStorageFull": StorageFullError,
    "EntityTooLarge": ObjectTooLargeError,
    "ExpiredToken": CredentialsError,
    "InvalidAccessKeyId": CredentialsError,
    "InvalidSecurity": CredentialsError,
    "InvalidToken": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "AuthorizationHeaderMalformed": WrongRegionError,
    "IllegalLocationConstraintException": WrongRegionError,
    "PermanentRedirect": WrongRegionError,
    "TemporaryRedirect": WrongRegionError,
    "Redirect": WrongRegionError,
    "SlowDown": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "RequestThrottled": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "TooManyRequests": ThrottledError,
    "ServiceUnavailable": ThrottledError,
    "KMS.ThrottlingException": ThrottledError,
    # Somebody else is at the same key: S3 asks to try again.
    "ConditionalRequestConflict": ConflictError,
    "ConcurrentModification": ConflictError,
    # Damaged on the way to the store, which has thrown it away.
    "BadDigest": StoreUnavailableError,
    "IncompleteBody": StoreUnavailableError,
    "XAmzContentChecksumMismatch": StoreUnavailableError,
    "KMS.DependencyTimeoutException": StoreUnavailableError,
    "KMS.InternalException": StoreUnavailableError,
    "KMS.KMSInternalException": StoreUnavailableError,
    "InternalError": StoreUnavailableError,
    "RequestTimeout": StoreUnavailableError,
    "OperationAborted": StoreUnavailableError,
}

_CLASS_OF_STATUS: Mapping[int, type[StoreError]] = {
    301: WrongRegionError,
    307: WrongRegionError,
    401: CredentialsError,
    403: AccessDeniedError,
    404: ObjectNotFoundError,
    408: StoreUnavailableError,
    412: PreconditionFailedError,
    413: ObjectTooLargeError,
    416: RangeError,
    429: ThrottledError,
    501: RequestRejectedError,
    503: ThrottledError,
    507: StorageFullError,
}

_RESPONSE_OF_CRT_ERROR: Mapping[str, tuple[str, int]] = {
    # CRT knows these answers and keeps code and status of the response to itself.
    "AWS_ERROR_S3_SLOW_DOWN": ("SlowDown", 503),
    "AWS_ERROR_S3_INTERNAL_ERROR": ("InternalError", 500),
    "AWS_ERROR_S3_REQUEST_TIMEOUT": ("RequestTimeout", 400),
    "AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED": ("RequestTimeTooSkewed", 403),
}

_DEFECTS: Mapping[str, str] = {
    # What no retry will teach a store.
    "AWS_ERROR_S3_MISSING_CONTENT_RANGE_HEADER": "the store ignores the Range header",
    "AWS_ERROR_DEST_COPY_TOO_SMALL": "the store sends more than the range",
    "AWS_ERROR_S3_MISSING_ETAG": "the store sends no ETag",
}


def translate_crt_error(error: BaseException, what: str) -> StoreError:
    """Return our error for one of awscrt; *what* says what was asked, e.g. ``GET 'key'``."""
    if isinstance(error, S3ResponseError):
        return error_of_response(error.status_code, error.headers, error.body, what)
    if isinstance(error, UnicodeError | TypeError):  # awscrt says it with either
        return RequestRejectedError(f"{what}: cannot be sent: {error}")
    if not isinstance(error, AwsCrtError):
        return StoreUnavailableError(f"{what}: {error!r}")
    name = str(error.name)
    if name in _RESPONSE_OF_CRT_ERROR:
        code, status = _RESPONSE_OF_CRT_ERROR[name]
        return _CLASS_OF_CODE[code](f"{what}: {_plain(error)}", code=code, status=status)
    if name in _DEFECTS:
        return RequestRejectedError(f"{what}: {_DEFECTS[name]}", code=name)
    if name.startswith("AWS_AUTH_"):
        return CredentialsError(f"{what}: cannot sign: {_plain(error)}", code=name)
    return StoreUnavailableError(f"{what}: {_plain(error)}", code=name)


def error_of_response(
    status: int, headers: Iterable[tuple[str, str]], body: bytes | None, what: str
) -> StoreError:
    """Return our error for an answer that is no success."""
    by_name = {name.lower(): value for name, value in headers}
    said = _parse_error_body(body)
    code = said.get("Code", "")
    return _make(
        status=status,
        code=code,
        message=f"{what}: {said.get('Message') or code or f'HTTP status {status}'}",
        request_id=by_name.get("x-amz-request-id") or said.get("RequestId", ""),
        region=by_name.get("x-amz-bucket-region") or said.get("Region", ""),
    )


def error_of_code(code: str, message: str) -> StoreError:
    """Return our error for one key of a request for many; *code* is all that is known of it."""
    return _make(status=0, code=code, message=message, request_id="", region="")


def translate_boto_error(error: BotoCoreError | ClientError, what: str) -> StoreError:
    """Return our error for one that boto3 raised."""
    if isinstance(error, ClientError):
        answer = error.response.get("ResponseMetadata", {})
        said = error.response.get("Error", {})
        code = str(said.get("Code", ""))
        headers = answer.get("HTTPHeaders", {})
        status = int(answer.get("HTTPStatusCode", 0))
        return _make(
            status=status,
            # For an answer without a body, boto3 gives the status as the code.
            code="" if code.isdigit() else code,
            message=f"{what}: {said.get('Message') or f'HTTP status {status}'}",
            request_id=str(answer.get("RequestId", "")),
            region=str(headers.get("x-amz-bucket-region", "")),
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return CredentialsError(f"{what}: {error}")
    if isinstance(error, BotoConnectionError | BotoHttpError):
        return StoreUnavailableError(f"{what}: {error}")
    return RequestRejectedError(f"{what}: {error}")


def _make(*, status: int, code: str, message: str, request_id: str, region: str) -> StoreError:
    kind = _CLASS_OF_CODE.get(code) or _CLASS_OF_STATUS.get(status)
    if kind is None:
        kind = StoreUnavailableError if status >= 500 else RequestRejectedError
    if kind is WrongRegionError:
        if region:
            return WrongRegionError(
                message, region=region, code=code, request_id=request_id, status=status
            )
        if code == "AuthorizationHeaderMalformed":
            kind = CredentialsError
    return kind(message, code=code, request_id=request_id, status=status)


def _parse_error_body(body: bytes | None) -> dict[str, str]:
    if not body:
        return {}
    try:
        root = parse_xml(body, is_lenient=True)  # it may repeat a key that XML cannot hold
    except ValueError:
        return {}
    # <Error>, or <ErrorResponse><Error>; with a namespace or without.
    error = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Error"), root)
    return {e.tag.rpartition("}")[2]: e.text.strip() for e in error if e.text}


def _plain(error: AwsCrtError) -> str:
    # CRT's messages repeat library and name: "aws-c-s3: AWS_ERROR_S3_SLOW_DOWN, Response code ...".
    return str(error.message).partition(f"{error.name}, ")[2] or str(error.message)
