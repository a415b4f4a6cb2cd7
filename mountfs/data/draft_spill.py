"""How the bytes of a draft get from memory to disk, and how disk space is given back."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from mountfs.data.range_map import Source

if TYPE_CHECKING:
    from mountfs.data.draft_content import DraftContent
    from mountfs.data.staged_bytes import StagedBytes
    from mountfs.data.staging_file import StagingFile

PUNCH_BYTES = 64 * 1024 * 1024
"""So much of the staging file has to be junk before a spill gives it back: each range is a call."""


class DraftSpill:
    """Moves bytes between the memory and the files of one draft; one task at a time.

    The draft may be changed while the disk is waited for. What is being written has views out, so a
    change makes another object of it, and what was written of the old one is junk.
    """

    __slots__ = ("_content", "_sealed_generation", "_staged")

    def __init__(self, content: DraftContent, staged: StagedBytes) -> None:
        self._content = content
        self._staged = staged
        self._sealed_generation = -1
        """The generation of the draft that the sealed file holds."""

    async def spill(self, size_bytes: int) -> int:
        """As `Draft.spill`."""
        content = self._content
        async with self._staged.lock:
            if sum(stop - start for start, stop, _ in content.junk) >= PUNCH_BYTES:
                await self._punch_junk()
            batch = content.spillable(size_bytes)
            if not batch:
                return 0
            await self._write_out(content.written_parts(batch))
            # No await from here on: what was changed meanwhile is another object, and stays.
            return content.settle(batch)

    async def persist(self) -> StagingFile:
        """As `Draft.persist`; the draft is frozen and local."""
        content, staged = self._content, self._staged
        async with staged.lock:
            is_unchanged = self._sealed_generation == content.generation
            if staged.sealed is not None and is_unchanged and not content.held_bytes:
                return staged.sealed
            await self._punch_junk()
            await self._copy_sealed()
            await staged.resize(content.size_bytes)
            batch = content.in_memory()
            await self._write_out(content.written_parts(batch))
            # No await from here on to the end of the change.
            content.settle(batch)
            content.seal()
            self._sealed_generation = content.generation
            file, replaced = staged.seal()
            if replaced is not None:
                await staged.retire(replaced)
            return file

    def forget_sealed(self) -> None:
        """Note that the sealed file is somebody else's by now: `persist` makes another one."""
        self._sealed_generation = -1

    async def give_back_space(self) -> None:
        """As `Draft.give_back_space`."""
        content, staged = self._content, self._staged
        async with staged.lock:
            await self._punch_junk()
            unused = staged.sealed
            if unused is not None and not content.has(0, content.size_bytes, Source.SEALED):
                staged.sealed = None
                await staged.retire(unused)

    async def _copy_sealed(self) -> None:
        """Copy to the current file what was sealed in the other one."""
        content = self._content
        sealed = [
            (start, stop)
            for start, stop, source in content.segments(0, content.size_bytes)
            if source is Source.SEALED
        ]
        content.note_junk(sealed)
        await self._staged.copy_sealed(sealed)

    async def _write_out(self, chunks: list[tuple[int, memoryview]]) -> None:
        """Write to the current file, all of which is junk until it is settled; empties *chunks*.

        Their data must not be settled after an await: without views out it may change in place.
        """
        self._content.note_junk([(start, start + len(data)) for start, data in chunks])
        try:
            await self._staged.write(chunks)
        except OSError as error:
            # Or there would be views for as long as somebody keeps the error.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            chunks.clear()

    async def _punch_junk(self) -> None:
        """Give back junk; what becomes junk meanwhile is left for the next time."""
        ranges = [(start, stop) for start, stop, _ in self._content.junk]
        await self._staged.punch(ranges)
        for start, stop in ranges:
            self._content.junk.clear(start, stop)
