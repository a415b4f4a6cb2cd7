"""Foreign errors become ours, with what the store said."""

from __future__ import annotations

from typing import Any

import pytest
from awscrt.exceptions import AwsCrtError
from awscrt.s3 import S3ResponseError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
)

from mountfs import errors
from mountfs.errors import StoreError, WrongRegionError
from mountfs.store.translate import error_of_response, translate_boto_error, translate_crt_error


def error_body(code: str, more: str = "", space: str = "") -> bytes:
    """Return an error as S3 writes it."""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>\n<Error{space}><Code>{code}</Code>"
        f"<Message>it is so</Message>{more}<RequestId>REQ2</RequestId></Error>"
    ).encode()


def client_error(status: int, code: str) -> ClientError:
    """Return an error as boto3 raises it for an answer."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "HeadBucket")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", errors.ObjectNotFoundError),
        (404, "", errors.ObjectNotFoundError),
        (404, "NoSuchBucket", errors.BucketNotFoundError),
        (400, "InvalidBucketName", errors.BucketNotFoundError),
        (412, "PreconditionFailed", errors.PreconditionFailedError),
        (412, "", errors.PreconditionFailedError),
        (416, "InvalidRange", errors.RangeError),
        (403, "AccessDenied", errors.AccessDeniedError),
        (403, "", errors.AccessDeniedError),
        (403, "InvalidObjectState", errors.AccessDeniedError),
        (403, "InvalidAccessKeyId", errors.CredentialsError),
        (403, "SignatureDoesNotMatch", errors.CredentialsError),
        (403, "RequestTimeTooSkewed", errors.CredentialsError),
        (400, "ExpiredToken", errors.CredentialsError),
        (400, "InvalidToken", errors.CredentialsError),
        (401, "", errors.CredentialsError),
        (400, "AuthorizationHeaderMalformed", errors.CredentialsError),
        (301, "PermanentRedirect", errors.WrongRegionError),
        (301, "", errors.WrongRegionError),
        (400, "IllegalLocationConstraintException", errors.WrongRegionError),
        (400, "InvalidArgument", errors.RequestRejectedError),
        (405, "MethodNotAllowed", errors.RequestRejectedError),
        (501, "NotImplemented", errors.RequestRejectedError),
        (400, "RequestTimeout", errors.StoreUnavailableError),
        (500, "InternalError", errors.StoreUnavailableError),
        (502, "", errors.StoreUnavailableError),
        (504, "", errors.StoreUnavailableError),
        (503, "SlowDown", errors.ThrottledError),
        (503, "", errors.ThrottledError),
        (429, "TooManyRequests", errors.ThrottledError),
        (400, "RequestLimitExceeded", errors.ThrottledError),
    ],
)
def test_answers_become_errors(status: int, code: str, expected: type[StoreError]) -> None:
    """By the code where there is one, else by the status."""
    headers = [("X-Amz-Request-Id", "REQ1")]
    body = error_body(code) if code else None
    error = error_of_response(status, headers, body, "GET 'key'")
    assert expected is type(error)
    assert (code, status, "REQ1") == (error.code, error.status, error.request_id)
    assert str(error).startswith("GET 'key': ")


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ([("x-amz-bucket-region", "eu-west-1")], ""),
        ([], "<Region>eu-west-1</Region>"),
    ],
)
@pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect"])
def test_another_region_is_named(headers: list[tuple[str, str]], more: str, code: str) -> None:
    """Wherever the store says it."""
    error = error_of_response(400, headers, error_body(code, more), "LIST ''")
    assert isinstance(error, WrongRegionError)
    assert "eu-west-1" == error.region


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_the_body_names_code_and_request(space: str) -> None:
    """With or without a namespace; the request id may be in no header."""
    error = error_of_response(400, [], error_body("Odd", space=space), "GET 'key'")
    assert "GET 'key': it is so (status 400, code Odd, request id REQ2)" == str(error)


@pytest.mark.parametrize("key", ["a\uffff", "a\x01", "a&#xfffe;"])
def test_a_key_that_xml_cannot_hold_does_not_hide_the_code(key: str) -> None:
    """Ceph repeats it as it is."""
    body = error_body("NoSuchUpload", f"<Key>{key}</Key>")
    error = error_of_response(404, [], body, "ABORT 'key'")
    assert errors.UploadNotFoundError is type(error)


@pytest.mark.parametrize("body", [None, b"", b"<html>oops", b"plain text", b"\xff\x00"])
def test_a_body_that_is_no_error_does_not_matter(body: bytes | None) -> None:
    """The status remains."""
    error = error_of_response(418, [], body, "GET 'key'")
    assert "GET 'key': HTTP status 418 (status 418)" == str(error)


@pytest.mark.parametrize(
    ("name", "expected", "status"),
    [
        ("AWS_ERROR_S3_SLOW_DOWN", errors.ThrottledError, 503),
        ("AWS_ERROR_S3_INTERNAL_ERROR", errors.StoreUnavailableError, 500),
        ("AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED", errors.CredentialsError, 403),
        ("AWS_ERROR_S3_MISSING_CONTENT_RANGE_HEADER", errors.RequestRejectedError, 0),
        ("AWS_IO_SOCKET_CLOSED", errors.StoreUnavailableError, 0),
        ("AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", errors.StoreUnavailableError, 0),
        ("AWS_IO_DNS_INVALID_NAME", errors.StoreUnavailableError, 0),
        ("AWS_ERROR_HTTP_PROTOCOL_ERROR", errors.StoreUnavailableError, 0),
        ("AWS_AUTH_SIGNING_NO_CREDENTIALS", errors.CredentialsError, 0),
    ],
)
def test_errors_of_crt_become_ours(name: str, expected: type[StoreError], status: int) -> None:
    """By their name; what CRT does not know is worth a retry."""
    foreign = AwsCrtError(1, name, f"aws-c-io: {name}, socket is closed.")
    error = translate_crt_error(foreign, "GET 'key'")
    assert (expected, status) == (type(error), error.status)
    assert "socket is closed" in str(error) or expected is errors.RequestRejectedError


def test_an_answer_in_an_error_of_crt_is_read() -> None:
    """CRT hands over status, headers and body."""
    foreign = S3ResponseError(
        code=1, name="X", message="", status_code=403, headers=[], body=error_body("AccessDenied")
    )
    error = translate_crt_error(foreign, "GET 'key'")
    assert (errors.AccessDeniedError, "REQ2") == (type(error), error.request_id)


def test_an_unexpected_error_is_still_ours() -> None:
    """Nothing foreign gets above the store."""
    assert errors.StoreUnavailableError is type(translate_crt_error(MemoryError(), "GET 'key'"))


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        (NoCredentialsError(), errors.CredentialsError),
        (ProfileNotFound(profile="x"), errors.CredentialsError),
        (EndpointConnectionError(endpoint_url="http://x"), errors.StoreUnavailableError),
        (ConnectTimeoutError(endpoint_url="http://x"), errors.StoreUnavailableError),
        (ParamValidationError(report="x"), errors.RequestRejectedError),
        (client_error(403, "AccessDenied"), errors.AccessDeniedError),
        (client_error(404, "404"), errors.ObjectNotFoundError),
    ],
)
def test_errors_of_boto3_become_ours(
    foreign: BotoCoreError | ClientError, expected: type[StoreError]
) -> None:
    """Those without an answer, and those with one."""
    assert expected is type(translate_boto_error(foreign, "HEAD"))
