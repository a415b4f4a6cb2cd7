"""From CRT's threads to trio's.

CRT calls back on threads of its own. Only `trio.lowlevel.TrioToken.run_sync_soon` may be called
there: it costs 6 us, where a blocking call into trio would cost 68 us and stop CRT's I/O meanwhile.

CRT's request holds our callbacks, so nothing that the callbacks hold may hold the request: a cycle
would keep every finished part in memory until the garbage collector comes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from awscrt.s3 import S3Request

Headers = list[tuple[str, str]]


class Exchange:
    """One request to the store and its answer.

    Args:
        token: of the trio loop that waits for it.

    Attributes:
        status: of a good answer; 0 before it.
        headers: of a good answer.
        chunks: the body of a good answer, in order.
        error: what CRT reports; None for a good answer.
    """

    __slots__ = ("_task", "_token", "chunks", "error", "headers", "status")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._task: trio.lowlevel.Task | None = None
        self.status = 0
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.error: Exception | None = None

    async def run(self, send: Callable[..., S3Request], **arguments: Any) -> None:
        """Send the request and wait until CRT has done with it, one way or the other.

        Args:
            send: `S3Client.make_request`.
            arguments: for *send*.

        Cancellation: the request is cancelled, and its end is awaited before `trio.Cancelled` is
            raised. If it was answered first, the answer stands.
        """
        self._task = trio.lowlevel.current_task()
        request = send(
            on_headers=self._on_headers, on_body=self._on_body, on_done=self._on_done, **arguments
        )
        raise_cancel: Callable[[], Any] | None = None

        def cancel(raise_cancelled: Callable[[], Any]) -> trio.lowlevel.Abort:
            nonlocal raise_cancel
            raise_cancel = raise_cancelled
            request.cancel()
            return trio.lowlevel.Abort.FAILED

        # Must not await before this: `_wake` runs in the loop and has to find us waiting.
        await trio.lowlevel.wait_task_rescheduled(cancel)
        if raise_cancel is not None and self.error is not None:
            raise_cancel()

    # CRT's threads call these. They must not raise: CRT would print it and go on.

    def _on_headers(self, *, status_code: int, headers: Headers, **_: Any) -> None:
        self.status = status_code
        self.headers = headers

    def _on_body(self, *, chunk: bytes, **_: Any) -> None:
        self.chunks.append(chunk)

    def _on_done(self, *, error: Exception | None, **_: Any) -> None:
        self.error = error
        # The loop has ended: nobody waits any more.
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
