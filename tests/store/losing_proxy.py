"""A proxy that does what it is asked and loses the answer: the hardest thing a network does."""

from __future__ import annotations

import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from tests.store.fault_server import LINGER_0, content_length

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.stores.client import Endpoint


@dataclass(slots=True)
class LosingProxy:
    """A proxy in front of a store, and what it does to the next answers.

    Attributes:
        port: on 127.0.0.1.
        upstream: host and port of the store.
        access_key: of the store.
        secret_key: of the store.
        loses: a regular expression for ``METHOD path``; the answers to those requests are lost.
        limit: how many more are lost.
        lost: what was lost.
    """

    port: int
    upstream: tuple[str, int]
    access_key: str
    secret_key: str
    loses: str = ""
    limit: int = 0
    lost: int = 0

    @property
    def endpoint_url(self) -> str:
        """The address of the store."""
        return f"http://127.0.0.1:{self.port}"

    def lose(self, requests: str, *, times: int = 1) -> None:
        """Lose the answers to the next *times* requests that match."""
        self.loses, self.limit, self.lost = requests, times, 0

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve one request; each has a connection of its own."""
        async with client:
            try:
                head, body = await self._receive(client)
            except trio.BrokenResourceError:
                return
            if not head:
                return
            async with await trio.open_tcp_stream(*self.upstream) as store:
                # The signature covers the headers that it names, and this is none of them.
                await store.send_all(head + b"\r\nConnection: close\r\n\r\n" + body)
                answer = b"".join([data async for data in store])
            if self.limit and re.match(self.loses, head.decode()):
                self.limit -= 1
                self.lost += 1
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                return
            try:
                await client.send_all(answer)
            except trio.BrokenResourceError:
                return

    async def _receive(self, client: trio.SocketStream) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            data = await client.receive_some()
            if not data:
                return b"", b""
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        rest = bytearray(body)
        while len(rest) < content_length(head):
            rest += await client.receive_some()
        return head, bytes(rest)


@asynccontextmanager
async def running_losing_proxy(endpoint: Endpoint) -> AsyncIterator[LosingProxy]:
    """Run a `LosingProxy` in front of *endpoint*."""
    address = urlsplit(endpoint.endpoint_url)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy = LosingProxy(
            port=listeners[0].socket.getsockname()[1],
            upstream=(address.hostname or "", address.port or 80),
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
        )
        nursery.start_soon(trio.serve_listeners, proxy.serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
