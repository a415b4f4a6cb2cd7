"""A proxy in front of a store: latency to the first byte, faults on demand, and a log of requests.

nginx with Lua, because loopback hides what matters and the kernel may have no netem. Signatures
survive: the client signs for the proxy's address, and the store is told that address.
"""

from __future__ import annotations

import contextlib
import http.client
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tests.stores.nginx_conf import write_nginx_conf
from tests.stores.processes import LOCALHOST, find_free_port, is_listening, running_server
from tests.stores.request_log import RequestLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stores.client import Endpoint

START_SECONDS = 30.0
"""nginx needs a tenth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the proxy does to requests. The fractions are of the requests concerned; their sum <= 1.

    Attributes:
        latency_ms: of every request, before the store hears of it.
        bytes_per_second: what the connection carries of the answer to a GET; 0 for what it can.
        error_fraction: answered with 503 SlowDown.
        reset_fraction: connection reset instead of an answer.
        truncate_fraction: the body ends early, at a random place, and the connection with it.
        stall_fraction: after 1 KiB (headers included) the answer goes on at one byte a second.
        hang: no answer until this is taken back; then all who still wait are served.
        only: a regular expression for ``METHOD /bucket/key?query``; others are not concerned.
        skip: that many of the requests concerned are passed on before the first fault.
        limit: that many faults, then no more; negative for no limit.
        seed: of the random choice; the same seed and the same order of requests, the same faults.
    """

    latency_ms: float = 0.0
    bytes_per_second: int = 0
    error_fraction: float = 0.0
    reset_fraction: float = 0.0
    truncate_fraction: float = 0.0
    stall_fraction: float = 0.0
    hang: bool = False
    only: str = ""
    skip: int = 0
    limit: int = -1
    seed: int = 0


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running proxy. An endpoint like the store behind it, with the same credentials.

    Attributes:
        endpoint_url: of the proxy.
        access_key: of the store.
        secret_key: of the store.
        log: what it was asked.
        control_port: of the server that changes the behaviour.
    """

    endpoint_url: str
    access_key: str
    secret_key: str
    log: RequestLog
    control_port: int

    def set_faults(self, faults: Faults) -> None:
        """Behave like this from the next request on; `skip`, `limit` and draws start anew."""
        values = {
            name: int(value) if isinstance(value, bool) else value
            for name, value in asdict(faults).items()
        }
        call_control(self.control_port, f"/settings?{urlencode(values)}")

    @contextlib.contextmanager
    def faulty(self, faults: Faults) -> Iterator[None]:
        """Behave like this inside of the block, and faultlessly after it."""
        self.set_faults(faults)
        try:
            yield
        finally:
            self.set_faults(NO_FAULTS)


def call_control(port: int, path: str) -> None:
    """Make a round trip to a proxy's control server."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    if (answer.status, body) != (200, b"ok"):
        raise RuntimeError(f"the proxy's control server said {answer.status}: {body!r}")


@contextlib.contextmanager
def running_proxy(directory: Path, endpoint: Endpoint) -> Iterator[Proxy]:
    """Start a proxy in front of *endpoint* that keeps its files below *directory*.

    Raises:
        ServerError: it did not start.
    """
    home = Path(tempfile.mkdtemp(prefix="proxy-", dir=directory))
    port, control_port = find_free_port(), find_free_port()
    conf_path = write_nginx_conf(
        home, port=port, control_port=control_port, upstream=urlsplit(endpoint.endpoint_url).netloc
    )
    with running_server(
        "nginx",
        ["/usr/sbin/nginx", "-p", str(home), "-e", str(home / "error.log"), "-c", str(conf_path)],
        log_path=home / "nginx.out",
        politely=True,  # its worker must end too
    ) as server:
        server.wait_until(
            lambda: is_listening(port) and is_listening(control_port), timeout_seconds=START_SECONDS
        )
        yield Proxy(
            endpoint_url=f"http://{LOCALHOST}:{port}",
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
            log=RequestLog(home / "access.log", sync=lambda: call_control(control_port, "/sync")),
            control_port=control_port,
        )
