"""Known stretches of a directory against a map from positions to answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mountfs.meta.coverage import END, Coverage, Stretch

BYTES = [bytes((code,)) for code in range(ord("a"), ord("i"))]

edges = st.sampled_from([b"", *BYTES, END])


def test_an_empty_coverage_knows_nothing() -> None:
    """Nothing was listed, so nothing is complete."""
    coverage = Coverage()
    assert coverage.find(b"a") is None
    assert coverage.complete_since() == float("-inf")


def test_it_is_complete_since_its_oldest_stretch() -> None:
    """One old page makes the whole directory old."""
    coverage = Coverage()
    coverage.put(Stretch(b"", b"m", 7.0, 1, [b"a"]))
    assert coverage.complete_since() == float("-inf")
    coverage.put(Stretch(b"m", END, 5.0, 2, []))
    assert coverage.complete_since() == 5.0


@given(st.lists(st.tuples(edges, edges, st.sets(st.sampled_from(BYTES)))))
def test_it_equals_a_map_from_each_position_to_the_latest_answer(
    answers: list[tuple[bytes, bytes, set[bytes]]],
) -> None:
    """Whatever overlaps: a position belongs to the last stretch that was put over it."""
    coverage = Coverage()
    latest: dict[bytes, int] = {}
    present: set[bytes] = set()
    for sequence, (start, stop, keys) in enumerate(answers):
        if start >= stop:
            continue
        inside = sorted(key for key in keys if start <= key < stop)
        before = {key for key in present if start <= key < stop}
        put = coverage.put(Stretch(start, stop, float(sequence), sequence, inside))
        assert before == set(put)
        latest.update((key, sequence) for key in BYTES if start <= key < stop)
        present = (present - before) | set(inside)
    assert sorted(present) == coverage.keys_between(b"", END)
    for key in BYTES:
        stretch = coverage.find(key)
        assert latest.get(key) == (stretch.sequence if stretch is not None else None)
    for left, right in zip(coverage.stretches, coverage.stretches[1:], strict=False):
        assert left.start < left.stop <= right.start < right.stop
