"""``--attributes=posix``: what objects say of themselves, which no listing tells.

One HEAD a node, for as long as the kernel knows it or it stays in the tree; several at a time for
the entries of a directory. A node of which nothing could be learned shows the defaults of the
mount, and nobody may keep them: the next look asks again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from mountfs.errors import ObjectNotFoundError, StoreError, StoreUnavailableError
from mountfs.meta.node import File
from mountfs.vfs.node_attributes import NO_ATTRIBUTES
from mountfs.vfs.posix_metadata import decode_metadata
from mountfs.vfs.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node
    from mountfs.objects import ObjectHeaders
    from mountfs.store.protocol import ObjectStore

log = logging.getLogger(__name__)

HEADS_IN_FLIGHT = 64
"""For one piece of a directory: a whole one of 1,000 entries then takes 16 round trips."""


class Learner:
    """Asks the store for the attributes of nodes.

    Args:
        namespace: is told which nodes are stale.
        store: is asked.
        is_posix: without, nothing has to be learned.
    """

    def __init__(self, namespace: Namespace, store: ObjectStore, *, is_posix: bool) -> None:
        self._namespace = namespace
        self._store = store
        self._is_posix = is_posix
        self._questions = Questions()
        self._warned_of: set[type[StoreError]] = set()

    def is_learned(self, node: Node) -> bool:
        """Tell whether the attributes of *node* are known, as far as they are wanted."""
        if not self._is_posix or node.extra is not None:
            return True
        return node is self._namespace.root  # a bucket has none

    async def learn(self, node: Node) -> None:
        """Learn the attributes of *node*, unless they are known.

        If the store has another version of it, or none, it is stale and stays unlearned.

        Raises:
            StoreError: the store could not be asked.

        Cancellation: others who wait for the same answer ask again.
        """
        while not self.is_learned(node):
            if await self._questions.ask(node.number, partial(self._ask, node)):
                return

    async def learn_all(self, nodes: Sequence[Node]) -> None:
        """Learn the attributes of *nodes*, except of those that the store does not tell.

        Raises:
            StoreUnavailableError: many could not be learned: it is not about one object, and to
                wait for each of them helps nobody.
        """
        unlearned = [node for node in nodes if not self.is_learned(node)]
        unknown = iter(unlearned)
        failures: dict[str, StoreError] = {}
        outages: list[StoreUnavailableError] = []

        async def learn_some() -> None:
            for node in unknown:
                if len(outages) >= HEADS_IN_FLIGHT:
                    return
                try:
                    await self.learn(node)
                except StoreError as error:
                    failures[_key_of(node)] = error
                    if isinstance(error, StoreUnavailableError):
                        outages.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(min(HEADS_IN_FLIGHT, len(unlearned))):
                nursery.start_soon(learn_some)
        if len(outages) >= HEADS_IN_FLIGHT:
            raise outages[0]
        if failures:
            self._report(failures)

    def _report(self, failures: dict[str, StoreError]) -> None:
        """Log what could not be learned, in one line: a directory may be full of it."""
        key, error = next(iter(failures.items()))
        kinds = {type(error) for error in failures.values()}
        level = logging.INFO if kinds <= self._warned_of else logging.WARNING
        self._warned_of |= kinds
        log.log(level, "no attributes of %d objects, such as %r: %s", len(failures), key, error)

    async def _ask(self, node: Node) -> bool:
        """Ask for *node*; tell whether the answer is about it as it is now."""
        if not isinstance(node, File) and node.has_marker is False:
            node.extra = NO_ATTRIBUTES
            return True
        asked = _version_of(node)
        headers: ObjectHeaders | None = None
        etag = ""
        try:
            details = await self._store.head_details(_key_of(node))
            headers, etag = details.headers, details.info.etag
        except ObjectNotFoundError:
            pass  # a directory without a marker, or a file that is gone
        if node.extra is not None:  # learned or changed meanwhile
            return True
        if _version_of(node) != asked:  # renamed or published meanwhile
            return False
        if isinstance(node, File) and node.etag != etag:
            self._namespace.note_stale(node)
        elif headers is None:
            node.extra = NO_ATTRIBUTES
        else:
            adopt_headers(node, headers)
        return True


def adopt_headers(node: Node, headers: ObjectHeaders) -> None:
    """Let *node*, of which nothing is known but the listing, be what *headers* say."""
    decoded = decode_metadata(headers, is_directory=not isinstance(node, File))
    if decoded.mtime_ns is not None:
        node.mtime_ns = decoded.mtime_ns
    node.extra = replace(decoded, mtime_ns=None)


def _key_of(node: Node) -> str:
    return node.key if isinstance(node, File) else node.prefix


def _version_of(node: Node) -> tuple[str, str]:
    return _key_of(node), node.etag if isinstance(node, File) else ""
