from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mountfs.store.fake import FakeStore
from tests.vfs.opened import opening_vfs
from tests.vfs.program import Program, contents
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR], ids=["write-only", "both"])
async def test_a_file_that_is_opened_again_at_once_is_not_published_half_written(
    tmp_path: Path, flags: int
) -> None:
    """What the end of one handle leaves to be done is not done to what the next one has begun."""
    store = FakeStore()
    store.bucket.put("a", b"old")
    async with opening_vfs(store, tmp_path) as vfs:
        program = Program(vfs)
        await program.close(await program.open_to_write(b"a", flags=os.O_RDWR))
        handle = await program.open_to_write(b"a", flags=flags | os.O_TRUNC)
        await settled()
        assert {"a": b"old"} == contents(store)
        await program.write(handle, 0, b"new")
        await settled()
        assert {"a": b"old"} == contents(store)
        await program.close(handle)
        assert {"a": b"new"} == contents(store)
    assert 1 == store.requests["PUT"]
