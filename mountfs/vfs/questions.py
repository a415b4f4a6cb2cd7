"""Requests under way for nodes: whoever wants the same answer waits for the one that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mountfs.errors import StoreError, raise_again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class _Question:
    """A request under way.

    Attributes:
        is_over: set when it was answered or given up.
        is_answered: the answer is of the node as it is.
        error: why the store could not be asked.
    """

    __slots__ = ("error", "is_answered", "is_over")

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.is_answered = False
        self.error: StoreError | None = None


class Questions:
    """The requests under way, at most one a node."""

    def __init__(self) -> None:
        self._under_way: dict[int, _Question] = {}

    async def ask(self, number: int, send: Callable[[], Awaitable[bool]]) -> bool:
        """Call *send* for node *number*, unless somebody does so already; tell what it returned.

        It returns whether it has an answer; if not, because the node has changed meanwhile, the
        caller asks again.

        Raises:
            StoreError: the store could not be asked; the same for all who wait.

        Cancellation: others who wait are told that there is no answer.
        """
        question = self._under_way.get(number)
        if question is not None:
            await question.is_over.wait()
            raise_again(question.error)
            return question.is_answered
        question = self._under_way[number] = _Question()
        try:
            question.is_answered = await send()
        except StoreError as error:
            question.error = error
            raise
        finally:
            del self._under_way[number]
            question.is_over.set()
        return question.is_answered
