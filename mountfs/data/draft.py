"""The content of a file that was changed here and is not published yet.

A draft is what is still visible of a base object, and what was written over it: in memory first,
and in a staging file when memory is short. It knows no store: whoever reads it brings along the way
to the base.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mountfs.data.draft_content import PIECE_BYTES, DraftContent
from mountfs.data.draft_gate import DraftGate
from mountfs.data.draft_reader import append_zeros, fetch_base, read_draft
from mountfs.data.draft_room import DraftRoom
from mountfs.data.draft_spill import DraftSpill
from mountfs.data.range_map import Source
from mountfs.data.staged_bytes import StagedBytes
from mountfs.errors import MountfsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mountfs.data.budget import Budget
    from mountfs.data.draft_reader import ReadBase
    from mountfs.data.draft_room import Sender
    from mountfs.data.staging_file import StagingFile


class DroppedError(MountfsError):
    """These bytes of a draft are in the store only, in an upload that has to be completed first."""


class Draft:
    """The bytes of one file that is being changed.

    Changes happen one after another, in the order in which they were asked for, and not while the
    draft is frozen. Each of them is done wholly or not at all.

    Args:
        block_bytes: memory is spilled in about so large steps.
        base_bytes: size of the base object, and of the file at first.
        budget: what memory is taken from.
        open_staging: opens a new staging file, when one is needed.
    """

    def __init__(
        self,
        *,
        block_bytes: int,
        base_bytes: int,
        budget: Budget,
        open_staging: Callable[[], Awaitable[StagingFile]],
    ) -> None:
        self._block_bytes = block_bytes
        self._content = DraftContent(base_bytes, min(block_bytes, PIECE_BYTES), budget)
        self._staged = StagedBytes(open_staging)
        self._spill = DraftSpill(self._content, self._staged)
        self._room = DraftRoom(block_bytes, budget, self._content, self._spill)
        self._gate = DraftGate(self._content, self._room)

    @property
    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self._content.size_bytes

    @property
    def base_bytes(self) -> int:
        """Return how much of the base is visible, from 0 on, where nothing was written."""
        return self._content.base_bytes

    @property
    def generation(self) -> int:
        """Return the dirty generation: it grows with each change."""
        return self._content.generation

    @property
    def held_bytes(self) -> int:
        """Return how much memory it takes."""
        return self._content.held_bytes

    @property
    def sender(self) -> Sender | None:
        """Return who sends its parts while it is written; None if nobody does.

        While memory is about to come free because parts are being sent, a writer waits for it;
        otherwise the draft is spilled when memory is short.
        """
        return self._room.sender

    @sender.setter
    def sender(self, sender: Sender | None) -> None:
        self._room.sender = sender

    @property
    def is_frozen(self) -> bool:
        """Tell whether changes wait."""
        return self._gate.is_frozen

    @property
    def is_local(self) -> bool:
        """Tell whether all of its content is here: nothing in a base, nothing dropped."""
        content = self._content
        return not any(
            source is Source.BASE or source is Source.DROPPED
            for _, _, source in content.segments(0, content.size_bytes)
        )

    def extents(self) -> list[tuple[int, int]]:
        """Return what was written, or zeroed over the base, merged and in order."""
        return self._content.extents()

    # Changes.

    def write_if_ready(self, offset: int, data: memoryview) -> bool:
        """Write *data* and return True, or return False if that means waiting.

        Raises:
            DroppedError: some of these bytes are in the store only.
        """
        if not self._gate.is_open:
            return False
        growth = self._content.growth_bytes(offset, offset + len(data))
        if growth and not self._room.reserve_if_room(growth):
            return False
        try:
            self._write(offset, data)
        except BaseException:
            self._room.release(growth)
            raise
        return True

    async def write(
        self,
        offset: int,
        data: bytes | bytearray | memoryview,
        note: Callable[[int], None] = lambda size_before: None,
    ) -> None:
        """Write *data*, which does not change meanwhile, as soon as it may be.

        Where memory is short this waits for it, or spills.

        Args:
            offset: where to.
            data: what.
            note: called with the size before as soon as it is written, ahead of whoever reads or
                publishes the draft.

        Raises:
            DroppedError: some of these bytes are in the store only.
            OSError: there is neither memory nor a staging file that takes it.

        Cancellation: nothing was written.
        """
        view = memoryview(data)

        def put() -> None:
            size_before = self.size_bytes
            self._write(offset, view)
            note(size_before)

        await self._gate.write(offset, view, put)

    async def localize(self, read_base: ReadBase) -> None:
        """Fetch all that is still the base's, so that it may go. Changes nothing to be seen.

        Raises:
            OSError: there is neither memory nor a staging file that takes it.
            StoreError: whatever *read_base* raises.

        Cancellation: what was fetched stays.
        """
        content = self._content
        async with self._gate.no_changes():
            at = 0
            while at < content.base_bytes:
                stop = min(at + self._block_bytes, content.base_bytes)
                for start, end, source in list(content.segments(at, stop)):
                    if source is Source.BASE:
                        data = await fetch_base(start, end, read_base)
                        await self._gate.fill(start, data, partial(content.fill, start, data))
                at = stop

    async def truncate(self, size_bytes: int, note: Callable[[], None] = lambda: None) -> None:
        """Cut the file, or let it grow by zeros; *note* is called as soon as that has happened.

        Raises:
            DroppedError: the cut would go through bytes that are in the store only.
        """
        async with self._gate.one_change():
            # Cut off, dropped bytes are gone; cut in two, nobody could make a part of the rest.
            if self.has_dropped(size_bytes - 1, size_bytes) and self.has_dropped(
                size_bytes, size_bytes + 1
            ):
                raise DroppedError(f"{size_bytes} lies within bytes that are in the store only")
            self._content.resize(size_bytes)
            note()

    async def zero(self, start: int, stop: int) -> None:
        """Make ``[start, stop)`` zeros, as far as the file reaches.

        Raises:
            DroppedError: some of these bytes are in the store only.
        """
        async with self._gate.one_change():
            self._refuse_dropped(start, stop)
            self._content.zero(start, stop)

    def freeze(self) -> None:
        """Let all changes wait, until there were as many calls of `thaw`."""
        self._gate.freeze()

    def thaw(self) -> None:
        """Undo one `freeze`; whoever waits goes on, in order."""
        self._gate.thaw()

    # Reading.

    def read_if_ready(self, start: int, stop: int) -> tuple[memoryview, ...] | None:
        """Return ``[start, stop)``, cut to the file, if that means no waiting, else None.

        The bytes never change.

        Raises:
            DroppedError: some of these bytes are in the store only.
        """
        content = self._content
        views: list[memoryview] = []
        for begin, end, source in content.segments(start, min(stop, content.size_bytes)):
            if source is Source.MEMORY:
                content.append_views(begin, end, views)
            elif source is Source.ZEROS or source is Source.HOLE:
                append_zeros(end - begin, views)
            elif source is Source.DROPPED:
                raise DroppedError(f"[{begin}, {end}) is in the store only")
            else:
                return None
        return tuple(views)

    async def read(self, start: int, stop: int, read_base: ReadBase) -> tuple[memoryview, ...]:
        """Return ``[start, stop)``, cut to the file; the bytes never change.

        Args:
            start: of the range (inclusive).
            stop: of the range (exclusive).
            read_base: fetches a range of the base.

        Raises:
            DroppedError: some of these bytes are in the store only.
            OSError: the staging file could not be read.
            StoreError: whatever *read_base* raises.
        """
        views = self.read_if_ready(start, stop)
        while views is None:
            self._refuse_dropped(start, stop)
            views = await read_draft(self._content, self._staged, start, stop, read_base)
        return views

    def bytes_to_load(self, start: int, stop: int) -> int:
        """Return how much of ``[start, stop)`` `collect` has to bring to memory, as it is now."""
        return self._content.bytes_to_load(start, stop)

    async def collect(self, start: int, stop: int, read_base: ReadBase) -> list[memoryview]:
        """Return the bytes of a part, to be sent; they never change.

        Does not need a frozen draft: a write that comes later goes to a copy. What was in memory is
        not copied; what comes from disk and base is not counted in the budget: the caller does it.

        Raises:
            DroppedError, OSError, StoreError: as `read`.
        """
        assert 0 <= start <= stop <= self.size_bytes, "a part lies within the file"
        return list(await self.read(start, stop, read_base))

    # Between here, the disk and the store.

    def drop(self, start: int, stop: int) -> None:
        """Forget bytes that the store has acknowledged, though not as an object yet."""
        self._content.drop(start, stop)

    def has_dropped(self, start: int, stop: int) -> bool:
        """Tell whether any of these bytes are in the store only."""
        return self._content.has(start, stop, Source.DROPPED)

    def rebase(self, base_bytes: int) -> None:
        """Let ``[0, base_bytes)`` be the content of a new base: it was published.

        What lies behind stays. Disk space comes back by `give_back_space` or `aclose`.
        """
        assert self.base_bytes <= base_bytes <= self.size_bytes, "a base of this file, and more"
        self._content.rebase(base_bytes)
        self._spill.forget_sealed()

    async def spill(self, size_bytes: int) -> int:
        """Move at least *size_bytes* of memory to the staging file; return how much came free.

        Less, if it does not hold so much, or if somebody reads it. Changes nothing that can be
        seen; a frozen draft may be spilled.

        Raises:
            OSError: the disk did not take it; it is where it was.
        """
        return await self._spill.spill(size_bytes)

    async def persist(self) -> StagingFile:
        """Write everything to the staging file, and return it: it holds the whole content then.

        Nothing has been fsynced. The draft reads the file and never writes to it again; it closes
        it when another `persist` has replaced it, in `aclose`, or in `give_back_space` after a
        `rebase`. The caller has frozen the draft, and it is local. Takes no memory afterwards.

        Raises:
            OSError: the disk did not take it; the draft is as it was.
        """
        assert self.is_frozen, "the content must not change meanwhile"
        assert self.is_local, "what is not here cannot be written"
        return await self._spill.persist()

    async def give_back_space(self) -> None:
        """Give back the disk space, and the sealed file, of which nothing is needed any more.

        Raises:
            OSError: the disk did not do it.
        """
        await self._spill.give_back_space()

    def close(self) -> None:
        """Give back all memory; the rest is `aclose`'s."""
        self._content.free_all()

    async def aclose(self) -> None:
        """Give everything back, memory and staging files; nobody uses the draft any more.

        Cancellation: shielded; it waits for the disk only.
        """
        self.close()
        await self._staged.close()
        self.close()  # a spill that was under way has settled meanwhile

    def _write(self, offset: int, data: memoryview) -> None:
        self._refuse_dropped(offset, offset + len(data))
        if data:
            self._content.write(offset, data)

    def _refuse_dropped(self, start: int, stop: int) -> None:
        if self._content.has(start, stop, Source.DROPPED):
            raise DroppedError(f"some of [{start}, {stop}) is in the store only")
