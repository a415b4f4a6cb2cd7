"""What the operator should know and do when a bucket cannot be used."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    DeadlineError,
    StoreError,
    StoreUnavailableError,
    ThrottledError,
    WrongRegionError,
)
from mountfs.store.tls_check import CERTIFICATE_FAULT, TLS_FAULT

if TYPE_CHECKING:
    from mountfs.store.config import S3Config
    from mountfs.store.endpoint import Endpoint


def explain(error: StoreError, config: S3Config, endpoint: Endpoint | None) -> StoreError:
    """Return the same error with one line that says which thing is wrong and what to do.

    Args:
        error: what happened.
        config: what the operator asked for.
        endpoint: where the request went; None if there was none yet.
    """
    message = _explain(error, config, endpoint)
    explained = copy(error)
    explained.args = (message,)
    return explained


def _explain(error: StoreError, config: S3Config, endpoint: Endpoint | None) -> str:
    bucket = config.bucket
    place = endpoint.url() if endpoint is not None else (config.endpoint_url or "AWS")
    if isinstance(error, BucketNotFoundError):
        return f"there is no bucket {bucket!r} at {place}: check its name and --endpoint-url"
    if isinstance(error, WrongRegionError):
        remedy = f"give --region {error.region}" if error.region else "give its --region"
        return f"bucket {bucket!r} is in another region: {remedy}"
    if isinstance(error, CredentialsError):
        return _explain_credentials(error, config)
    if isinstance(error, AccessDeniedError):
        return _explain_access(config)
    if isinstance(error, StoreUnavailableError):
        return _explain_unavailable(error, place)
    return f"{place} rejects the request: {error.args[0]}"


def _explain_credentials(error: CredentialsError, config: S3Config) -> str:
    who = f"profile {config.profile!r}" if config.profile else "the environment"
    if error.code == "RequestTimeTooSkewed":
        return "the store refuses the signature because the clock of this host is wrong: set it"
    if error.code == "ExpiredToken" or error.code == "TokenRefreshRequired":
        return (
            f"the credentials of {who} have expired: renew them (aws sso login), or use --profile"
        )
    if error.code:
        return f"the store does not accept the credentials of {who}: check them, or use --profile"
    return (
        f"{error.args[0]}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "use --profile, or --no-sign-request for a public bucket"
    )


def _explain_access(config: S3Config) -> str:
    if not config.sign_requests:
        return f"bucket {config.bucket!r} may not be read anonymously: leave out --no-sign-request"
    return (
        f"access to bucket {config.bucket!r} is denied: the credentials need s3:ListBucket and "
        "s3:GetObject; use --profile for others, --requester-pays if the bucket wants that"
    )


def _explain_unavailable(error: StoreUnavailableError, place: str) -> str:
    if isinstance(error, ThrottledError):
        return f"{place} asks to slow down, in spite of retries: try later"
    if isinstance(error, DeadlineError):
        return f"{place} does not answer in time: check --endpoint-url and the network"
    code = error.code
    if code == CERTIFICATE_FAULT:
        return (
            f"the certificate of {place} is not accepted ({error.args[0]}): give its authority "
            "with --ca-bundle, or --no-verify-ssl"
        )
    if code == TLS_FAULT or code.startswith("AWS_IO_TLS"):
        return (
            f"TLS with {place} fails ({error.args[0]}): check whether --endpoint-url begins with "
            "http: or https:"
        )
    if code.startswith("AWS_IO_DNS"):
        return f"the host of {place} is unknown: check --endpoint-url, --region and the network"
    if code == "AWS_IO_SOCKET_CONNECTION_REFUSED":
        return f"nothing listens at {place}: check --endpoint-url and whether the store runs"
    return f"{place} cannot be used: {error.args[0]}; check --endpoint-url and the network"
