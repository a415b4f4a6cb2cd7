"""When to list flat, from where, and how far ahead: policy only, nothing here is sent or awaited.

A process that walks a tree opens the subdirectories of a directory in order. One flat LIST (without
a delimiter) answers for as many of them as fit on its pages. So the walk of one parent's
subdirectories is kept here as a `Walk`; it cuts the sequence of siblings into `Run`s, each of which
one scan lists flat, page by page. Each event may start runs and let them go on; the limits are
those of read-ahead: more only after what was listed has been used.
"""

from __future__ import annotations

from bisect import bisect_left

PAGE_KEYS = 1000
"""What a store returns for one LIST."""

RUN_PAGES = 8
"""How long a run should be: at its end about one page is listed twice (12 %). Longer ones would
leave nothing to do at the same time in trees of a hundred pages."""

MAX_AHEAD_PAGES = 64
"""What may be listed and not used yet: eight runs, for eight LISTs at a time."""

AHEAD_PER_USED = 4
"""How many keys may be listed ahead for each one that was used: what a process that stops walking
has wasted at most."""

PATIENCE_PAGES = 2
"""A directory that a scan reaches within this many pages is waited for instead of asked for."""

MAX_SKIPPED = 3
"""A sibling that follows the last one by this many places was still opened in order: others may
have been fresh in the kernel, or excluded by the process."""

MAX_CURSORS = 8
"""Processes that walk the same siblings at different places at a time. No reason for this
number."""


MAX_DOUBLINGS = 10
"""Keeps the power of two small; the number of scans is limited long before."""


class Run:
    """Siblings ``[start, stop)``, listed flat by one scan.

    Attributes:
        position: index of the sibling that the scan is in.
        position_keys: how many keys of it were seen.
        is_deep: it has subdirectories.
        is_wanted: somebody waits for the next page.
        is_fetching: a page is in flight.
    """

    __slots__ = ("is_deep", "is_fetching", "is_wanted", "position", "position_keys", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.stop = stop
        self.position = start
        self.position_keys = 0
        self.is_deep = False
        self.is_wanted = False
        self.is_fetching = False

    @property
    def is_finished(self) -> bool:
        """Tell whether everything in it has been listed."""
        return self.position >= self.stop


class _Cursor:
    """One process that opens siblings in order.

    Attributes:
        index: the last one.
        count: how many so far.
        front: no sibling between the last one and this index needs a run.
    """

    __slots__ = ("count", "front", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.count = 1
        self.front = index


class Walk:
    """What is known of the walk through the subdirectories of one directory.

    Args:
        names: the subdirectories, in the order of the store.
        concurrency: scans at a time at most.

    Attributes:
        runs: those that are not finished.
        is_descending: subdirectories of the siblings were opened too, so that their keys are of
        use.
        is_forbidden: the store does not permit to list flat here.
    """

    def __init__(self, names: list[bytes], concurrency: int) -> None:
        self._order = [name + b"/" for name in names]
        self._concurrency = concurrency
        self._keys = [-1] * len(names)
        self._is_opened = bytearray(len(names))
        self._used_keys = 0
        self._unused_keys = 0
        self._is_sized = bytearray(len(names))
        self._sized_count = 0
        self._cursors: list[_Cursor] = []
        self._is_wasteful = False
        self.runs: list[Run] = []
        self.is_descending = False
        self.is_forbidden = False
        self.sized_keys = 0

    def index_of(self, name: bytes) -> int:
        """Return the index of the first sibling that is not before *name*."""
        return bisect_left(self._order, name + b"/")

    def name_at(self, index: int) -> bytes:
        """Return the name of a sibling."""
        return self._order[index][:-1]

    def entry_key_at(self, index: int) -> bytes | None:
        """Return the entry key of a sibling; None behind the last one."""
        return self._order[index] if index < len(self._order) else None

    def has(self, name: bytes) -> bool:
        """Tell whether *name* was among the siblings when the walk began."""
        index = self.index_of(name)
        return index < len(self._order) and self._order[index] == name + b"/"

    @property
    def average_keys(self) -> float | None:
        """How many keys a sibling has, from those that are complete; None as long as none is."""
        return self.sized_keys / self._sized_count if self._sized_count else None

    @property
    def is_sized(self) -> bool:
        """Tell whether the size of every sibling is known."""
        return self._sized_count == len(self._order)

    # --- events ----------------------------------------------------------------------------------

    def note_opened(self, index: int) -> None:
        """Note that a process lists the sibling at *index*."""
        if not self._is_opened[index]:
            self._is_opened[index] = 1
            if self._keys[index] > 0:
                self._unused_keys -= self._keys[index]
                self._used_keys += self._keys[index]
        for cursor in self._cursors:
            if cursor.index <= index <= cursor.index + MAX_SKIPPED:
                if index > cursor.index:
                    cursor.index = index
                    cursor.count += 1
                return
        self._cursors.append(_Cursor(index))
        del self._cursors[:-MAX_CURSORS]

    def note_complete(self, index: int, keys: int) -> None:
        """Note that the sibling at *index* itself is known, with *keys* of what is below it."""
        if self._keys[index] < 0:
            self._keys[index] = keys
            if self._is_opened[index]:
                self._used_keys += keys
            else:
                self._unused_keys += keys

    def note_size(self, index: int, keys: int) -> None:
        """Note how many keys there are below the sibling at *index*, in all depths."""
        if not self._is_sized[index]:
            self._is_sized[index] = 1
            self._sized_count += 1
            self.sized_keys += keys

    def note_page(self, run: Run, position: int, position_keys: int, *, is_deep: bool) -> None:
        """Note where the scan of *run* is after a page; what it has passed is complete."""
        for index in range(run.position, min(position, run.stop)):
            if self._keys[index] < 0:
                self.note_complete(index, 0)  # vanished
                self.note_size(index, 0)
        run.position = position
        run.position_keys = position_keys
        run.is_deep = is_deep
        run.is_wanted = False
        if is_deep and position_keys >= PAGE_KEYS:
            self._is_wasteful = True
        if run.is_finished:
            self.runs.remove(run)

    # --- decisions -------------------------------------------------------------------------------

    def choose(self, index: int) -> Run | None:
        """Return the run that will list the sibling at *index*; None if that is to be listed alone.

        The caller waits for the run's next page (`Run.is_wanted`) and asks again.
        """
        if self._keys[index] >= 0 or self.is_forbidden:
            return None
        run = self.run_at(index)
        if run is not None:
            if run.position == index and run.is_deep and not self.is_worth_waiting(run):
                return None
            if self.is_near(run, index):
                return run
            run.stop = index
        if not self._is_flat_worthwhile(index):
            return None
        return self._start(index, self._next_taken(index + 1))

    def adopt(self, position: int, position_keys: int, *, is_deep: bool) -> Run:
        """Return a run for a scan that is already in the sibling at *position*."""
        run = self._start(position, self._next_taken(position + 1))
        run.position_keys = position_keys
        run.is_deep = is_deep
        return run

    def run_at(self, index: int) -> Run | None:
        """Return the run that has the sibling at *index* still before it, or is in it."""
        for run in self.runs:
            if run.position <= index < run.stop:
                return run
        return None

    def is_near(self, run: Run, index: int) -> bool:
        """Tell whether *run* reaches the sibling at *index* soon enough to wait for it."""
        if run.position < index:
            if run.position_keys >= PATIENCE_PAGES * PAGE_KEYS:
                return False  # in a huge sibling, whose end is not known
            if run.is_deep and not self.is_worth_waiting(run):
                return False
        average = PAGE_KEYS if self.average_keys is None else self.average_keys
        return (index - run.position) * average <= PATIENCE_PAGES * PAGE_KEYS

    def is_worth_waiting(self, run: Run) -> bool:
        """Tell whether the sibling that *run* is in, with all of its depths, is listed soon."""
        average = self.average_keys
        if average is None:
            return False
        if average <= PAGE_KEYS:
            return run.position_keys <= 2 * PAGE_KEYS
        return self.is_descending and average - run.position_keys <= PATIENCE_PAGES * PAGE_KEYS

    def plan_ahead(self, index: int) -> None:
        """Add runs ahead of the sibling at *index*, which was just opened."""
        average = self.average_keys
        cursor = self._cursor_at(index)
        if average is None or cursor is None or cursor.count < 2 or self._would_waste():
            return
        length = max(1, round(RUN_PAGES * PAGE_KEYS / max(1.0, average)))
        for run in self.runs:
            # Runs that `choose` began have no end of their own. Up to two lengths are left whole.
            if run.stop > index and run.stop - run.position > 2 * length:
                run.stop = run.position + length
                cursor.front = index
        window = min(self._concurrency, 2 ** min(cursor.count - 1, MAX_DOUBLINGS))
        position = max(index + 1, cursor.front)
        started = sum(run.stop > index for run in self.runs)
        unread = self._unread_keys()
        while started < window and unread < self._allowed_keys():
            while position < len(self._order) and self._is_taken(position):
                position += 1
            cursor.front = position
            if position == len(self._order):
                return
            stop = min(position + length, self._next_taken(position + 1))
            self._start(position, stop)
            started += 1
            unread += PAGE_KEYS
            position = stop

    def wants_more(self, run: Run) -> bool:
        """Tell whether the scan of *run* should fetch its next page now."""
        if run.is_finished or self.is_forbidden:
            return False
        if run.is_wanted:
            return True
        if self._would_waste() or not self._is_ahead(run):
            return False
        if run.is_deep and not self.is_descending and run.position_keys >= PAGE_KEYS:
            return False
        return self._unread_keys() < self._allowed_keys()

    # ---------------------------------------------------------------------------------------------

    def _start(self, start: int, stop: int) -> Run:
        run = Run(start, stop)
        self.runs.append(run)
        return run

    def _is_taken(self, index: int) -> bool:
        """Tell whether nobody needs to list the sibling at *index* any more."""
        return self._keys[index] >= 0 or self.run_at(index) is not None

    def _next_taken(self, index: int) -> int:
        """Return the first index from *index* on where a new run has to stop."""
        while index < len(self._order) and not self._is_taken(index):
            index += 1
        return index

    def _cursor_at(self, index: int) -> _Cursor | None:
        return next((cursor for cursor in self._cursors if cursor.index == index), None)

    def _is_ahead(self, run: Run) -> bool:
        """Tell whether a process that walks in order will come to *run*."""
        return any(cursor.count > 1 and cursor.index < run.stop for cursor in self._cursors)

    def _would_waste(self) -> bool:
        """Tell whether flat pages hold mostly what nobody asks for."""
        if self.is_forbidden:
            return True
        if not self._is_wasteful or self.is_descending:
            return False
        average = self.average_keys
        return average is None or average > PAGE_KEYS

    def _is_flat_worthwhile(self, index: int) -> bool:
        if self._would_waste():
            return False
        cursor = self._cursor_at(index)
        return index == 0 or (cursor is not None and cursor.count > 1)

    def _allowed_keys(self) -> float:
        used = AHEAD_PER_USED * self._used_keys
        return min(MAX_AHEAD_PAGES * PAGE_KEYS, max(PAGE_KEYS, used))

    def _unread_keys(self) -> int:
        """Return how many keys were listed ahead, or will be by the pages in flight."""
        unread = self._unused_keys
        for run in self.runs:
            if run.is_fetching:
                unread += PAGE_KEYS
            if run.position < len(self._is_opened) and not self._is_opened[run.position]:
                unread += run.position_keys
        return unread
