"""How a file is cut into parts: always within the store's rules, and with little to send."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mountfs.data.part_plan import (
    COPY_BYTES,
    MIB,
    STREAM_BYTES,
    STREAM_PARTS,
    CopyPart,
    DataPart,
    Part,
    plan_parts,
    stream_part_bytes,
)

GIB = 1024 * MIB
TIB = 1024 * GIB


def plan(size_bytes: int, base_bytes: int, *extents: tuple[int, int]) -> list[Part]:
    """Plan with the rules of S3."""
    parts = plan_parts(
        size_bytes=size_bytes,
        base_bytes=base_bytes,
        extents=extents,
        part_bytes=8 * MIB,
        min_part_bytes=5 * MIB,
        max_part_bytes=5 * GIB,
        max_parts=10_000,
    )
    check(parts, size_bytes, base_bytes, extents, 5 * MIB, 5 * GIB, 10_000)
    return parts


def check(
    parts: list[Part],
    size_bytes: int,
    base_bytes: int,
    extents: tuple[tuple[int, int], ...],
    minimum: int,
    maximum: int,
    max_parts: int,
) -> None:
    """Check what holds for every plan."""
    assert len(parts) <= max_parts
    at = 0
    for index, part in enumerate(parts):
        assert at == part.start < part.stop
        assert part.stop - part.start <= maximum
        assert part.stop - part.start >= minimum or index == len(parts) - 1
        if isinstance(part, CopyPart):
            assert part.stop <= base_bytes
            assert not any(start < part.stop and part.start < stop for start, stop in extents)
        at = part.stop
    assert size_bytes == at


def sent_bytes(parts: list[Part]) -> int:
    """Return how much has to be sent."""
    return sum(part.stop - part.start for part in parts if isinstance(part, DataPart))


def test_a_byte_appended_to_a_large_object_is_all_that_is_sent() -> None:
    """1 GiB is copied, in pieces that the store works on at once."""
    parts = plan(GIB + 1, GIB, (GIB, GIB + 1))
    assert [
        CopyPart(0, COPY_BYTES),
        CopyPart(COPY_BYTES, GIB),
        DataPart(GIB, GIB + 1),
    ] == parts


def test_a_byte_in_the_middle_costs_one_smallest_part() -> None:
    """The part around a change has the least size that the store accepts."""
    parts = plan(GIB, GIB, (GIB // 2, GIB // 2 + 1))
    assert 5 * MIB == sent_bytes(parts)
    assert len(parts) <= 4


def test_a_byte_at_the_start_costs_one_smallest_part() -> None:
    """What is missing is taken from behind."""
    parts = plan(GIB, GIB, (0, 1))
    assert DataPart(0, 5 * MIB) == parts[0]
    assert 5 * MIB == sent_bytes(parts)


def test_a_byte_near_the_end_leaves_a_small_copy_at_the_end() -> None:
    """The last part may be small, also when it is copied."""
    parts = plan(GIB, GIB, (GIB - 6 * MIB, GIB - 6 * MIB + 1))
    assert 5 * MIB == sent_bytes(parts)
    assert isinstance(parts[-1], CopyPart)


def test_two_changes_close_to_each_other_are_sent_together() -> None:
    """To go around 6 MiB would cost two parts of 5 MiB."""
    parts = plan(GIB, GIB, (100 * MIB, 100 * MIB + 1), (106 * MIB, 106 * MIB + 1))
    assert 6 * MIB + 1 == sent_bytes(parts)


def test_a_cut_object_is_only_copied() -> None:
    """Nothing was written, so nothing is sent."""
    assert 0 == sent_bytes(plan(700 * MIB, 700 * MIB))


def test_a_hole_behind_the_base_is_sent() -> None:
    """No object has zeros to copy from."""
    assert [CopyPart(0, 10 * MIB), DataPart(10 * MIB, 12 * MIB)] == plan(12 * MIB, 10 * MIB)


def test_a_new_file_is_cut_into_parts_of_the_part_size() -> None:
    """The last one is what is left."""
    parts = plan(20 * MIB, 0, (0, 20 * MIB))
    assert [
        DataPart(0, 8 * MIB),
        DataPart(8 * MIB, 16 * MIB),
        DataPart(16 * MIB, 20 * MIB),
    ] == parts


def test_an_empty_file_has_no_parts() -> None:
    """There is nothing to send."""
    assert [] == plan(0, 0)


def test_five_tebibytes_fit_with_parts_no_larger_than_needed() -> None:
    """A file as large as an object may be is sent in 10,000 parts."""
    parts = plan(5 * TIB, 0, (0, 5 * TIB))
    assert max(part.stop - part.start for part in parts) <= 528 * MIB


def test_an_append_to_five_tebibytes_is_copied_in_larger_pieces() -> None:
    """512 MiB each would be more than 10,000 parts."""
    base = 5 * TIB - MIB
    assert MIB == sent_bytes(plan(5 * TIB, base, (base, 5 * TIB)))


def test_many_small_changes_stay_within_the_number_of_parts() -> None:
    """Where they are too many, the smallest copies are given up."""
    extents = [(start, start + 1) for start in range(0, 400 * GIB, 30 * MIB)]
    parts = plan(400 * GIB, 400 * GIB, *extents)
    assert sent_bytes(parts) < 400 * GIB


def test_more_than_the_parts_can_hold_is_refused() -> None:
    """Ten parts of 100 bytes do not hold 1,001."""
    with pytest.raises(ValueError, match="1001 bytes"):
        plan_parts(
            size_bytes=1001,
            base_bytes=0,
            extents=[],
            part_bytes=8,
            min_part_bytes=5,
            max_part_bytes=100,
            max_parts=10,
        )


@st.composite
def files(draw: st.DrawFn) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """Draw a size, how much of a base is visible, and what was written."""
    size = draw(st.integers(0, 900))
    base = draw(st.integers(0, size))
    edges = sorted(draw(st.sets(st.integers(0, size), max_size=40)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return size, base, tuple(pairs)


@given(files())
@settings(max_examples=500, deadline=None)
def test_every_plan_obeys_the_rules_and_sends_little(
    file: tuple[int, int, tuple[tuple[int, int], ...]],
) -> None:
    """Beyond what was written, little more than what the smallest part forces is sent."""
    size, base, extents = file
    minimum, part = 5, 8
    parts = plan_parts(
        size_bytes=size,
        base_bytes=base,
        extents=extents,
        part_bytes=part,
        min_part_bytes=minimum,
        max_part_bytes=5000,
        max_parts=10_000,
    )
    check(parts, size, base, extents, minimum, 5000, 10_000)
    written = sum(stop - start for start, stop in extents)
    written += sum(1 for at in range(base, size) if not any(a <= at < b for a, b in extents))
    assert sent_bytes(parts) <= written + 3 * minimum * (len(extents) + 1)
    for planned in parts:
        if isinstance(planned, DataPart):
            assert planned.stop - planned.start <= max(part, 2 * minimum)


@given(files(), st.integers(1, 12), st.integers(1, 8), st.integers(1, 30))
@settings(max_examples=500, deadline=None)
def test_few_and_small_parts_are_enough_whenever_they_can_be(
    file: tuple[int, int, tuple[tuple[int, int], ...]],
    max_parts: int,
    minimum: int,
    part_bytes: int,
) -> None:
    """If the bytes fit at all, there is a plan, however close to the limits."""
    size, base, extents = file
    part_bytes = max(part_bytes, minimum)
    maximum = max(-(-size // max_parts), part_bytes, 2 * minimum)
    parts = plan_parts(
        size_bytes=size,
        base_bytes=base,
        extents=extents,
        part_bytes=part_bytes,
        min_part_bytes=minimum,
        max_part_bytes=maximum,
        max_parts=max_parts,
    )
    check(parts, size, base, extents, minimum, maximum, max_parts)


@pytest.mark.parametrize("part_mib", [5, 8, 16, 64, 600])
def test_a_stream_of_five_tebibytes_fits(part_mib: int) -> None:
    """All parts together carry the largest object, and none is larger than a part may be."""
    part_bytes = part_mib * MIB
    sizes = [stream_part_bytes(number, part_bytes) for number in range(1, STREAM_PARTS + 1)]
    assert sum(sizes) >= STREAM_BYTES
    assert sizes == sorted(sizes)
    assert max(sizes) <= 5 * GIB
    assert not any(size % part_bytes for size in sizes)


def test_an_ordinary_stream_has_small_parts() -> None:
    """6 GiB go in parts of 8 MiB, 90 GiB in parts of at most 64 MiB."""
    assert 8 * MIB == stream_part_bytes(6 * 1024 // 8, 8 * MIB)
    carried = number = 0
    while carried < 90 * GIB:
        number += 1
        carried += stream_part_bytes(number, 8 * MIB)
    assert stream_part_bytes(number, 8 * MIB) <= 64 * MIB
