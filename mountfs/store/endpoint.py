"""Where requests for a bucket go: host, path, TLS. Pure; asks nobody."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mountfs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXPRESS_BUCKET = re.compile(r"[a-z0-9-]+--(?P<zone>[a-z0-9]+-az[0-9]+)--x-s3")
_DNS_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_AXES = (("north", "n"), ("south", "s"), ("east", "e"), ("west", "w"), ("central", "c"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests for one bucket go.

    Attributes:
        host: for the Host header, with the port where it is not the scheme's own.
        path_prefix: what stands before the key, quoted; ends with ``/``.
        use_tls: https or http.
    """

    host: str
    path_prefix: str
    use_tls: bool

    def path(self, key: str) -> str:
        """Return the request path of *key*."""
        return self.path_prefix + quote(key.encode("utf-8", "surrogateescape"), safe="/-_.~")

    def url(self) -> str:
        """Return the address for messages."""
        return f"{'https' if self.use_tls else 'http'}://{self.host}{self.path_prefix}"


def express_zone(bucket: str) -> str | None:
    """Return the availability zone of an S3 Express One Zone bucket; None for any other bucket."""
    match = _EXPRESS_BUCKET.fullmatch(bucket)
    return match["zone"] if match else None


def region_of_zone(zone: str, regions: Iterable[str]) -> str | None:
    """Return the region whose zones are named like *zone*: ``usw2-az1`` lies in ``us-west-2``."""
    short = zone.partition("-")[0]
    return next((region for region in regions if _abbreviate(region) == short), None)


def _abbreviate(region: str) -> str:
    area, *middle, number = region.split("-")
    for index, word in enumerate(middle):
        rest, short = word, ""
        for axis, letter in _AXES:
            if rest.startswith(axis):
                rest, short = rest.removeprefix(axis), short + letter
        # What is not a point of the compass ("gov", "iso") gives its first letter.
        middle[index] = short or word[:1]
    return area + "".join(middle) + number


def resolve_endpoint(service_url: str, *, bucket: str, addressing: str) -> Endpoint:
    """Place *bucket* at the service's address.

    Args:
        service_url: e.g. ``https://s3.eu-west-1.amazonaws.com``; may have a path.
        bucket: its name.
        addressing: as in `S3Config`.

    Raises:
        UsageError: the address is no URL, or the addressing is none that exists.
    """
    parts = urlsplit(service_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise UsageError(f"--endpoint-url {service_url!r}: must be like https://host[:port][/path]")
    if addressing not in ("auto", "path", "virtual"):
        raise UsageError(f"--addressing {addressing!r}: must be auto, path or virtual")
    use_tls = parts.scheme == "https"
    base = quote(parts.path.rstrip("/"), safe="/-_.~%")
    host = _host(parts.netloc.rpartition("@")[2], use_tls=use_tls)
    if addressing == "auto":
        addressing = _choose_addressing(parts.hostname, bucket, use_tls=use_tls)
    if addressing == "virtual":
        return Endpoint(host=f"{bucket}.{host}", path_prefix=f"{base}/", use_tls=use_tls)
    return Endpoint(host=host, path_prefix=f"{base}/{quote(bucket)}/", use_tls=use_tls)


def express_endpoint(bucket: str, zone: str, region: str, dns_suffix: str) -> Endpoint:
    """Place an S3 Express One Zone bucket: each zone has an endpoint of its own."""
    return Endpoint(
        host=f"{bucket}.s3express-{zone}.{region}.{dns_suffix}", path_prefix="/", use_tls=True
    )


def _host(netloc: str, *, use_tls: bool) -> str:
    # The Host header is signed: it has to be what clients send, without the default port.
    return netloc.removesuffix(":443" if use_tls else ":80")


def _choose_addressing(hostname: str, bucket: str, *, use_tls: bool) -> str:
    if hostname == "localhost" or hostname.endswith(".localhost") or _is_ip_address(hostname):
        return "path"
    if not _DNS_BUCKET.fullmatch(bucket):
        return "path"
    # A wildcard certificate covers one label only.
    return "path" if use_tls and "." in bucket else "virtual"


def _is_ip_address(hostname: str) -> bool:
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True
