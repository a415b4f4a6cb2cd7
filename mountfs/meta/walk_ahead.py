"""Carries out what `mountfs.meta.walk` decides: scans ahead of processes that walk a tree."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

import trio

from mountfs.errors import AccessDeniedError, StoreError, StoreUnavailableError, raise_again
from mountfs.keys import decode_name
from mountfs.meta.coverage import END
from mountfs.meta.flat_scan import FlatScan
from mountfs.meta.walk import PAGE_KEYS, PATIENCE_PAGES, Walk

if TYPE_CHECKING:
    from mountfs.meta.config import MetadataConfig
    from mountfs.meta.fetch import PageFetcher
    from mountfs.meta.node import Directory
    from mountfs.meta.walk import Run

log = logging.getLogger(__name__)

MAX_WALKS = 64
"""Parents whose walk is remembered: the chains of directories that a handful of processes are
in."""

_SLASH = ord("/")


class Scan:
    """A flat scan, the run that it is for, and who waits for its pages."""

    __slots__ = ("_error", "_has_failed", "_page_done", "flat", "run", "walk")

    def __init__(self, walk: Walk, run: Run, flat: FlatScan) -> None:
        self.walk = walk
        self.run = run
        self.flat = flat
        self._page_done = trio.Event()
        self._error: StoreError | None = None
        self._has_failed = False

    async def wait_for_page(self) -> bool:
        """Wait until the next page has been applied.

        Returns:
            False if it could not be fetched: what a scan cannot bring may be listed alone.

        Raises:
            StoreError: the mount is being closed.
        """
        await self._page_done.wait()
        raise_again(self._error)
        return not self._has_failed

    def note_page(self) -> None:
        """Wake who waits for the page that was just applied."""
        self._page_done.set()
        self._page_done = trio.Event()

    def fail(self) -> None:
        """Tell who waits not to wait for this scan any more."""
        self._has_failed = True
        self._page_done.set()

    def crash(self, error: StoreError) -> None:
        """Tell who waits that there will be no more pages."""
        self._error = error
        self._page_done.set()


class WalkAhead:
    """Recognises walks and lists flat ahead of them.

    Args:
        config: freshness, and how many LISTs at a time.
        fetcher: sends the LISTs.
        nursery: owns the scans.
    """

    def __init__(self, config: MetadataConfig, fetcher: PageFetcher, nursery: trio.Nursery) -> None:
        self._ttl = config.ttl
        self._concurrency = config.list_concurrency
        # What is listed ahead must still be fresh when it is asked for.
        self._is_enabled = (
            config.lists_in_order and config.list_concurrency > 0 and config.ttl.seconds > 0
        )
        self._fetcher = fetcher
        self._nursery = nursery
        self._walks: OrderedDict[Directory, tuple[Walk, float]] = OrderedDict()
        self._scans: dict[Run, Scan] = {}
        self._fetching = 0

    def note_opened(self, directory: Directory) -> None:
        """Note that a process lists *directory*, and list ahead of it."""
        if directory.is_root:
            return
        above = self._known_walk_of(directory.parent.parent)
        if above is not None and not directory.parent.is_root:
            above.is_descending = True
        walk = self._walk_of(directory.parent)
        if walk is None or not walk.has(directory.name):
            return
        index = walk.index_of(directory.name)
        walk.note_opened(index)
        if self._scan_above(directory.parent) is None:
            walk.plan_ahead(index)
        self._resume(directory.parent, walk)

    def note_complete(self, directory: Directory) -> None:
        """Note that *directory* was listed without a scan."""
        keys = len(directory.files) + len(directory.subdirectories)
        self._note_listed(directory, keys)
        if not directory.subdirectories:
            self._note_size(directory, keys)

    def scan_for(self, directory: Directory) -> Scan | None:
        """Return the scan whose next page *directory* should wait for; None: list it alone."""
        if directory.is_root or not self._is_enabled:
            return None
        parent = directory.parent
        scan = self._scan_above(directory)
        if scan is None:
            walk = self._known_walk_of(parent)
            if walk is None or not walk.has(directory.name):
                return None
            run = walk.choose(walk.index_of(directory.name))
            if run is None:
                return None
            scan = self._scan_of(parent, walk, run)
        scan.run.is_wanted = True
        self._start(scan)
        return scan

    def scan_towards(self, directory: Directory, name: bytes) -> Scan | None:
        """Return a scan in flight that soon says what *name* in *directory* is, if there is one."""
        if directory.is_root or directory.coverage.find(name + b"/") is not None:
            return None
        branch = directory
        while not branch.is_root:
            scan = self._scan_at(branch)
            if scan is not None and scan.run.is_fetching:
                index = scan.walk.index_of(branch.name)
                if branch is directory:
                    is_soon = scan.walk.is_near(scan.run, index)
                else:
                    is_soon = self._comes_soon(scan, directory, index)
                if is_soon and scan.flat.last_key < directory.prefix + decode_name(name):
                    return scan
            branch = branch.parent
        return None

    # ---------------------------------------------------------------------------------------------

    def _note_listed(self, directory: Directory, keys: int) -> None:
        walk = self._known_walk_of(directory.parent)
        if walk is not None and walk.has(directory.name):
            walk.note_complete(walk.index_of(directory.name), keys)

    def _note_size(self, directory: Directory, keys: int) -> None:
        """Note how large *directory* is, and its parent, if it was the last whose size lacked."""
        while True:
            directory.subtree_keys = keys
            parent = directory.parent
            walk = self._known_walk_of(parent)
            if walk is None or not walk.has(directory.name):
                return
            walk.note_size(walk.index_of(directory.name), keys)
            if parent.is_root or not walk.is_sized:
                return
            keys = walk.sized_keys + len(parent.files)
            directory = parent

    def _scan_at(self, branch: Directory) -> Scan | None:
        """Return the scan of its siblings that has *branch* before it, or is in it."""
        walk = self._known_walk_of(branch.parent)
        run = walk.run_at(walk.index_of(branch.name)) if walk is not None else None
        return self._scans.get(run) if run is not None else None

    def _scan_above(self, directory: Directory) -> Scan | None:
        """Return a scan below a higher directory than the parent that soon comes to *directory*."""
        branch = directory.parent
        while not branch.is_root:
            scan = self._scan_at(branch)
            if scan is not None and self._comes_soon(
                scan, directory, scan.walk.index_of(branch.name)
            ):
                return scan
            branch = branch.parent
        return None

    def _comes_soon(self, scan: Scan, directory: Directory, index: int) -> bool:
        flat, run, walk = scan.flat, scan.run, scan.walk
        if flat.goes_through(directory):
            return flat.deepest is directory or walk.is_worth_waiting(run)
        if run.position == index:
            is_passed = flat.last_key > directory.prefix
            return not is_passed and walk.is_worth_waiting(run)
        average = walk.average_keys
        is_small = average is not None and average <= PATIENCE_PAGES * PAGE_KEYS
        return is_small and walk.is_near(run, index)

    def _known_walk_of(self, parent: Directory) -> Walk | None:
        entry = self._walks.get(parent)
        return entry[0] if entry is not None else None

    def _walk_of(self, parent: Directory) -> Walk | None:
        """Return the walk below *parent*; begin one if its subdirectories are known."""
        if not self._is_enabled:
            return None
        now = trio.current_time()
        entry = self._walks.get(parent)
        if entry is not None and self._ttl.is_fresh(entry[1], now):
            self._walks.move_to_end(parent)
            return entry[0]
        if parent.coverage.complete_since() == float("-inf"):
            return None
        walk = self._new_walk(parent, now)
        self._walks[parent] = walk, now
        self._walks.move_to_end(parent)
        if len(self._walks) > MAX_WALKS:
            self._drop(self._walks.popitem(last=False)[1][0])
        self._adopt(parent, walk)
        return walk

    def _new_walk(self, parent: Directory, now: float) -> Walk:
        entry = self._walks.pop(parent, None)
        if entry is not None:
            self._drop(entry[0])
        keys = parent.coverage.keys_between(b"", END)
        names = [key[:-1] for key in keys if key[-1] == _SLASH]
        walk = Walk(names, self._concurrency)
        for index, name in enumerate(names):
            child = parent.subdirectories[name]
            if child.subtree_keys >= 0 and self._ttl.is_fresh(child.coverage.complete_since(), now):
                walk.note_complete(index, child.subtree_keys)
                walk.note_size(index, child.subtree_keys)
        return walk

    def _drop(self, walk: Walk) -> None:
        """Let no scan of *walk* fetch another page."""
        for run in walk.runs:
            run.stop = run.position
            if not run.is_fetching:
                self._scans.pop(run, None)
        walk.runs = [run for run in walk.runs if run.is_fetching]

    def _adopt(self, parent: Directory, walk: Walk) -> None:
        """Let a scan that stopped within *parent* go on as one of *walk*: it is read now."""
        above = self._known_walk_of(parent.parent)
        if above is None or parent.is_root:
            return
        for run in above.runs:
            scan = self._scans.get(run)
            if scan is None or run.is_fetching or not scan.flat.goes_through(parent):
                continue
            if scan.flat.deepest is parent:
                continue  # between two of its subdirectories: a new scan loses nothing
            above.runs.remove(run)
            del self._scans[run]
            scan.flat.rebase(parent)
            index = walk.index_of(scan.flat.child)
            adopted = walk.adopt(index, scan.flat.child_keys, is_deep=scan.flat.is_deep)
            self._scans[adopted] = Scan(walk, adopted, scan.flat)
            return

    def _scan_of(self, parent: Directory, walk: Walk, run: Run) -> Scan:
        scan = self._scans.get(run)
        if scan is None:
            flat = FlatScan(
                parent,
                walk.name_at(run.position),
                numbers=self._fetcher.numbers,
                hidden=self._fetcher.hidden,
            )
            scan = self._scans[run] = Scan(walk, run, flat)
        return scan

    def _resume(self, parent: Directory, walk: Walk) -> None:
        for run in list(walk.runs):
            if self._fetching >= self._concurrency:
                return
            if not run.is_fetching and walk.wants_more(run):
                self._start(self._scan_of(parent, walk, run))

    def _start(self, scan: Scan) -> None:
        if not scan.run.is_fetching:
            scan.run.is_fetching = True
            self._fetching += 1
            self._nursery.start_soon(self._fetch_while_wanted, scan)

    async def _fetch_while_wanted(self, scan: Scan) -> None:
        run, walk = scan.run, scan.walk
        try:
            while True:
                if not await self._fetch_page(scan):
                    self._abandon(scan)
                    break
                if not walk.wants_more(run):
                    break
        except StoreError as error:
            log.debug("cannot list flat below %r: %s", scan.flat.base.prefix, error)
            # Policies may permit to list with a delimiter only, or below some prefixes only.
            if isinstance(error, AccessDeniedError):
                walk.is_forbidden = True
            self._abandon(scan)
        except Exception:  # a bug must not end the mount
            log.exception("cannot list flat below %r", scan.flat.base.prefix)
            self._abandon(scan)
        except trio.Cancelled:
            scan.crash(StoreUnavailableError("the mount is being closed"))
            raise
        finally:
            run.is_fetching = False
            self._fetching -= 1
            if run.is_finished:
                self._scans.pop(run, None)

    def _abandon(self, scan: Scan) -> None:
        """Let those who wait for *scan* list alone, and the next walk begin another one."""
        self._scans.pop(scan.run, None)
        if scan.run in scan.walk.runs:
            scan.walk.runs.remove(scan.run)
        scan.fail()

    async def _fetch_page(self, scan: Scan) -> bool:
        """Fetch and apply the next page; tell whether that was possible.

        It is not once the directory that is scanned was moved: its keys begin differently now.
        """
        run, walk, flat = scan.run, scan.walk, scan.flat
        if flat.is_void():
            return False
        with self._fetcher.sent.sending() as sequence:
            sent = await self._fetcher.list_flat(flat.base.prefix, flat.last_key, sequence=sequence)
            if flat.is_void():
                return False
            for directory, keys in flat.read(sent, walk.entry_key_at(run.stop) or END):
                self._note_listed(directory, keys)
                self._note_size(directory, keys)
        position = run.stop if flat.child == END else walk.index_of(flat.child)
        walk.note_page(run, position, flat.child_keys, is_deep=flat.is_deep)
        scan.note_page()
        return True
