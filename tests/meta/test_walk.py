"""The policy of listing ahead of a walk: pure, so tested without a store."""

from __future__ import annotations

from mountfs.meta.walk import (
    AHEAD_PER_USED,
    MAX_AHEAD_PAGES,
    PAGE_KEYS,
    RUN_PAGES,
    Run,
    Walk,
)

CONCURRENCY = 8


def make_walk(siblings: int) -> Walk:
    """Make the walk of so many siblings."""
    return Walk([b"%06d" % index for index in range(siblings)], CONCURRENCY)


class Simulation:
    """A process that opens siblings in order, and scans that need no time.

    With *is_slow*, no page arrives before the process waits for it.
    """

    def __init__(self, sizes: list[int], *, is_slow: bool = False) -> None:
        self.is_slow = is_slow
        self.sizes = sizes
        self.walk = make_walk(len(sizes))
        self.seen: dict[Run, int] = {}
        self.pages = 0

    def open(self, index: int) -> None:
        """Open a sibling; deliver the pages that it waits for and those that are listed ahead."""
        self.walk.note_opened(index)
        while (run := self.walk.choose(index)) is not None:
            run.is_wanted = True
            self.fetch(run)
        self.walk.plan_ahead(index)
        while not self.is_slow and (
            ready := [run for run in self.walk.runs if self.walk.wants_more(run)]
        ):
            self.fetch(ready[0])

    def fetch(self, run: Run) -> None:
        """Deliver one page of *run*."""
        self.pages += 1
        left = PAGE_KEYS
        index, seen = run.position, self.seen.get(run, 0)
        while index < run.stop and self.sizes[index] - seen < left:
            left -= self.sizes[index] - seen
            self.walk.note_complete(index, self.sizes[index])
            self.walk.note_size(index, self.sizes[index])
            index, seen = index + 1, 0
        seen += left if index < run.stop else 0
        self.seen[run] = seen
        self.walk.note_page(run, index, seen, is_deep=False)


def test_the_first_sibling_is_listed_flat() -> None:
    """Who opens the first one will probably open the next."""
    run = make_walk(10).choose(0)
    assert run is not None
    assert (run.position, run.stop) == (0, 10)


def test_a_sibling_out_of_order_is_listed_alone() -> None:
    """Nothing says that its neighbours will be wanted."""
    walk = make_walk(10)
    walk.note_opened(5)
    assert walk.choose(5) is None
    walk.note_opened(6)
    assert walk.choose(6) is not None


def test_a_sibling_that_a_run_is_near_waits_for_it() -> None:
    """Asking beside it would bring the same keys a second time."""
    walk = make_walk(100)
    run = walk.choose(0)
    assert run is not None
    walk.note_complete(0, 10)
    walk.note_size(0, 10)
    walk.note_page(run, 1, 0, is_deep=False)
    assert walk.choose(50) is run


def test_a_sibling_that_a_run_reaches_late_is_listed_on_its_own() -> None:
    """And the run ends there."""
    walk = make_walk(100)
    run = walk.choose(0)
    assert run is not None
    walk.note_complete(0, 900)
    walk.note_size(0, 900)
    walk.note_page(run, 1, 100, is_deep=False)
    assert walk.choose(50) is None
    assert run.stop == 50


def test_nothing_is_listed_ahead_of_the_first_sibling() -> None:
    """One directory that is opened is no walk."""
    simulation = Simulation([500] * 100)
    simulation.open(0)
    assert simulation.pages == 1


def test_runs_grow_in_number_and_not_beyond_the_concurrency() -> None:
    """1, 2, 4, 8: as a read-ahead window does."""
    simulation = Simulation([500] * 1000, is_slow=True)
    counts = []
    for index in range(20):
        simulation.open(index)
        counts.append(len(simulation.walk.runs))
    assert max(counts) <= CONCURRENCY
    assert counts[:4] == sorted(counts[:4])
    assert counts[:2] == [1, 2]
    assert max(counts) > CONCURRENCY // 2


def test_a_run_is_several_pages_long() -> None:
    """What is listed twice at its seam stays below 15 %."""
    simulation = Simulation([500] * 1000)
    for index in range(1000):
        simulation.open(index)
    assert 500 <= simulation.pages <= 500 * (1 + 1.2 / RUN_PAGES)


def test_what_is_listed_ahead_is_bounded_by_what_was_used() -> None:
    """A process that stops has wasted a few times what it used, and never more than 64 pages."""
    simulation = Simulation([100] * 20_000)
    for index in range(5000):
        simulation.open(index)
        used = (index + 1) * 100 / PAGE_KEYS
        ahead = simulation.pages - used
        seams = used / RUN_PAGES + CONCURRENCY  # listed twice: of the runs used, and of those ahead
        assert ahead <= min(AHEAD_PER_USED * used, MAX_AHEAD_PAGES) + seams + 2


def test_deep_siblings_that_nobody_descends_into_are_listed_alone() -> None:
    """Flat pages of them hold what is not wanted."""
    walk = make_walk(10)
    walk.note_opened(0)
    run = walk.choose(0)
    assert run is not None
    walk.note_page(run, 0, PAGE_KEYS, is_deep=True)
    assert walk.choose(0) is None
    walk.note_opened(1)
    assert walk.choose(1) is None
    assert not walk.wants_more(run)
