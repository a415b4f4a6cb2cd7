"""A save that goes on while the training does."""

from __future__ import annotations

import logging
import os
import threading
from typing import IO, TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class BackgroundSave:
    """Runs *work* in a thread that the interpreter waits for before it ends.

    Args:
        work: What to do. What it raises is logged at once and raised by `result`.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=False)

    def start(self) -> BackgroundSave:
        """Begin."""
        self._thread.start()
        return self

    @property
    def is_ours(self) -> bool:
        """Whether this process has started it: no thread survives a fork."""
        return os.getpid() == self._process

    def result(self) -> None:
        """Wait until it is over.

        Raises:
            BaseException: What *work* has raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            # Now, since nobody may ever ask; the traceback belongs to whoever does.
            log.error("a checkpoint could not be saved: %s: %s", type(error).__name__, error)
            self._error = error


class Frozen:
    """A state as ``torch.save`` would have written it at that moment, in memory.

    Serializing is what a snapshot takes anyway, and the only copy that is right for every kind of
    tensor: storages that are shared stay shared, and what is on a GPU is fetched from there.
    """

    def __init__(self, state: Any) -> None:
        self._chunks: list[bytes] = []
        torch.save(state, cast("IO[bytes]", _Sink(self._chunks)))

    def write(self, file: Any) -> None:
        """Write it to a binary file, and forget it."""
        for number, chunk in enumerate(self._chunks):
            file.write(chunk)
            self._chunks[number] = b""  # so that memory shrinks while a slow store takes it


class _Sink:
    """What ``torch.save`` needs of a file."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def write(self, content: bytes | memoryview) -> int:
        self._chunks.append(bytes(content))  # a view is of a buffer that is used again
        return len(content)

    def flush(self) -> None:
        pass
