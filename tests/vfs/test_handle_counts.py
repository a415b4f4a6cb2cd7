from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mountfs.vfs.handle_counts import HandleCounts


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans())))
def test_an_inode_is_open_while_it_was_opened_more_often_than_released(
    steps: list[tuple[int, bool]],
) -> None:
    """Releases of what was opened elsewhere (a control file) count for nothing."""
    handles = HandleCounts()
    counts = {1: 0, 2: 0, 3: 0}
    for inode, is_open in steps:
        if is_open:
            counts[inode] += 1
            handles.note_opened(inode)
        else:
            counts[inode] = max(0, counts[inode] - 1)
            assert (counts[inode] == 0) == handles.note_released(inode)
        assert {key: count > 0 for key, count in counts.items()} == {
            key: handles.is_open(key) for key in counts
        }
