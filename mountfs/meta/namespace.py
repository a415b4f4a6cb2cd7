"""Names: from a directory and a name to a node, asking the store as rarely as the TTL allows."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from mountfs.errors import ObjectNotFoundError
from mountfs.keys import decode_name
from mountfs.meta.coverage import END
from mountfs.meta.directory_stream import DirectoryStream
from mountfs.meta.fetch import PageFetcher
from mountfs.meta.hidden_keys import HiddenKeys
from mountfs.meta.inode_table import InodeTable
from mountfs.meta.listing import Listing
from mountfs.meta.listing_drive import drive_listing
from mountfs.meta.local_changes import LocalChanges
from mountfs.meta.node import NEVER, ROOT_NUMBER, Directory, File
from mountfs.meta.subtree import list_subtree
from mountfs.meta.walk_ahead import WalkAhead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mountfs.meta.config import MetadataConfig
    from mountfs.meta.fetch import Flight
    from mountfs.meta.node import Node
    from mountfs.objects import ObjectInfo
    from mountfs.store.protocol import ObjectStore

MAX_SCAN_WAITS = 3
"""Pages of a scan that a lookup waits for before it asks itself."""


class Namespace:
    """The tree, as far as it is known.

    Everything without `async` neither waits nor sends a request. Whatever a coroutine learned may
    be out of date after its await; answers are applied whole (`mountfs.meta.answer`), and what is
    returned is read from the tree after the last await.

    Attributes:
        root: always exists.
        table: the nodes that the kernel knows.
        hidden: counts the keys that are not shown.
        changes: makes the changes that come from here.
    """

    def __init__(
        self,
        config: MetadataConfig,
        root: Directory,
        table: InodeTable,
        store: ObjectStore,
        fetcher: PageFetcher,
        walk_ahead: WalkAhead,
        nursery: trio.Nursery,
    ) -> None:
        self.root = root
        self.table = table
        self.hidden = fetcher.hidden
        self.changes = LocalChanges(fetcher.numbers, fetcher.sent)
        self._ttl = config.ttl
        self._store = store
        self._fetcher = fetcher
        self._walk_ahead = walk_ahead
        self._nursery = nursery

    def remaining_seconds(self, node: Node, now: float) -> float:
        """Return for how long the kernel may believe the entry and the attributes of *node*."""
        if node.is_detached:
            return 0.0
        if node.parent.overrides is not None and node.parent.is_pinned(node.entry_key):
            return self._ttl.kernel_seconds(now, now)
        fetched_at = node.fetched_at
        if isinstance(node, File):
            # That no directory shadows the file was learned from the stretch that holds `name/`.
            stretch = node.parent.coverage.find(node.name + b"/")
            if stretch is None:
                fetched_at = NEVER
            elif stretch.sent_at < fetched_at:
                fetched_at = stretch.sent_at
        return self._ttl.kernel_seconds(fetched_at, now)

    def lookup_if_fresh(self, parent: Directory, name: bytes) -> Node | None:
        """Return what *name* shows if that is known and fresh, or pinned; without a request."""
        now = trio.current_time()
        subdirectory = parent.subdirectories.get(name)
        if subdirectory is not None:
            if self._ttl.is_fresh(subdirectory.fetched_at, now):
                return subdirectory
            return subdirectory if parent.is_pinned(name + b"/") else None
        file = parent.files.get(name)
        if file is None:
            return None
        if parent.overrides is not None and parent.is_pinned(name):
            return file
        if not self._ttl.is_fresh(file.fetched_at, now):
            return None
        return file if self._is_settled(parent, name + b"/", now) else None

    def is_known_absent(self, parent: Directory, name: bytes) -> bool:
        """Tell whether it is known and fresh, or pinned, that *name* shows nothing; no request."""
        if parent.child(name) is not None:
            return False
        now = trio.current_time()
        return self._is_settled(parent, name, now) and self._is_settled(parent, name + b"/", now)

    async def lookup(self, parent: Directory, name: bytes) -> Node:
        """Return what *name* shows, asking the store unless that is known and fresh.

        Raises:
            ObjectNotFoundError: the store has nothing of that name.
            StoreError: the store could not be asked.

        Cancellation: the request goes on for others that wait for it.
        """
        node = self.lookup_if_fresh(parent, name)
        if node is not None:
            return node
        if not parent.may_hold(name):
            raise ObjectNotFoundError(f"{decode_name(name)!r} cannot be a key below a directory")
        if self._is_pinned_absent(parent, name):
            raise ObjectNotFoundError(f"{parent.prefix + decode_name(name)!r} was removed here")
        await self._wait_for_scans(parent, name)
        node = self.lookup_if_fresh(parent, name)
        if node is None:
            known = parent.child(name)
            is_stale = known is not None and known.fetched_at == NEVER
            await self._ask(parent, name, is_forced=is_stale)
            node = parent.child(name)
        if node is None:
            raise ObjectNotFoundError(f"no key {parent.prefix + decode_name(name)!r}, nor below it")
        return node

    async def refresh(self, node: Node) -> None:
        """Ask the store about the name of *node* now, whatever the TTL.

        Afterwards `node.is_detached` tells whether the name still shows this version. Of a pinned
        entry the store can say nothing new.

        Raises:
            StoreError: the store could not be asked.
        """
        if node is self.root or node.is_detached or node.parent.is_pinned(node.entry_key):
            await trio.lowlevel.checkpoint()
        else:
            await self._ask(node.parent, node.name, is_forced=True)

    def note_stale(self, node: Node) -> None:
        """Note that the store does not know this version any more: the next lookup asks.

        No LIST that was sent before makes the node fresh again.
        """
        if node is not self.root:
            self.changes.note_stale(node)

    async def has_children(self, directory: Directory) -> bool:
        """Tell whether *directory* holds anything, asking the store unless that is known and fresh.

        Its own marker is nothing that it shows. Keys that cannot be shown count: they would make
        the directory come back. A directory that is gone has no children.

        Raises:
            StoreError: the store could not be asked.
        """
        now = trio.current_time()
        stretches = directory.coverage.stretches
        keys = (
            key
            for known in stretches
            if self._ttl.is_fresh(known.sent_at, now)
            for key in known.keys
        )
        if any(self.lookup_if_fresh(directory, key.removesuffix(b"/")) for key in keys):
            return True
        if directory.has_pinned_child:
            return True
        is_known = self._ttl.is_fresh(directory.coverage.complete_since(), now)
        may_hide = any(known.may_hide for known in stretches)
        position = END if is_known and directory.is_empty and not may_hide else b""
        while position != END and not directory.is_detached:
            flight = self._fetcher.request(directory, position, is_forced=True)
            await flight.wait()
            if flight.hides or directory.coverage.keys_between(position, flight.stop):
                return True
            position = flight.stop
        return not directory.is_empty  # created here meanwhile

    async def list_subtree(self, directory: Directory, *, limit: int) -> list[ObjectInfo]:
        """Return all keys below *directory* as the store has them now, in order, markers included.

        What was not published is not among them.

        Raises:
            SubtreeTooLargeError: there are more than *limit*.
            StoreError: the store could not be asked.
        """
        return await list_subtree(self._store, directory.prefix, limit)

    def open_directory(self, directory: Directory) -> DirectoryStream:
        """Begin to read *directory*; what is not known or not fresh is being listed from now on.

        A directory that is gone reads as an empty one.
        """
        now = trio.current_time()
        listing = directory.listing
        if (
            listing is None
            or listing.error is not None
            or not self._ttl.is_fresh(listing.created_at, now)
        ):
            listing = Listing(directory, now, self._fetcher.sent.next_number())
            # One page at once, so that most directories need no task.
            # More would delay everybody else.
            listing.catch_up(self._ttl, now)
        stream = DirectoryStream(listing)
        if directory.is_detached:
            listing.finish()
        else:
            self._walk_ahead.note_opened(directory)
        if not listing.is_complete and not listing.is_driven:
            listing.is_driven = True
            directory.listing = listing
            self._nursery.start_soon(
                drive_listing, listing, self._ttl, self._fetcher, self._walk_ahead
            )
        return stream

    # ---------------------------------------------------------------------------------------------

    def _is_settled(self, parent: Directory, position: bytes, now: float) -> bool:
        """Tell whether what the tree says of *position* needs no LIST."""
        if parent.overrides is not None and parent.is_pinned(position):
            return True
        stretch = parent.coverage.find(position)
        return stretch is not None and self._ttl.is_fresh(stretch.sent_at, now)

    def _is_pinned_absent(self, parent: Directory, name: bytes) -> bool:
        """Tell whether *name* was removed here: unlike other names, it cannot have come back."""
        if not parent.is_pinned(name) and not parent.is_pinned(name + b"/"):
            return False
        return self.is_known_absent(parent, name)

    async def _wait_for_scans(self, parent: Directory, name: bytes) -> None:
        """Wait for a flat scan that reaches *parent* soon instead of asking beside it."""
        for _ in range(MAX_SCAN_WAITS):
            scan = self._walk_ahead.scan_towards(parent, name)
            if scan is None or not await scan.wait_for_page():
                return

    async def _ask(self, parent: Directory, name: bytes, *, is_forced: bool) -> None:
        """Learn from the store what *name* shows: one LIST, more only if pages end in between."""
        slash = name + b"/"
        flight: Flight | None = None
        for position in (slash, name) if name in parent.subdirectories else (name, slash):
            if flight is not None and flight.covers(position):
                continue
            if parent.is_pinned(position):
                continue
            if not is_forced and self._is_file_known(parent, name, position):
                continue
            flight = await self._fetch_page(parent, name, position, is_forced=is_forced)
            if flight.covers(slash) and name in parent.subdirectories:
                return  # whether it shadows a file does not matter

    async def _fetch_page(
        self, parent: Directory, name: bytes, position: bytes, *, is_forced: bool
    ) -> Flight:
        """Fetch the page that says what is at *position*, which belongs to *name*, or share it."""
        fetcher = self._fetcher
        start = self._page_start(parent, name, position)
        not_before = start if start != position else b""
        flight = fetcher.flight_towards(
            parent, position, not_before=not_before, is_forced=is_forced
        ) or fetcher.request(parent, start, is_forced=is_forced)
        await flight.wait()
        if not flight.covers(position):
            flight = fetcher.request(parent, position, is_forced=is_forced)
            await flight.wait()
        return flight

    def _page_start(self, parent: Directory, name: bytes, position: bytes) -> bytes:
        """Return where to begin the page that answers for *position*.

        That is the page that held it when it was listed, so that its siblings are refreshed with
        it.
        """
        stretch = parent.coverage.find(position)
        if stretch is None:
            return position
        if parent.child(name) is None and self._ttl.is_fresh(stretch.sent_at, trio.current_time()):
            return position  # the siblings are fresh, and it is not among them
        return stretch.start

    def _is_file_known(self, parent: Directory, name: bytes, position: bytes) -> bool:
        """Tell whether there is a file *name*, and nothing new to be learned at *position*."""
        now = trio.current_time()
        file = parent.files.get(name)
        if file is None or not self._ttl.is_fresh(file.fetched_at, now):
            return False
        return self._is_settled(parent, position, now)


@asynccontextmanager
async def open_namespace(config: MetadataConfig, store: ObjectStore) -> AsyncIterator[Namespace]:
    """Open the tree below the prefix of *config*.

    Owns the LISTs in flight; leaving cancels them, and who still waits gets an error.
    """
    root = Directory(ROOT_NUMBER, None, b"", config.prefix, float("inf"))
    table = InodeTable(root)
    async with trio.open_nursery() as nursery:
        fetcher = PageFetcher(config, store, nursery, table.numbers, HiddenKeys())
        walk_ahead = WalkAhead(config, fetcher, nursery)
        yield Namespace(config, root, table, store, fetcher, walk_ahead, nursery)
        nursery.cancel_scope.cancel()
