"""``--attributes=posix``: what objects say of themselves, which no listing tells.

One HEAD a node, for as long as the kernel knows it or it stays in the tree; several at a time for
the entries of a directory.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from mountfs.errors import ObjectNotFoundError, StoreError
from mountfs.meta.node import File
from mountfs.vfs.node_attributes import NO_ATTRIBUTES
from mountfs.vfs.posix_metadata import decode_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.meta.node import Node
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)

HEADS_IN_FLIGHT = 64
"""For one piece of a directory: a whole one of 1,000 entries then takes 16 round trips."""


class _Question:
    """A request under way for one node, shared by all who want its answer.

    Attributes:
        is_over: set when it was answered or given up.
        error: why the store could not be asked.
    """

    __slots__ = ("error", "is_over")

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.error: StoreError | None = None


class Learner:
    """Asks the store for the attributes of nodes.

    Args:
        store: is asked.
        is_posix: without, nothing has to be learned.
    """

    def __init__(self, store: ObjectStore, *, is_posix: bool) -> None:
        self._store = store
        self._is_posix = is_posix
        self._questions: dict[int, _Question] = {}

    def is_learned(self, node: Node) -> bool:
        """Tell whether the attributes of *node* are known, as far as they are wanted."""
        return not self._is_posix or node.extra is not None

    async def learn(self, node: Node) -> None:
        """Learn the attributes of *node*, unless they are known.

        Raises:
            StoreError: the store could not be asked.

        Cancellation: others who wait for the same answer ask again.
        """
        while not self.is_learned(node):
            question = self._questions.get(node.number)
            if question is not None:
                await question.is_over.wait()
                if question.error is not None:
                    raise copy.copy(question.error) from question.error
                continue
            question = self._questions[node.number] = _Question()
            try:
                await self._ask(node)
            except StoreError as error:
                question.error = error
                raise
            finally:
                del self._questions[node.number]
                question.is_over.set()

    async def _ask(self, node: Node) -> None:
        """Ask for *node*; it is not learned if it was renamed meanwhile."""
        if not isinstance(node, File) and (node.is_root or node.has_marker is False):
            node.extra = NO_ATTRIBUTES
            return
        key = _key_of(node)
        try:
            details = await self._store.head_details(key)
        except ObjectNotFoundError:
            # A directory without a marker; or a file that is gone, which its open will find out.
            if node.extra is None and _key_of(node) == key:
                node.extra = NO_ATTRIBUTES
            return
        if node.extra is not None:  # learned or changed meanwhile
            return
        decoded = decode_metadata(details.headers, is_directory=not isinstance(node, File))
        if decoded.mtime_ns is not None:
            node.mtime_ns = decoded.mtime_ns
        node.extra = replace(decoded, mtime_ns=None)

    async def learn_all(self, nodes: Sequence[Node]) -> None:
        """Learn the attributes of *nodes*.

        Raises:
            StoreError: the store could not be asked.
        """
        unlearned = [node for node in nodes if not self.is_learned(node)]
        unknown = iter(unlearned)

        async def learn_some() -> None:
            for node in unknown:
                await self.learn(node)

        async with trio.open_nursery() as nursery:
            for _ in range(min(HEADS_IN_FLIGHT, len(unlearned))):
                nursery.start_soon(learn_some)


def _key_of(node: Node) -> str:
    return node.key if isinstance(node, File) else node.prefix
