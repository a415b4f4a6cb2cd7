"""Finds out whether TLS with the store works, and if not, why.

CRT's TLS library answers a bad certificate with silence: it holds the connection for 10 to 30
seconds, so that an attacker learns nothing from the time it takes, cannot be cancelled meanwhile,
and then does not say what was wrong. Nobody wants to wait for that at the command line.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from mountfs.errors import StoreUnavailableError

if TYPE_CHECKING:
    from mountfs.store.endpoint import Endpoint

HTTPS_PORT = 443

CERTIFICATE_FAULT = "CertificateFault"
"""The code of an error whose message says what is wrong with a certificate."""

TLS_FAULT = "TlsFault"
"""The code of an error whose message says what else is wrong with TLS."""


async def check_tls(endpoint: Endpoint, *, ca_bundle: str | None, timeout_seconds: float) -> None:
    """Shake hands once. Whether the host can be reached at all is left for CRT to find out.

    Args:
        endpoint: where to.
        ca_bundle: a file of authorities that replaces the system's.
        timeout_seconds: for the connection, and again for the handshake.

    Raises:
        StoreUnavailableError: with `CERTIFICATE_FAULT` or `TLS_FAULT`.
    """
    paths = ssl.get_default_verify_paths()
    if ca_bundle is None and not (paths.cafile or paths.capath):
        # This Python knows no authorities: its verdict is worth nothing. CRT looks elsewhere.
        return
    address = urlsplit(f"//{endpoint.host}")
    host = address.hostname or ""
    try:
        with trio.fail_after(timeout_seconds):
            tcp = await trio.open_tcp_stream(host, address.port or HTTPS_PORT)
    except (OSError, trio.TooSlowError):
        return
    context = ssl.create_default_context(cafile=ca_bundle)
    stream = trio.SSLStream(tcp, context, server_hostname=host)
    try:
        with trio.fail_after(timeout_seconds):
            await stream.do_handshake()
    except trio.TooSlowError as error:
        raise StoreUnavailableError("no answer to the handshake", code=TLS_FAULT) from error
    except (OSError, trio.BrokenResourceError) as error:
        raise _explain(error) from error
    finally:
        await trio.aclose_forcefully(stream)


def _explain(error: Exception) -> StoreUnavailableError:
    # trio hides what OpenSSL says behind an error of its own.
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return StoreUnavailableError(cause.verify_message, code=CERTIFICATE_FAULT)
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    return StoreUnavailableError(
        str(reason or "the connection was closed").lower().replace("_", " "), code=TLS_FAULT
    )
