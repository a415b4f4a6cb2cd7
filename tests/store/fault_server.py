"""An HTTP server that answers exactly what a test tells it to, right or wrong."""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINGER_0 = struct.pack("ii", 1, 0)
"""Closing a socket with this option sends a reset."""

BODY = bytes(range(256)) * 16
"""The one object of this store."""

ETAG = '"0123456789abcdef0123456789abcdef"'
"""Its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to do with one request.

    Attributes:
        status: of the response.
        headers: of the response, besides Content-Length.
        body: of the response.
        raw: bytes to send instead of a response.
        sent_bytes: stop after so many bytes of the body; None sends it all.
        then: ``keep`` the connection, ``close`` it, ``reset`` it, or ``hang`` for ever.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes | None = None
    sent_bytes: int | None = None
    then: str = "keep"


@dataclass(slots=True)
class FaultServer:
    """A server with a queue of answers; when it is empty, it serves `BODY` correctly.

    Attributes:
        port: on 127.0.0.1.
        answers: for the next requests.
        requests: the heads of all requests so far.
        bodies: what they sent.
        greeting: what to do with a connection as soon as it sends anything, before it makes sense.
    """

    port: int
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    greeting: Answer | None = None

    @property
    def url(self) -> str:
        """The address of the store."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer the requests of one connection."""
        received = b""
        try:
            while True:
                while b"\r\n\r\n" not in received:
                    data = await stream.receive_some()
                    if not data:
                        return
                    received += data
                    if self.greeting is not None:
                        await self._send(stream, self.greeting, is_head=False)
                        return
                head, _, received = received.partition(b"\r\n\r\n")
                length = content_length(head)
                while len(received) < length:
                    received += await stream.receive_some()
                self.bodies.append(received[:length])
                received = received[length:]
                self.requests.append(head.decode())
                answer = self.answers.popleft() if self.answers else right_answer(head.decode())
                if not await self._send(stream, answer, is_head=head.startswith(b"HEAD ")):
                    return
        except trio.BrokenResourceError:
            pass
        finally:
            await stream.aclose()

    async def _send(self, stream: trio.abc.Stream, answer: Answer, *, is_head: bool) -> bool:
        """Send an answer; tell whether the connection is still good."""
        lines = [f"HTTP/1.1 {answer.status} Whatever"]
        names = {name.lower() for name, _ in answer.headers}
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if "content-length" not in names:
            lines.append(f"Content-Length: {len(answer.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        body = b"" if is_head else answer.body[: answer.sent_bytes]
        await stream.send_all(head + body if answer.raw is None else answer.raw)
        if answer.then == "hang":
            await trio.sleep_forever()
        if answer.then == "reset" and isinstance(stream, trio.SocketStream):
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        return answer.then == "keep"


def content_length(head: bytes) -> int:
    """Return how many bytes follow the head of a request or an answer."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def right_answer(head: str) -> Answer:
    """Return what a good store would answer about `BODY`; it looks at the range only."""
    start, stop = 0, len(BODY)
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "range":
            first, _, last = value.strip().removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, len(BODY))
    return part_of_body(start, stop)


def part_of_body(start: int, stop: int, *, etag: str = ETAG, **answer: object) -> Answer:
    """Return a 206 with the bytes ``[start, stop)`` of `BODY`, but for the fields of *answer*."""
    fields: dict[str, object] = {
        "status": 206,
        "headers": (
            ("ETag", etag),
            ("Content-Range", f"bytes {start}-{stop - 1}/{len(BODY)}"),
            ("Last-Modified", "Sat, 21 Nov 2026 03:04:05 GMT"),
        ),
        "body": BODY[start:stop],
    }
    return Answer(**(fields | answer))  # type: ignore[arg-type]


def error_answer(status: int, code: str, **extra: str) -> Answer:
    """Return an error as S3 writes it."""
    more = "".join(f"<{name}>{value}</{name}>" for name, value in extra.items())
    said = f"<Code>{code}</Code><Message>it is so</Message>{more}"
    body = f"<?xml version='1.0'?><Error>{said}</Error>"
    headers = (("x-amz-request-id", "REQ1"), ("Content-Type", "application/xml"))
    return Answer(status=status, headers=headers, body=body.encode())


@asynccontextmanager
async def running_fault_server() -> AsyncIterator[FaultServer]:
    """Run a `FaultServer` on a free port."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = FaultServer(port=listeners[0].socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
