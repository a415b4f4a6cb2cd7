"""Which pages of what was written the kernel is asked to forget."""

from __future__ import annotations

from mountfs.fuse.written_pages import KEPT_BYTES, STEP_BYTES, WrittenPages

MIB = 1024 * 1024


class Drops:
    """What was dropped, in order."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int, int]] = []
        self.is_alone = True
        self.pages = WrittenPages(
            lambda *dropped: self.ranges.append(dropped), lambda handle: self.is_alone
        )

    def write(self, handle: int, start: int, stop: int, step: int = MIB) -> None:
        """Write in order."""
        for at in range(start, stop, step):
            self.pages.note_written(handle, 7, at, min(at + step, stop))


def test_a_file_of_the_kept_size_stays() -> None:
    """It may be read again at once."""
    drops = Drops()
    drops.write(1, 0, KEPT_BYTES)
    assert [] == drops.ranges


def test_of_a_larger_file_all_but_the_end_is_dropped_once() -> None:
    """From its beginning on, without a gap, whatever the size of the writes."""
    for step in (4096, 100_000, MIB):
        drops = Drops()
        size = KEPT_BYTES + 20 * MIB + 123
        drops.write(1, 0, size, step)
        inodes, starts, stops = zip(*drops.ranges, strict=True)
        assert {7} == {*inodes}
        assert [0, *stops[:-1]] == [*starts]
        assert STEP_BYTES <= size - stops[-1] <= 3 * STEP_BYTES


def test_writes_that_are_not_in_order_keep_their_pages() -> None:
    """A database goes back and forth; what it writes it reads again."""
    drops = Drops()
    for _ in range(3):
        for at in range(0, 4 * KEPT_BYTES, 2 * MIB):
            drops.pages.note_written(1, 7, at, at + MIB)
    assert [] == drops.ranges


def test_what_somebody_else_has_open_stays() -> None:
    """While it is open; what was written by then is not looked at again."""
    drops = Drops()
    drops.write(1, 0, KEPT_BYTES + 8 * MIB)
    drops.is_alone = False
    drops.ranges.clear()
    drops.write(1, KEPT_BYTES + 8 * MIB, KEPT_BYTES + 24 * MIB)
    assert [] == drops.ranges
    drops.is_alone = True
    drops.write(1, KEPT_BYTES + 24 * MIB, KEPT_BYTES + 32 * MIB)
    assert drops.ranges
    assert drops.ranges[0][1] >= KEPT_BYTES + 20 * MIB


def test_each_handle_is_followed_by_itself() -> None:
    """Two that alternate are two runs; a closed one is forgotten."""
    drops = Drops()
    for at in range(0, KEPT_BYTES, MIB):
        drops.pages.note_written(1, 7, at, at + MIB)
        drops.pages.note_written(2, 7, 8 * KEPT_BYTES + at, 8 * KEPT_BYTES + at + MIB)
    assert [] == drops.ranges
    drops.pages.forget(1)
    drops.write(1, KEPT_BYTES, KEPT_BYTES + 8 * MIB)  # a new handle of the same number
    assert [] == drops.ranges
