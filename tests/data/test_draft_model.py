"""A draft against a bytearray: whatever happens to it, its content is what was written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import outcome
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mountfs.data.budget import Budget
from mountfs.data.draft import DroppedError
from tests.data.drafts import Disk, draft_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

BLOCK_BYTES = 8
OFFSETS = st.integers(0, 60)
DATA = st.binary(min_size=1, max_size=30)


class DraftMachine(RuleBasedStateMachine):
    """A draft, the bytes that it should have, and the base and the file that it goes with."""

    @initialize(base=st.binary(max_size=50), limit_bytes=st.integers(0, 120))
    def begin(self, base: bytes, limit_bytes: int) -> None:
        """Start with a base and a budget that may be too small for anything."""
        self.folder = tempfile.TemporaryDirectory()
        self.disk = Disk(Path(self.folder.name))
        self.budget = Budget(limit_bytes)
        self.base = base
        self.model = bytearray(base)
        self.visible_bytes = len(base)
        self.dropped: set[int] = set()
        self.lent: list[tuple[list[memoryview], bytes]] = []
        self.draft = draft_on(self.disk, self.budget, block_bytes=BLOCK_BYTES, base_bytes=len(base))

    def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run *call* in a loop of its own, which keeps neither its result nor its error."""
        outcomes: list[outcome.Outcome[T]] = []

        async def capture() -> None:
            outcomes.append(await outcome.acapture(call))

        trio.run(capture)
        return outcomes.pop().unwrap()

    async def read_base(self, start: int, stop: int) -> list[bytes]:
        """Read from the base what is still visible of it."""
        await trio.lowlevel.checkpoint()
        assert stop <= self.visible_bytes, "what was cut off is not the base's any more"
        middle = (start + stop) // 2
        return [self.base[start:middle], self.base[middle:stop]]

    def overlaps_dropped(self, start: int, stop: int) -> bool:
        """Tell whether any of these places was dropped."""
        return any(start <= place < stop for place in self.dropped)

    @rule(offset=OFFSETS, data=DATA)
    def write(self, offset: int, data: bytes) -> None:
        """A write is there wholly, or was refused and changed nothing."""
        generation = self.draft.generation
        stop = offset + len(data)
        try:
            if not self.draft.write_if_ready(offset, memoryview(data)):
                self.run(lambda: self.draft.write(offset, data))
        except DroppedError:
            assert self.overlaps_dropped(offset, stop)
            return
        except OSError:
            assert self.disk.is_full
            return
        assert not self.overlaps_dropped(offset, stop)
        self.model.extend(bytes(max(0, stop - len(self.model))))
        self.model[offset:stop] = data
        assert generation < self.draft.generation

    @rule(size_bytes=st.integers(0, 90))
    def truncate(self, size_bytes: int) -> None:
        """A cut shows zeros when the file grows again, never what was there."""
        try:
            self.run(lambda: self.draft.truncate(size_bytes))
        except DroppedError:
            assert {size_bytes - 1, size_bytes} <= self.dropped
            return
        self.visible_bytes = min(self.visible_bytes, size_bytes)
        self.model[size_bytes:] = bytes(max(0, size_bytes - len(self.model)))
        self.dropped = {place for place in self.dropped if place < size_bytes}

    @rule(start=OFFSETS, length=st.integers(1, 40))
    def zero(self, start: int, length: int) -> None:
        """Zeroed is zero, and no longer."""
        try:
            self.run(lambda: self.draft.zero(start, start + length))
        except DroppedError:
            assert self.overlaps_dropped(start, start + length)
            return
        stop = min(start + length, len(self.model))
        if start < stop:
            self.model[start:stop] = bytes(stop - start)

    @rule(start=OFFSETS, length=st.integers(0, 90))
    def read(self, start: int, length: int) -> None:
        """What is read is what was written; what was dropped cannot be read."""
        expected = bytes(self.model[start : start + length])
        stop = min(start + length, len(self.model))
        if self.overlaps_dropped(start, stop):
            with pytest.raises(DroppedError):
                self.run(lambda: self.draft.read(start, stop, self.read_base))
            return
        ready = self.draft.read_if_ready(start, start + length)
        assert ready is None or expected == b"".join(ready)
        views = self.run(lambda: self.draft.read(start, start + length, self.read_base))
        assert expected == b"".join(views)

    @rule(start=OFFSETS, length=st.integers(0, 90))
    def collect(self, start: int, length: int) -> None:
        """Buffers that were handed out are held by somebody from now on."""
        start, stop = min(start, len(self.model)), min(start + length, len(self.model))
        if not self.overlaps_dropped(start, stop):
            views = self.run(lambda: self.draft.collect(start, stop, self.read_base))
            self.lent.append((views, bytes(self.model[start:stop])))

    @rule()
    def end_sending(self) -> None:
        """Buffers that were handed out are given back."""
        self.lent.clear()

    @rule(size_bytes=st.integers(1, 60))
    def spill(self, size_bytes: int) -> None:
        """Memory goes to disk, or stays where it is."""
        held = self.draft.held_bytes
        generation = self.draft.generation
        try:
            freed = self.run(lambda: self.draft.spill(size_bytes))
        except OSError:
            assert self.disk.is_full
            freed = 0
        assert held - freed == self.draft.held_bytes
        assert generation == self.draft.generation

    @rule()
    def give_back_space(self) -> None:
        """Disk space is given back."""
        self.run(self.draft.give_back_space)

    @rule(is_full=st.booleans())
    def fill_disk(self, is_full: bool) -> None:
        """The disk is full, or is not any more."""
        self.disk.is_full = is_full

    @precondition(lambda self: self.draft.is_local)
    @rule()
    def persist(self) -> None:
        """The staging file has all of it, and keeps it whatever is written later."""
        self.draft.freeze()
        try:
            file = self.run(self.draft.persist)
        except OSError:
            assert self.disk.is_full
            return
        finally:
            self.draft.thaw()
        whole = Path(f"/proc/self/fd/{file.fd}").read_bytes()
        assert bytes(self.model) == whole
        assert 0 == self.draft.held_bytes
        self.sealed = whole, file.fd

    @precondition(lambda self: not self.dropped)
    @rule()
    def localize(self) -> None:
        """All of the base is here, and nothing else has changed."""
        generation = self.draft.generation
        try:
            self.run(lambda: self.draft.localize(self.read_base))
        except OSError:
            assert self.disk.is_full
        else:
            assert self.draft.is_local
        assert generation == self.draft.generation

    @rule(start=OFFSETS, length=st.integers(1, 40))
    def drop(self, start: int, length: int) -> None:
        """Bytes that the store has are forgotten."""
        self.draft.drop(start, start + length)
        self.dropped |= set(range(start, min(start + length, len(self.model))))

    @rule(share=st.floats(0, 1))
    def publish(self, share: float) -> None:
        """What was published is the base, and what was dropped is there again."""
        stop = self.visible_bytes + int(share * (len(self.model) - self.visible_bytes))
        self.draft.freeze()
        self.base = bytes(self.model[:stop])
        self.visible_bytes = stop
        self.draft.rebase(stop)
        self.dropped -= set(range(stop))
        self.draft.thaw()

    @invariant()
    def has_the_right_shape(self) -> None:
        """Sizes, extents and the budget agree with what happened."""
        if not hasattr(self, "draft"):
            return
        draft = self.draft
        assert len(self.model) == draft.size_bytes
        assert self.visible_bytes == draft.base_bytes
        assert draft.held_bytes == self.budget.used_bytes == self.budget.draft_bytes
        assert bool(self.dropped) == draft.has_dropped(0, len(self.model))
        written: set[int] = set()
        end = -1
        for start, stop in draft.extents():
            assert end < start < stop <= len(self.model)
            written |= set(range(start, stop))
            end = stop
        for place in set(range(len(self.model))) - written:
            base = self.base[place] if place < self.visible_bytes else 0
            assert base == self.model[place]
        if not draft.held_bytes and not self.disk.is_full:
            assert not self.budget.used_bytes

    @invariant()
    def has_not_changed_what_it_lent(self) -> None:
        """Buffers that somebody holds are as they were."""
        for views, expected in getattr(self, "lent", []):
            assert expected == b"".join(views)

    def teardown(self) -> None:
        """Give everything back."""
        if not hasattr(self, "draft"):
            return
        try:
            if not self.dropped:
                whole = self.run(lambda: self.draft.read(0, 1000, self.read_base))
                assert bytes(self.model) == b"".join(whole)
        finally:
            self.run(self.draft.aclose)
            self.disk.stop()
            self.folder.cleanup()
        assert 0 == self.budget.used_bytes


DraftMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_a_draft_is_what_was_written = DraftMachine.TestCase
